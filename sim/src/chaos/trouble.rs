//! The ways in which a network and a server fail. Knows how each is brought about and how it ends; not what follows.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::house::House;
use crate::kill9::random::Random;
use crate::link::{Link, Weather};
use crate::shop;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Bytes trickle for a while.
    Slow(Side),
    /// Nothing comes for a while, and nothing is closed.
    Silent(Side, Duration),
    /// Silent, and then reset: nobody ever hears what became of it.
    Lost(Side, Duration),
    /// Every connection is reset.
    Reset(Side),
    /// The server ends the agents' connections.
    Terminated,
    /// The server stops answering for a while.
    Stopped(Duration),
    /// The server is shut down and started again.
    Restarted,
    /// The server loses power.
    Crashed,
    /// The server is promoted elsewhere: the same data on another timeline.
    FailedOver,
}

/// Of which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Between gate and server.
    Server,
    /// Between clients and gate.
    Clients,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(side) => write!(f, "the link to the {side} is slow"),
            Self::Silent(side, time) => write!(f, "the link to the {side} is silent for {time:?}"),
            Self::Lost(side, time) => write!(f, "the link to the {side} is silent for {time:?}, then reset"),
            Self::Reset(side) => write!(f, "the link to the {side} is reset"),
            Self::Terminated => f.write_str("the server ends the agents' connections"),
            Self::Stopped(time) => write!(f, "the server stands still for {time:?}"),
            Self::Restarted => f.write_str("the server restarts"),
            Self::Crashed => f.write_str("the server crashes"),
            Self::FailedOver => f.write_str("the server fails over"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Clients => "clients",
        })
    }
}

impl Trouble {
    /// Some trouble.
    pub(super) fn draw(random: &mut Random) -> Self {
        let side = if random.below(2) == 0 { Side::Server } else { Side::Clients };
        let time = Duration::from_millis(50 + random.below(2500));
        match random.below(12) {
            0 | 1 => Self::Slow(side),
            2 | 3 => Self::Silent(side, time),
            4 | 5 => Self::Lost(side, time),
            6 | 7 => Self::Reset(side),
            8 => Self::Terminated,
            9 => Self::Stopped(time),
            10 => Self::Restarted,
            _ if random.below(2) == 0 => Self::Crashed,
            _ => Self::FailedOver,
        }
    }

    /// Whether clients whose own connection is well hear of it in words.
    pub(super) fn leaves_words(self) -> bool {
        !matches!(self, Self::Lost(Side::Clients, _) | Self::Reset(Side::Clients))
    }

    /// Brings it about, to its end.
    pub(super) async fn strike(self, house: &mut House, server: &Link, clients: &Link) -> Result<()> {
        let link = |side| match side {
            Side::Server => server,
            Side::Clients => clients,
        };
        match self {
            Self::Slow(side) => {
                link(side).becomes(Weather::Trickle { bytes: 7, pause: Duration::from_millis(1) });
                sleep(Duration::from_secs(2)).await;
                link(side).becomes(Weather::Clear);
            }
            Self::Silent(side, time) => {
                link(side).becomes(Weather::Silent);
                sleep(time).await;
                link(side).becomes(Weather::Clear);
            }
            Self::Lost(side, time) => {
                link(side).becomes(Weather::Silent);
                sleep(time).await;
                link(side).reset();
                link(side).becomes(Weather::Clear);
            }
            Self::Reset(side) => link(side).reset(),
            Self::Terminated => {
                let whose = format!("FROM pg_stat_activity WHERE usename = '{}'", shop::WRITER);
                house.change(&format!("SELECT pg_terminate_backend(pid) {whose}")).await?;
            }
            Self::Stopped(time) => {
                house.server.server().signal("STOP")?;
                sleep(time).await;
                house.server.server().signal("CONT")?;
            }
            Self::Restarted => {
                house.server.stop().await?;
                house.server.start_again().await?;
            }
            Self::Crashed => {
                house.server.crash().await?;
                house.server.start_again().await?;
            }
            Self::FailedOver => {
                house.server.stop().await?;
                house.server.fail_over().await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_troubles_again_and_all_of_them_come() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..300).map(|_| Trouble::draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        let drawn: Vec<String> = draw(5).iter().map(ToString::to_string).collect();
        for word in
            ["slow", "silent", "then reset", "is reset", "ends", "still", "restarts", "crashes", "over"]
        {
            assert!(drawn.iter().any(|told| told.contains(word)), "{word}");
        }
    }
}
