//! After the story: everything stays up, for the person to play with. Knows what to offer, and nothing of how it ends.

use anyhow::Result;
use countersign_sim::scratch;
use countersign_sim::shop;

use super::Story;
use countersign_sim::configured::{AGENT, TARGET};

/// Things to try, as the agent types them.
const TRY: [&str; 6] = [
    "SELECT * FROM customers LIMIT 5;                       -- masked",
    "SELECT email FROM customers;                           -- an export: held",
    "SELECT count(*) FROM customers WHERE email LIKE 'a%';  -- looks inside: held as reveal",
    "DROP TABLE orders;                                     -- held",
    "DROP DATABASE shop;                                    -- never, whoever approves",
    "SET countersign.reason = 'refresh of the features';    -- what the card says as why",
];

/// Says how to play, and stays until it is told to stop.
pub async fn stay(story: &Story) -> Result<()> {
    let (voice, stage) = (story.voice, &story.stage);
    let (folder, web) = (stage.folder().display(), stage.ports.web);
    voice.heading("It stays up: play");
    voice.tell("You are the person who approves:");
    voice.offered("inbox", &format!("http://localhost:{web}/inbox"));
    voice.offered("from another machine", &forward(web));
    voice.tell("And you can be the agent, in another terminal:");
    let url = stage.agent.url();
    voice.offered("psql", &format!("PGPASSWORD=$(cat {folder}/token) psql '{url}'"));
    voice.tell("Things to try there:");
    voice.shown(&TRY.map(str::to_owned));
    voice.tell("And as whoever operates the gate:");
    let program = scratch::work_tree().join("target/quick/countersign");
    let program = format!("cd {folder} && {}", program.display());
    let explain = format!("explain --as {AGENT} --target {} --sql 'TRUNCATE orders'", TARGET);
    voice.offered("what waits", &format!("{program} requests list"));
    voice.offered("what would happen", &format!("{program} {explain}"));
    voice.offered("everything else", &format!("{program} --help"));
    voice.offered("the server, ungated", &format!("psql '{}'", stage.server.superuser_url(shop::DATABASE)));
    voice.tell("Ctrl-C ends it and takes everything away.");
    // Ends with the story, when the person says so.
    std::future::pending().await
}

/// The line that brings the inbox's port to the machine with the browser: passkeys work on `localhost` there too.
pub fn forward(port: u16) -> String {
    // The third word of what sshd tells is this machine's address, as the person's own machine reached it.
    let reached = environment("SSH_CONNECTION").and_then(|told| told.split(' ').nth(2).map(str::to_owned));
    let named = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    let host = reached.or_else(named).filter(|name| !name.is_empty()).unwrap_or_else(|| "HOST".to_owned());
    let user = environment("USER").map(|user| format!("{user}@")).unwrap_or_default();
    format!("ssh -L {port}:127.0.0.1:{port} {user}{host}")
}

#[expect(clippy::disallowed_methods, reason = "a chore: the library crates never see this")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
