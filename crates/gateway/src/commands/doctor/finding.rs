//! What the doctor finds, in plain words with what to do. Knows no server.

use super::super::say;
use serde::Serialize;

/// The most names that one finding lists.
const NAMES_MAX: usize = 8;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Fine,
    /// It weakens a wall, or hides something.
    Warn,
    /// The gate should not serve like this.
    Refuse,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at: a word that stays the same.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub then: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(check: &'static str, found: impl Into<String>) -> Self {
        Self { grade: Grade::Fine, check, found: found.into(), then: String::new() }
    }

    /// Something that is not.
    pub fn bad(grade: Grade, check: &'static str, found: impl Into<String>, then: impl Into<String>) -> Self {
        Self { grade, check, found: found.into(), then: then.into() }
    }
}

/// What was found in one database of one target.
#[derive(Debug, Serialize)]
pub struct Examined {
    /// The target.
    pub target: String,
    /// The database.
    pub database: String,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

impl Examined {
    /// How many are of a grade.
    pub fn count(&self, grade: Grade) -> usize {
        self.findings.iter().filter(|finding| finding.grade == grade).count()
    }

    /// Prints it.
    pub fn print(&self) {
        say(&format!("{}, database {}", shown(&self.target), shown(&self.database)));
        for finding in &self.findings {
            let word = match finding.grade {
                Grade::Refuse => "REFUSE",
                Grade::Warn => "warn  ",
                Grade::Fine => "fine  ",
            };
            say(&format!("  {word}  {}: {}", finding.check, finding.found));
            if !finding.then.is_empty() {
                say(&format!("          -> {}", finding.then));
            }
        }
        say("");
    }
}

/// A name as it may be printed: what comes from a server may hold anything.
pub fn shown(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// Names, as many as one can read.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(shown).collect();
    let first: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => first.join(", "),
        Some(more) => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_far_as_one_can_read_and_hold_no_line_break() {
        let many: Vec<String> = (0..11).map(|n| format!("t{n}")).collect();
        let said = listed(many.iter().map(String::as_str));
        assert!(said.ends_with("`t7` and 3 more"), "{said}");
        assert_eq!(listed(["a\nb"]), "`a\\nb`");
        assert!(Grade::Refuse > Grade::Warn && Grade::Warn > Grade::Fine);
    }
}
