//! Changes: refused by a person, allowed where the agent owns the table, undone where they go beyond what was approved.

use anyhow::Result;

use super::Story;
use crate::demo::person::{Ended, Wish};

const WHY_NOT: &str = "All of them? Say which orders, with a WHERE.";
/// What others return while the person decides.
const LATE_RETURNS: u32 = 200;

pub async fn refused(story: &mut Story) -> Result<()> {
    let before = story.stage.count("SELECT count(*) FROM orders").await?;
    let (psql, held) = story.ask("DELETE FROM orders;\nSELECT 'the session goes on' AS note;").await?;
    let Some(ended) = story.decided(psql, &held, Wish::Deny(WHY_NOT)).await? else { return Ok(()) };
    story.voice.tell("psql:");
    story.voice.shown(&ended.refusal());
    let player = story.person.is_player();
    let told = ended.stderr.iter().any(|line| line.contains(WHY_NOT)) || player;
    story.voice.checked(
        "the agent reads the reason, in PostgreSQL's own form of an error",
        told && ended.is_refused(),
    )?;
    let goes_on = ended.stdout.iter().any(|line| line.contains("the session goes on"));
    story.voice.checked("its session goes on", goes_on)?;
    let after = story.stage.count("SELECT count(*) FROM orders").await?;
    story.voice.checked(&format!("all {before} orders are there"), after == before)
}

pub async fn own(story: &mut Story) -> Result<()> {
    let sql = "UPDATE features.churn SET score = 0.125, computed_at = now() WHERE customer_id = 42;";
    story.typed(sql);
    let ended = Ended::from(story.stage.agent.run(sql).await?);
    story.voice.shown(&ended.stdout);
    let score =
        story.stage.count("SELECT count(*) FROM features.churn WHERE customer_id = 42 AND score = 0.125");
    story.voice.checked("it ran at once", ended.stderr.is_empty() && score.await? == 1)
}

pub async fn over_bound(story: &mut Story) -> Result<()> {
    let counted = story.stage.count("SELECT count(*) FROM orders WHERE status = 'returned'").await?;
    let sql = "UPDATE orders SET status = 'archived' WHERE status = 'returned';\n\
               SELECT 'the session goes on' AS note;";
    let (psql, held) = story.ask(sql).await?;
    let late = format!(
        "INSERT INTO orders SELECT 1000000 + n, 1, 'returned', 100, now() FROM generate_series(1, {LATE_RETURNS}) AS n"
    );
    story.stage.change(&late).await?;
    story.voice.tell(&format!(
        "When it was held, {counted} orders were counted. Meanwhile others returned {LATE_RETURNS} more."
    ));
    let Some(ended) = story.decided(psql, &held, Wish::Approve).await? else { return Ok(()) };
    story.voice.tell("psql:");
    story.voice.shown(&ended.refusal());
    let over = ended.stderr.iter().any(|line| line.contains("touched more than was approved"));
    story.voice.checked("it ran into its bound", over)?;
    let archived = story.stage.count("SELECT count(*) FROM orders WHERE status = 'archived'").await?;
    story.voice.checked("and was rolled back: not one order is archived", archived == 0)?;
    let goes_on = ended.stdout.iter().any(|line| line.contains("the session goes on"));
    story.voice.checked("the agent's session goes on; asking again asks for the larger number", goes_on)
}
