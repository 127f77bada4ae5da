//! A gate that allows everything, before the server of a scratch house. Knows no comparison.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use countersign_sim::configured::{self, AGENT};
use countersign_sim::house::House;
use countersign_sim::scratch;

/// Which way a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Gate,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Gate => "gate",
        })
    }
}

/// Who connects: an agent whose name is that of its role at the server, so that both ways are the same user in every
/// output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) name: &'a str,
    /// At the server.
    pub(super) password: &'a str,
    /// What may be reached.
    pub(super) databases: &'a [&'a str],
}

/// The house with the gate before it.
pub(super) struct OpenGate {
    /// Everything that runs.
    pub(super) house: House,
    port: u16,
    password: String,
    token: String,
}

impl OpenGate {
    /// Configures the house's gate anew, so that it allows everything to whoever comes.
    pub(super) async fn open(mut house: House, who: Who<'_>) -> Result<Self> {
        house.stop().await?;
        let folder = house.folder().to_owned();
        scratch::write_private(&folder.join("secrets/compare"), who.password)?;
        configured::allow_everything(&folder)?;
        let port = scratch::free_port()?;
        configured::add(&folder, &target(who, port, house.server.port()))?;
        let token = if who.name == AGENT {
            house.token.clone()
        } else {
            let issue = ["token", "issue", "--agent", who.name, "--ttl", "12h"];
            house.countersign.run(&issue).await?.success()?.stdout.trim().to_owned()
        };
        house.serve().await.context("the gate with a policy that allows everything")?;
        Ok(Self { house, port, password: who.password.to_owned(), token })
    }

    /// The port and the password of a way.
    pub(super) fn way(&self, way: Way) -> (u16, &str) {
        match way {
            Way::Direct => (self.house.server.port(), &self.password),
            Way::Gate => (self.port, &self.token),
        }
    }

    /// Whether the gate still runs.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn alive(&self) -> Result<()> {
        ensure!(self.house.gate().is_ok_and(|gate| gate.is_alive()), "the gate has ended");
        Ok(())
    }

    /// What the gate wrote to its log.
    pub(super) fn log(&self) -> PathBuf {
        self.house.folder().join("serve.log")
    }
}

fn target(who: Who<'_>, gate: u16, server: u16) -> String {
    let Who { name, databases, .. } = who;
    let role = format!("{{ role = \"{name}\", password = {{ file = \"secrets/compare\" }} }}");
    let databases =
        databases.iter().map(|name| format!("{name} = {{ catalogue = \"catalogue/none.toml\" }}"));
    let databases = databases.collect::<Vec<_>>().join(", ");
    let agent = if name == AGENT {
        String::new()
    } else {
        format!("[[agents]]\nname = \"{name}\"\ngroups = [\"agents\"]\nowner = \"mara\"\n\n")
    };
    format!(
        r#"{agent}[targets.compare]
env = "test"
listen = "127.0.0.1:{gate}"
address = "127.0.0.1:{server}"
tls = "disable"
databases = {{ {databases} }}
roles = {{ {name} = {role} }}
catalogue_role = {role}
"#
    )
}
