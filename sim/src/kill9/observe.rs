//! What the server has and what the gate and its log say, read with the programs that people use.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio_postgres::Client;

use super::check::{Key, Told, Verified};
use crate::house::House;

/// Every row that held statements left, counted.
pub(crate) async fn rows(server: &Client) -> Result<BTreeMap<Key, u64>> {
    let sql = "SELECT round, n, count(*) FROM kill9 GROUP BY round, n";
    let mut rows = BTreeMap::new();
    for row in server.query(sql, &[]).await? {
        let (round, n): (i32, i32) = (row.get(0), row.get(1));
        rows.insert((u32::try_from(round)?, u32::try_from(n)?), u64::try_from(row.get::<_, i64>(2))?);
    }
    Ok(rows)
}

/// Every request.
pub(crate) async fn requests(house: &House) -> Result<Vec<Told>> {
    let listed = house.command(&["requests", "list", "--all", "--json"]).await?;
    listed.lines().map(|line| told(line).with_context(|| format!("a request in `{line}`"))).collect()
}

/// What the log is worth by itself, checked with the key that the auditor has.
pub(crate) async fn verified(house: &House) -> Result<Verified> {
    let arguments = ["verify", "data/tiles", "--vkey", "keys/log.vkey", "--json"];
    let done = house.countersign.run(&arguments).await?;
    let said: Value = serde_json::from_str(&done.stdout)
        .with_context(|| format!("countersign verify said:\n{}{}", done.stdout, done.stderr))?;
    if done.code != Some(0) {
        let finding = said.get("finding").map_or_else(|| done.stderr.clone(), Value::to_string);
        return Ok(Verified { finding: Some(finding), ..Verified::default() });
    }
    let part = |path: &str| said.pointer(path).with_context(|| format!("expected `{path}` in a report"));
    let requests: BTreeMap<String, u64> = serde_json::from_value(part("/report/requests")?.clone())?;
    let records = part("/report/records")?.as_u64().context("expected a number of records")?;
    Ok(Verified { finding: None, records, requests })
}

fn told(line: &str) -> Option<Told> {
    let shown: Value = serde_json::from_str(line).ok()?;
    let word = |path: &str| shown.pointer(path).and_then(Value::as_str);
    let state = match word("/record/state/is")? {
        "ended" => word("/record/state/end")?.replace('_', " "),
        state => state.to_owned(),
    };
    let pieces = shown.pointer("/view/statement")?.as_array()?;
    let statement: String = pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect();
    Some(Told {
        id: word("/record/terms/id")?.to_owned(),
        of: key(&statement)?,
        state,
        parked: shown.pointer("/record/state/parked").and_then(Value::as_bool).unwrap_or_default(),
    })
}

fn key(statement: &str) -> Option<Key> {
    let (_, values) = statement.split_once("VALUES (")?;
    let (round, rest) = values.split_once(',')?;
    let (n, _) = rest.split_once(')')?;
    Some((round.trim().parse().ok()?, n.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_request_is_read() {
        let line = r#"{"record":{"terms":{"id":"req_1"},"state":{"is":"ended","end":"rolled_back"}},"view":{"statement":[{"is":"text","text":"INSERT INTO kill9 VALUES ("},{"is":"number","text":"3"},{"is":"text","text":", "},{"is":"number","text":"2"},{"is":"text","text":");"}]}}"#;
        let expected =
            Told { id: "req_1".to_owned(), of: (3, 2), state: "rolled back".to_owned(), parked: false };
        assert_eq!(told(line), Some(expected));
        assert_eq!(told("{}"), None);
    }
}
