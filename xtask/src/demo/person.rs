//! The person who approves: the player at their own browser or terminal, or, with `--auto`, somebody played here.

use std::time::Duration;

use anyhow::{Result, ensure};
use countersign_sim::process::Finished;
use countersign_sim::running::{Output, Running};
use serde_json::Value;

use super::Options;
use super::agent::Held;
use super::config::PLAYER;
use super::key::SshKey;
use super::seat::Seat;
use super::stage::Stage;
use super::voice::Voice;

/// How long the person may take: as long as a request waits, and a little.
const ANSWER_WITHIN: Duration = Duration::from_secs(32 * 60);

/// Who approves, and how.
pub struct Person {
    hands: Hands,
    by_ssh: bool,
    enrolled: bool,
}

enum Hands {
    /// The player; the key is there once it is enrolled, where they sign in the terminal.
    Player(Option<SshKey>),
    Browser(Box<Seat>),
    Terminal(Option<SshKey>),
}

/// What the story wants the person to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Yes.
    Approve,
    /// No, for this reason.
    Deny(&'static str),
}

/// How an agent's statement ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it gave.
    pub stdout: Vec<String>,
    /// What was said beside.
    pub stderr: Vec<String>,
}

impl Ended {
    /// Whether psql was told of an error.
    pub fn is_refused(&self) -> bool {
        self.stderr.iter().any(|line| line.contains("ERROR:"))
    }

    /// From the first error on.
    pub fn refusal(&self) -> Vec<String> {
        let lines = self.stderr.iter().skip_while(|line| !line.contains("ERROR:"));
        lines.map(|line| super::agent::plain(line)).collect()
    }
}

impl From<Finished> for Ended {
    fn from(finished: Finished) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self { stdout: lines(&finished.stdout), stderr: lines(&finished.stderr) }
    }
}

impl Person {
    /// Takes the seat that the options name; where no browser can be had, the one at the terminal.
    ///
    /// # Errors
    /// When pictures were asked for and no browser can be had.
    pub async fn take_a_seat(options: &Options, voice: &Voice) -> Result<Self> {
        let terminal = || Self { hands: Hands::Terminal(None), by_ssh: true, enrolled: false };
        match (options.auto, options.ssh) {
            (false, by_ssh) => Ok(Self { hands: Hands::Player(None), by_ssh, enrolled: false }),
            (true, true) => Ok(terminal()),
            (true, false) => {
                let seat = voice
                    .work("Starting a browser with a passkey device", Seat::take(options.screens.clone()));
                match seat.await {
                    Ok(seat) => {
                        Ok(Self { hands: Hands::Browser(Box::new(seat)), by_ssh: false, enrolled: false })
                    }
                    Err(error) if options.screens.is_some() => Err(error),
                    Err(error) => {
                        // Drivers add a page of addresses to what they say.
                        let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                        voice.tell(&format!(
                            "No browser can be had ({why}): decisions are signed with an SSH key."
                        ));
                        Ok(terminal())
                    }
                }
            }
        }
    }

    /// Whether the player decides, who may decide otherwise than the story has it.
    pub fn is_player(&self) -> bool {
        matches!(self.hands, Hands::Player(_))
    }

    /// Makes a key by a one-time link, the first time that one is needed.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn enrol(&mut self, stage: &Stage, voice: &Voice) -> Result<()> {
        if std::mem::replace(&mut self.enrolled, true) {
            return Ok(());
        }
        let invited = stage.command(&["people", "invite", PLAYER, "--json"]).await?;
        let invited: Value = serde_json::from_str(&invited)?;
        let part = |name: &str| invited.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (link, code) = (part("link"), part("code"));
        voice.tell("You have no key yet. A one-time link, good for 15 minutes, makes one; its code comes by another way, here by this terminal:");
        voice.offered("one-time link", &link);
        voice.offered("code", &code);
        if self.by_ssh {
            let key = SshKey::make(stage.folder())?;
            voice.work("Enrolling an SSH key with them", key.enrol(stage, &link, &code)).await?;
            match &mut self.hands {
                Hands::Player(held) | Hands::Terminal(held) => *held = Some(key),
                Hands::Browser(_) => {}
            }
        } else if let Hands::Browser(seat) = &mut self.hands {
            voice.work("Opening the link, making a passkey, logging in", seat.enrol(&link, &code)).await?;
        } else {
            voice.tell("Open it, make a passkey, log in, and open the request.");
        }
        Ok(())
    }

    /// Has a held statement decided, and gives how it ended for the agent.
    ///
    /// # Errors
    /// When a page or the gate says no, or the statement does not end.
    pub async fn answer(
        &self,
        stage: &Stage,
        voice: &Voice,
        held: &Held,
        mut psql: Running,
        wish: Wish,
    ) -> Result<Ended> {
        let (approve, reason) = match wish {
            Wish::Approve => (true, ""),
            Wish::Deny(reason) => (false, reason),
        };
        let how = if self.by_ssh { "SSH key" } else { "passkey" };
        match &self.hands {
            Hands::Player(key) => {
                let word = if approve { "Approve" } else { "Deny" };
                let why =
                    if reason.is_empty() { String::new() } else { format!(", with a reason: \"{reason}\"") };
                voice.tell(&format!("Your turn. {word} it{why}:"));
                match key {
                    Some(key) => voice.offered("in another terminal", &key.command(stage, held)),
                    None => voice.offered("link", &held.link),
                }
                voice.tell("Waiting for you … (Ctrl-C ends the demo)");
            }
            Hands::Browser(seat) => {
                let card = seat.read(held).await?;
                voice.tell("The card in the browser:");
                voice.shown(&card);
                seat.decide(approve, reason).await?;
            }
            Hands::Terminal(Some(key)) => {
                let card = key.read(stage, held).await?;
                voice.tell("The card in the terminal:");
                voice.shown(&card);
                key.decide(stage, held, approve, reason).await?;
            }
            Hands::Terminal(None) => anyhow::bail!("nobody is enrolled who could decide"),
        }
        if !self.is_player() {
            let word = if approve { "approved" } else { "denied" };
            voice.checked(
                &format!("the card shows the agent's code, {}; {word} with the {how}", held.code),
                true,
            )?;
        }
        psql.ended(ANSWER_WITHIN).await?;
        stage.still_serves()?;
        Ok(Ended { stdout: psql.lines(Output::Out), stderr: psql.lines(Output::Err) })
    }

    /// Looks at a request that is over.
    ///
    /// # Errors
    /// When its page is not there.
    pub async fn look_back(&self, held: &Held) -> Result<()> {
        if let Hands::Browser(seat) = &self.hands { seat.look_back(held).await } else { Ok(()) }
    }

    /// Gets up from the seat.
    ///
    /// # Errors
    /// When a page broke its own content policy or threw.
    pub async fn leave(&self) -> Result<()> {
        if let Hands::Browser(seat) = &self.hands {
            let complaints = seat.complaints().await?;
            ensure!(complaints.is_empty(), "the browser complained:\n{}", complaints.join("\n"));
        }
        Ok(())
    }
}
