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

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX {
            skip_line(&mut input)?;
            line.clear();
            line.extend_from_slice(b"a line that is too long");
        }
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = match serde_json::from_slice::<Line>(line) {
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

/// Reads on to the end of a line, so that its rest is not taken for another.
fn skip_line(input: &mut impl BufRead) -> Result<()> {
    loop {
        let chunk = input.fill_buf()?;
        let (length, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        input.consume(length);
        if ended {
            return Ok(());
        }
    }
}
