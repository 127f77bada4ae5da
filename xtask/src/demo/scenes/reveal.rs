//! Reading in clear: an action of its own, held as such.

use anyhow::Result;

use super::Story;
use crate::demo::person::Wish;

pub async fn one(story: &mut Story) -> Result<()> {
    let sql = "SET countersign.reason = 'the parcel of customer 42 came back';\n\
               SET countersign.reveal = on;\n\
               SELECT email FROM customers WHERE id = 42;";
    let (psql, held) = story.ask(sql).await?;
    let email = story.stage.texts("SELECT email FROM customers WHERE id = 42").await?;
    let Some(ended) = story.decided(psql, &held, Wish::Approve).await? else { return Ok(()) };
    story.voice.shown(&ended.stdout);
    let clear = ended.stdout.iter().any(|line| email.iter().any(|email| line.trim() == email));
    story.voice.checked("the one address came back in clear, and who allowed it is on the record", clear)
}
