//! What became of each test of a suite, and where two runs of it differ. Knows no driver and no list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Of every test, by its name.
#[derive(Debug, Default)]
pub(super) struct Outcomes(BTreeMap<String, Outcome>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// `passed`, `failed`, `skipped`, `xfailed`, `hung`, or `absent` where the other run alone has it.
    word: String,
    /// What was said where it did not pass.
    says: String,
}

/// A test that does not end as it does on the other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) test: String,
    pub(super) direct: String,
    pub(super) gate: String,
    /// What was said through the gate, else without it.
    pub(super) says: String,
}

impl Outcomes {
    /// Reads what the plugin wrote.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path).with_context(|| path.display().to_string())?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut outcomes = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let value: Value = serde_json::from_str(line).with_context(|| format!("line {}", at + 1))?;
            let word = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
            let test = word("test").with_context(|| format!("line {}: no `test`", at + 1))?;
            let outcome = word("outcome").with_context(|| format!("line {}: no `outcome`", at + 1))?;
            let outcome = Outcome { word: outcome, says: word("words").unwrap_or_default() };
            outcomes.insert(test, outcome);
        }
        Ok(Self(outcomes))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of which outcome.
    pub(super) fn told(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in self.0.values() {
            *counts.entry(&outcome.word).or_default() += 1;
        }
        counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// Where they differ.
    pub(super) fn differences(&self, gate: &Self) -> Vec<Difference> {
        let tests = self.0.keys().chain(gate.0.keys().filter(|test| !self.0.contains_key(*test)));
        let absent = Outcome { word: "absent".to_owned(), says: String::new() };
        let difference = |test: &String| {
            let direct = self.0.get(test).unwrap_or(&absent);
            let gate = gate.0.get(test).unwrap_or(&absent);
            let says = if gate.says.is_empty() { &direct.says } else { &gate.says };
            (direct.word != gate.word).then(|| Difference {
                test: test.clone(),
                direct: direct.word.clone(),
                gate: gate.word.clone(),
                says: says.clone(),
            })
        };
        tests.filter_map(difference).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_one_way_alone_has_differs() {
        let line = |test: &str, outcome: &str| {
            format!("{{\"test\": \"{test}\", \"outcome\": \"{outcome}\", \"words\": \"w\"}}\n")
        };
        let direct = Outcomes::parse(&(line("a", "passed") + &line("b", "passed"))).unwrap();
        let gate = Outcomes::parse(&(line("a", "failed") + &line("c", "hung"))).unwrap();
        let told: Vec<String> = direct
            .differences(&gate)
            .into_iter()
            .map(|one| format!("{} {} {}", one.test, one.direct, one.gate))
            .collect();
        assert_eq!(told, ["a passed failed", "b passed absent", "c absent hung"]);
        assert!(direct.differences(&direct).is_empty());
        assert!(Outcomes::parse("{}").is_err());
    }
}
