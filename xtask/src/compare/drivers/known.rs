//! The one list of tests that are known to end otherwise through the gate, each with its reason. Knows outcomes, and
//! not what a test does.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::outcomes::Difference;

const LIST: &str = include_str!("known.jsonl");

/// The list.
#[derive(Debug)]
pub(super) struct Known(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    driver: String,
    /// A test's name, or how names begin where it ends with `*`.
    test: String,
    /// How it ends through the gate.
    gate: String,
}

/// What the list says of a driver's differences.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// How many it knows.
    pub(super) listed: usize,
    /// Those that it does not.
    pub(super) other: Vec<Difference>,
    /// Entries by which nothing differs any more.
    pub(super) idle: Vec<String>,
}

impl Known {
    /// The committed one.
    pub(super) fn committed() -> Result<Self> {
        Self::parse(LIST)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut entries = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let value: Value = serde_json::from_str(line).with_context(|| format!("line {}", at + 1))?;
            let word = |name: &str| {
                let word = value.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
                word.map(str::to_owned)
            };
            let (Some(driver), Some(test), Some(gate), Some(_)) =
                (word("driver"), word("test"), word("gate"), word("why"))
            else {
                bail!("line {}: expected `driver`, `test`, `gate` and `why`", at + 1);
            };
            entries.push(Entry { driver, test, gate });
        }
        Ok(Self(entries))
    }

    /// What the list says of a driver's differences.
    pub(super) fn judge(&self, driver: &str, differences: &[Difference]) -> Judged {
        let mut judged = Judged::default();
        let mut used = BTreeSet::new();
        for difference in differences {
            let at = self.0.iter().position(|entry| entry.driver == driver && entry.is_of(difference));
            match at {
                Some(at) => {
                    used.insert(at);
                    judged.listed += 1;
                }
                None => judged.other.push(difference.clone()),
            }
        }
        let idle = |(at, entry): &(usize, &Entry)| entry.driver == driver && !used.contains(at);
        judged.idle = self.0.iter().enumerate().filter(idle).map(|(_, entry)| entry.test.clone()).collect();
        judged
    }
}

impl Entry {
    fn is_of(&self, difference: &Difference) -> bool {
        let named = match self.test.strip_suffix('*') {
            Some(begin) => difference.test.starts_with(begin),
            None => difference.test == self.test,
        };
        named && difference.gate == self.gate
    }
}

impl Judged {
    /// Says what the list does not know.
    pub(super) fn show(&self) {
        for Difference { test, direct, gate, says } in &self.other {
            println!("    {test}\n        {direct}, through the gate {gate}: {says}");
        }
        for test in &self.idle {
            println!("    listed, and it does not differ any more: {test}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(test: &str, gate: &str) -> Difference {
        Difference {
            test: test.to_owned(),
            direct: "passed".to_owned(),
            gate: gate.to_owned(),
            says: String::new(),
        }
    }

    #[test]
    fn the_committed_list_can_be_read() {
        Known::committed().unwrap();
    }

    #[test]
    fn what_the_list_does_not_know_is_seen() {
        let entry = |driver: &str, test: &str| {
            format!(
                "{{\"driver\": \"{driver}\", \"test\": \"{test}\", \"gate\": \"failed\", \"why\": \"x\"}}\n"
            )
        };
        let known = Known::parse(&(entry("a", "t::*") + &entry("a", "u") + &entry("b", "v"))).unwrap();
        let all = [difference("t::1", "failed"), difference("t::2", "hung"), difference("v", "failed")];
        let judged = known.judge("a", &all);
        assert_eq!((judged.listed, judged.other.as_slice()), (1, &all[1..]));
        assert_eq!(judged.idle, ["u"]);
        assert!(Known::parse("{\"driver\": \"a\", \"test\": \"t\", \"gate\": \"failed\"}").is_err());
    }
}
