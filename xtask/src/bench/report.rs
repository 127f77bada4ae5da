//! What was measured, kept as JSON until it is published: tables and a plot in the documentation. Measures nothing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use countersign_sim::scratch::work_tree;
use serde_json::Value;

use super::plot;

/// Where the tables stand in the documentation.
const BEGIN: &str = "<!-- measured: written by `cargo xtask bench publish` -->\n";
const END: &str = "<!-- end of measured -->";
/// What can be kept, in the order in which it is shown.
const NAMES: [&str; 4] = ["reads", "reads-tls", "copy", "decision"];

/// Two digits behind the point: the rest is noise.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn kept(name: &str) -> PathBuf {
    work_tree().join("target/bench").join(format!("{name}.json"))
}

/// Keeps what a bench found, in the place of what it found before.
pub(super) fn keep(name: &str, found: &Value) -> Result<()> {
    let path = kept(name);
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(&path, serde_json::to_string_pretty(found)? + "\n")?;
    println!("kept in {}; `cargo xtask bench publish` writes it into the documentation", path.display());
    Ok(())
}

/// Writes what was kept into the documentation.
pub(super) fn publish() -> Result<()> {
    let docs = work_tree().join("docs");
    let folder = docs.join("performance");
    fs::create_dir_all(&folder)?;
    for name in NAMES {
        if let Ok(found) = fs::read_to_string(kept(name)) {
            fs::write(folder.join(format!("{name}.json")), found)?;
        }
    }
    let mut tables = String::new();
    for name in NAMES {
        let Ok(text) = fs::read_to_string(folder.join(format!("{name}.json"))) else { continue };
        let found: Value = serde_json::from_str(&text).with_context(|| format!("{name}.json"))?;
        let table = match name {
            "copy" => copies(&found),
            "decision" => decisions(&found),
            _ => {
                let way = if name.ends_with("tls") { "clients over TLS" } else { "in clear" };
                fs::write(folder.join(format!("{name}.svg")), plot::reads(&found, way)?)?;
                reads(name, &found)
            }
        };
        tables.push_str(&table.with_context(|| format!("{name}.json is not what this bench writes"))?);
    }
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page)?;
    let (before, rest) = text.split_once(BEGIN).context("docs/performance.md has no place for tables")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md has no end of its tables")?;
    ensure!(!after.contains(BEGIN), "docs/performance.md has two places for tables");
    fs::write(&page, format!("{before}{BEGIN}{tables}{END}{after}"))?;
    println!("written: {}", page.display());
    Ok(())
}

/// A median with its interval, as it is shown.
fn shown(spread: &Value) -> Option<String> {
    let [low, median, high] = ["low", "median", "high"].map(|name| spread.get(name)?.as_f64());
    Some(format!("{:.2} [{:.2}, {:.2}]", median?, low?, high?))
}

fn reads(name: &str, found: &Value) -> Option<String> {
    let command = if name == "reads" { "" } else { " --tls" };
    let mut table = format!(
        "\n`cargo xtask bench postgres{command}`, {} rounds of {} s:\n\n![Share of PgBouncer's throughput by mode and clients](performance/{name}.svg)\n\n\
         | mode, clients | share of PgBouncer | share of direct | PgBouncer's share of direct | CPU of a statement, gate | PgBouncer |\n|---|---|---|---|---|---|\n",
        found.get("rounds")?,
        found.get("seconds")?
    );
    let cells = found.get("cells")?.as_array()?;
    let of = |cell: &Value, name: &str| Some(cell.get(name)?.clone());
    for gate in cells.iter().filter(|cell| cell["peer"] == "Countersign") {
        let same = |cell: &&Value| cell["mode"] == gate["mode"] && cell["clients"] == gate["clients"];
        let bouncer = cells.iter().filter(same).find(|cell| cell["peer"] == "PgBouncer")?;
        table.push_str(&format!(
            "| {}, {} | {} | {} | {} | {} µs | {} µs |\n",
            gate["mode"].as_str()?,
            gate["clients"],
            shown(&of(gate, "of_pgbouncer")?)?,
            shown(&of(gate, "of_direct")?)?,
            shown(&of(bouncer, "of_direct")?)?,
            gate["cpu_microseconds"],
            bouncer["cpu_microseconds"],
        ));
    }
    Some(table)
}

fn copies(found: &Value) -> Option<String> {
    let mut table = format!(
        "\n`cargo xtask bench copy`, {} MiB, {} rounds:\n\n| COPY | through | share of direct | most memory beyond before |\n|---|---|---|---|\n",
        found.get("mebibytes")?,
        found.get("rounds")?
    );
    for cell in found.get("cells")?.as_array()? {
        let memory = cell["memory_mebibytes"].as_f64().map(|mebibytes| format!("{mebibytes:.1} MiB"));
        table.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            cell["way"].as_str()?,
            cell["peer"].as_str()?,
            shown(cell.get("of_direct")?)?,
            memory.unwrap_or_default(),
        ));
    }
    Some(table)
}

fn decisions(found: &Value) -> Option<String> {
    Some(format!(
        "\n`cargo xtask bench decision`, {} rounds: **{} ms** from the yes to the statement. The goal is 2 × fdatasync + 1 ms, \
         {:.2} ms here (fdatasync: {} ms).\n",
        found.get("rounds")?,
        shown(found.get("milliseconds")?)?,
        found.get("goal")?.as_f64()?,
        shown(found.get("fdatasync_milliseconds")?)?
    ))
}
