//! Where two outputs differ: hunks of lines, as `diff` finds them. Knows not what the lines mean.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Lines that stand on one side and other lines, or none, that stand there on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    /// The first line on the right side.
    pub(super) at: u32,
    /// What only the left side has.
    pub(super) left: Vec<String>,
    /// What only the right side has.
    pub(super) right: Vec<String>,
}

impl Hunk {
    /// How many lines differ.
    pub(super) fn lines(&self) -> usize {
        self.left.len() + self.right.len()
    }
}

/// Compares two files.
pub(super) fn compare(left: &Path, right: &Path) -> Result<Vec<Hunk>> {
    let done = Command::new("diff")
        .args(["--text", "--minimal"])
        .args([left, right])
        .output()
        .context("`diff` is not installed")?;
    // 0: the same; 1: they differ; else it could not tell.
    match done.status.code() {
        Some(0 | 1) => Ok(parse(&String::from_utf8_lossy(&done.stdout))),
        _ => bail!("diff: {}", String::from_utf8_lossy(&done.stderr)),
    }
}

/// Reads the traditional form: `12,13c12`, then `< …`, `---`, `> …`.
fn parse(text: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    for line in text.lines() {
        let side = |mark| line.strip_prefix(mark).map(str::to_owned);
        match (hunks.last_mut(), side("< "), side("> ")) {
            (Some(hunk), Some(left), _) => hunk.left.push(left),
            (Some(hunk), _, Some(right)) => hunk.right.push(right),
            _ if line.starts_with(|c: char| c.is_ascii_digit()) => {
                hunks.push(Hunk { at: right_line(line).unwrap_or_default(), ..Hunk::default() });
            }
            // `---` and `\ No newline at end of file`.
            _ => {}
        }
    }
    hunks
}

fn right_line(header: &str) -> Option<u32> {
    let right = header.split(['a', 'c', 'd']).nth(1)?;
    right.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunk_has_both_its_sides() {
        let text = "2c2\n< ERROR:  a\n---\n> ERROR:  b\n7,8d6\n< LINE 1: x\n<  ^\n9a8\n> 1c1\n";
        let hunk = |at, left: &[&str], right: &[&str]| Hunk {
            at,
            left: left.iter().map(|&line| line.to_owned()).collect(),
            right: right.iter().map(|&line| line.to_owned()).collect(),
        };
        let expected = vec![
            hunk(2, &["ERROR:  a"], &["ERROR:  b"]),
            hunk(6, &["LINE 1: x", " ^"], &[]),
            hunk(8, &[], &["1c1"]),
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(parse(""), Vec::new());
    }
}
