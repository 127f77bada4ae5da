//! Reads that nobody has to approve: plain ones as they are, labelled ones masked.

use std::time::Duration;

use anyhow::{Context, Result};
use countersign_sim::clients::Driver;
use countersign_sim::running::Output;
use countersign_sim::scratch_pg;
use serde_json::Value;

use super::Story;
use crate::demo::person::Ended;
use countersign_sim::configured::AGENT;

/// How long a driver may take.
const DRIVER_WITHIN: Duration = Duration::from_secs(60);
const BY_ID: &str = "SELECT name, email, phone, country FROM customers WHERE id = ";

pub async fn harmless(story: &mut Story) -> Result<()> {
    let sql = "SELECT id, name, price_cents FROM products ORDER BY id LIMIT 3;\n\
               SELECT status, count(*) FROM orders GROUP BY status ORDER BY status;";
    story.typed(sql);
    let ended = Ended::from(story.stage.agent.run(sql).await?);
    story.voice.shown(&ended.stdout);
    let names = story.stage.texts("SELECT name FROM products ORDER BY id LIMIT 3").await?;
    let all_there = names.iter().all(|name| ended.stdout.iter().any(|line| line.contains(name)));
    let (voice, quiet) = (story.voice, ended.stderr.is_empty());
    voice.checked("every row came back as the server has it, and nothing was held", quiet && all_there)
}

pub async fn masked(story: &mut Story) -> Result<()> {
    let sql = "SELECT id, name, email, phone, card_last4, country FROM customers ORDER BY id LIMIT 3;";
    story.typed(sql);
    let ended = Ended::from(story.stage.agent.run(sql).await?);
    story.voice.shown(&ended.stdout);
    let text = ended.stdout.join("\n");
    let hidden = "SELECT unnest(ARRAY[name, email, phone]) FROM (SELECT * FROM customers ORDER BY id LIMIT 3) AS first \
                  WHERE phone IS NOT NULL";
    let hidden = story.stage.texts(hidden).await?;
    let none = !hidden.is_empty() && hidden.iter().all(|value| !text.contains(value));
    story.voice.checked("no name, address or phone number of these customers is in it", none)?;
    let shapes = text.matches("tok_pii_name_").count() == 3 && text.matches("***@example.org").count() == 3;
    story
        .voice
        .checked("a name is a token, the same for the same name; of an address its domain is left", shapes)?;
    by_driver(story).await
}

/// The same by drivers, with a bound value, as programs do it.
async fn by_driver(story: &Story) -> Result<()> {
    let mut seen = vec![("tokio-postgres, Rust's driver", tokio_postgres(story).await?)];
    seen.extend(psycopg(story).await?.map(|row| ("psycopg, Python's driver", row)));
    let mut all_masked = true;
    for (name, row) in seen {
        story.voice.typed("program:", &format!("{BY_ID}$1   -- 42, by {name}"));
        let shown: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        story.voice.shown(&[shown.join(" | ")]);
        all_masked &= match row.as_slice() {
            [Some(name), Some(email), None, Some(_)] => name.starts_with("tok_") && email.contains("***@"),
            _ => false,
        };
    }
    story.voice.checked("programs see the same through their drivers, with bound values", all_masked)
}

async fn psycopg(story: &Story) -> Result<Option<Vec<Option<String>>>> {
    let sql = format!("{BY_ID}?");
    let Ok(mut driver) = story.stage.agent.driver(Driver::Psycopg, &["read", &sql, "42"]) else {
        return Ok(None);
    };
    driver.ended(DRIVER_WITHIN).await?;
    let lines = driver.lines(Output::Out);
    let rows = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let row = rows.filter_map(|line| line.pointer("/rows/0").and_then(Value::as_array).cloned()).next();
    let row = row.with_context(|| format!("psycopg was to read one row\n{}", driver.said()))?;
    Ok(Some(row.iter().map(|value| value.as_str().map(str::to_owned)).collect()))
}

async fn tokio_postgres(story: &Story) -> Result<Vec<Option<String>>> {
    let agent = &story.stage.agent;
    let url = format!("postgresql://{AGENT}:{}@127.0.0.1:{}/shop", agent.token, agent.port);
    let row = scratch_pg::connect(&url).await?.query_one(&format!("{BY_ID}$1"), &[&42_i64]).await?;
    (0..row.len()).map(|at| Ok(row.try_get(at)?)).collect()
}
