//! A plot of what was measured, as SVG: a dot for each median, a line for its interval. Readable on light and on dark.

use anyhow::{Context, Result};
use serde_json::Value;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const ROW: f64 = 30.0;
/// The shares at both ends of the axis.
const FROM: f64 = 0.4;
const TO: f64 = 1.6;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.quiet{fill:#59636e;font-size:12px}\
.grid{stroke:#d1d9e0}.peer{stroke:#59636e;stroke-dasharray:4 3}.range{stroke:#0b6e4f;stroke-width:3;stroke-linecap:round}\
.dot{fill:#0b6e4f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.grid{stroke:#3d444d}\
.peer{stroke:#9198a1}.range{stroke:#4cc38a}.dot{fill:#4cc38a}}";

fn x(share: f64) -> f64 {
    LEFT + (share.clamp(FROM, TO) - FROM) / (TO - FROM) * (WIDTH - LEFT - RIGHT)
}

/// The gate's share of PgBouncer's throughput, cell by cell.
/// `way`: how the clients came.
pub(super) fn reads(found: &Value, way: &str) -> Result<String> {
    let cells = found["cells"].as_array().context("no cells")?;
    let cells: Vec<&Value> = cells.iter().filter(|cell| cell["peer"] == "Countersign").collect();
    let bottom = TOP + ROW * cells.len() as f64;
    let height = bottom + 44.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Share of \
         PgBouncer's throughput\">\n<style>{STYLE}</style>\n<text x=\"{LEFT}\" y=\"22\">Reads by primary key: share of \
         PgBouncer's throughput, {way}</text>\n<text class=\"quiet\" x=\"{LEFT}\" y=\"42\">median of {} rounds and its 95 % interval; \
         every statement classified, judged and recorded</text>\n",
        found["rounds"]
    );
    for tenth in (4..=16).step_by(2) {
        let (share, at) = (f64::from(tenth) / 10.0, x(f64::from(tenth) / 10.0));
        let class = if tenth == 10 { "peer" } else { "grid" };
        out.push_str(&format!(
            "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
             <text class=\"quiet\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{share:.1}</text>\n",
            bottom + 18.0
        ));
    }
    let at = x(1.0);
    out.push_str(&format!(
        "<text class=\"quiet\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">PgBouncer</text>\n",
        bottom + 34.0
    ));
    for (row, cell) in (0_u32..).zip(cells) {
        let y = TOP + ROW * (f64::from(row) + 0.5);
        let spread = &cell["of_pgbouncer"];
        let [low, median, high] = ["low", "median", "high"].map(|name| spread[name].as_f64().map(x));
        let (low, median, high) = (low.context("low")?, median.context("median")?, high.context("high")?);
        let (mode, clients) = (cell["mode"].as_str().context("a mode")?, &cell["clients"]);
        out.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mode}, {clients}</text>\n\
             <line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n\
             <circle class=\"dot\" cx=\"{median:.1}\" cy=\"{y:.1}\" r=\"5\"/>\n",
            LEFT - 12.0,
            y + 4.5
        ));
    }
    out.push_str("</svg>\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dot_stands_at_its_median_and_only_the_gate_has_one() {
        let cell = |peer: &str, median: f64| {
            let spread = json!({ "low": median - 0.1, "median": median, "high": median + 0.1 });
            json!({ "mode": "simple", "clients": 16, "peer": peer, "of_pgbouncer": spread })
        };
        let found = json!({ "rounds": 9, "cells": [cell("PgBouncer", 1.0), cell("Countersign", 0.8)] });
        let svg = reads(&found, "in clear").unwrap();
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains(&format!("cx=\"{:.1}\"", x(0.8))), "{svg}");
        assert!(reads(&json!({}), "in clear").is_err());
    }
}
