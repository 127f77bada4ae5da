//! The export of all customers: held, approved, run once, masked; and held again when it is asked for again.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use countersign_sim::running::Output;
use countersign_sim::shop::CUSTOMERS;

use super::Story;
use crate::demo::agent;
use crate::demo::person::Wish;
use crate::demo::play;

const EXPORT: &str = "SET countersign.reason = 'refresh of the churn features';\nCOPY customers TO STDOUT;";
/// Everything of the customers' that must not come out.
const PERSONAL: &str =
    "SELECT value FROM customers, unnest(ARRAY[name, email, phone]) AS value WHERE value IS NOT NULL";
/// How long psql may take to end after Ctrl-C.
const CANCEL_WITHIN: Duration = Duration::from_secs(60);

pub async fn first(story: &mut Story) -> Result<()> {
    let (psql, held) = story.ask(EXPORT).await?;
    story.voice.tell("On another machine than your browser's? Forward the port first, there:");
    story.voice.offered("ssh", &play::forward(story.stage.ports.web));
    story.person.enrol(&story.stage, &story.voice).await?;
    let Some(ended) = story.decided(psql, &held, Wish::Approve).await? else { return Ok(()) };
    story.voice.tell("The COPY runs:");
    let out = rows_of(&ended.stdout);
    story.voice.shown(out.get(..3).unwrap_or(&out));
    let rows = out.len();
    story.voice.checked(&format!("{rows} rows came out, one for each customer"), rows as u64 == CUSTOMERS)?;
    let raw = story.stage.texts(PERSONAL).await?;
    let raw: HashSet<String> = raw.into_iter().collect();
    let leaked = out.iter().flat_map(|line| line.split('\t')).find(|field| raw.contains(*field));
    story.voice.checked(
        "not one name, address or phone number of theirs is among them: approved is not unmasked",
        leaked.is_none(),
    )?;
    story.person.look_back(&held).await
}

pub async fn again(story: &mut Story) -> Result<()> {
    let (mut psql, held) = story.ask(EXPORT).await?;
    story.voice.tell("This time the agent gives up: Ctrl-C in psql.");
    psql.signal("INT")?;
    psql.ended(CANCEL_WITHIN).await?;
    let said = agent::said(&psql);
    story.voice.shown(said.get(3..).unwrap_or_default());
    let cancelled = said.iter().any(|line| line.contains("canceling statement due to user request"));
    story.voice.checked("psql hears what it hears from any server that cancels", cancelled)?;
    story.voice.checked("nothing came out", rows_of(&psql.lines(Output::Out)).is_empty())?;
    let shown = story.stage.command(&["requests", "show", &held.id]).await?;
    story.voice.checked(
        "the request is withdrawn: nobody can approve it any more",
        shown.to_lowercase().contains("withdrawn"),
    )
}

/// What psql gave beside its word that a setting was set.
fn rows_of(stdout: &[String]) -> Vec<String> {
    stdout.iter().filter(|line| *line != "SET").cloned().collect()
}
