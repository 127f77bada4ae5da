//! A batch: a JSON object a line in, an answer a line out. A line that cannot be read is answered as one that is not
//! understood, and the batch goes on.

use super::session::Simulated;
use super::{Answer, World};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

/// The longest line: a statement of 1 MiB in JSON's longest spelling, and its values.
const LINE_BYTES_MAX: u64 = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sql: String,
    #[serde(default)]
    params: Vec<Option<String>>,
}

pub(super) fn run(world: &World<'_>, session: &mut Simulated, from: &str) -> Result<()> {
    let input: Box<dyn Read> = match from {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).with_context(|| format!("cannot read `{path}`"))?),
    };
    let mut input = BufReader::new(input);
    let mut out = io::BufWriter::new(io::stdout());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = match serde_json::from_slice::<Line>(&line) {
            Ok(line) => world.answer(session, &line.sql, &line.params),
            Err(error) => {
                Answer::not_understood(&format!("expected {{\"sql\": …, \"params\": […]}}: {error}"))
            }
        };
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        // Whoever feeds lines one by one waits for each answer.
        out.flush()?;
    }
    Ok(())
}
