//! A file as the rules see it: its text, and for Rust its code without comments, literals and unit tests.

use super::Finding;

/// A tracked text file.
pub struct File {
    /// From the root of the tree, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Rust code with comments and literals blanked, up to the unit tests; empty for other files.
    pub code: String,
}

impl File {
    /// A file with its code.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { without_tests(&without_literals(text)) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Whether the file is in one of these folders.
    pub fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(&format!("{folder}/")))
    }

    /// The crate's folder name when this is a crate's source (`crates/NAME/src/…`).
    pub fn source_of(&self) -> Option<&str> {
        let (name, rest) = self.path.strip_prefix("crates/")?.split_once('/')?;
        (rest.starts_with("src/") && rest.ends_with(".rs") && !is_test_file(rest)).then_some(name)
    }

    /// Whether all of the file is tests, which may build what the code may not.
    pub fn is_test(&self) -> bool {
        is_test_file(&self.path)
    }

    /// A finding for each line of code in which the word stands.
    pub fn lines_with(&self, word: &str, message: &str) -> Vec<Finding> {
        let hits = self.code.lines().enumerate().filter(|(_, line)| has_word(line, word));
        hits.map(|(at, _)| self.finding(at + 1, message)).collect()
    }

    /// A finding in this file.
    pub fn finding(&self, line: usize, message: &str) -> Finding {
        Finding { path: self.path.clone(), line, message: message.to_owned() }
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Whether a word or path (`std::fs`) stands in a line as a whole.
pub fn has_word(line: &str, word: &str) -> bool {
    let part_of_a_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, from) = line.split_at(at);
        let after = from.strip_prefix(word).unwrap_or_default();
        !part_of_a_name(before.chars().next_back()) && !part_of_a_name(after.chars().next())
    })
}

/// Our unit tests stand last in a file.
fn without_tests(code: &str) -> String {
    let lines: Vec<&str> = code.lines().collect();
    let module = |at: &usize| {
        lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with("mod ") && next.contains('{'))
    };
    let tests = (0..lines.len())
        .find(|at| lines.get(*at).is_some_and(|line| line.trim() == "#[cfg(test)]") && module(at));
    lines.get(..tests.unwrap_or(lines.len())).unwrap_or_default().join("\n")
}

/// Blanks comments and the insides of literals, keeping every line where it is.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped =
            comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        let length = skipped.unwrap_or(0);
        if length == 0 {
            code.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (blanked, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        code.push(' ');
        code.extend(blanked.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|c| *c == '#').count();
    let inside = after.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = text.len() - inside.len();
    Some(inside.find(&end).map_or(text.len(), |at| opened + at + end.len()))
}

fn string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    Some(text.len())
}

/// `'"'` and `'\''`, but not the lifetime `'a`.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if let Some(escaped) = inside.strip_prefix('\\') {
        let end = escaped.char_indices().skip(1).find(|(_, c)| *c == '\'')?;
        return Some(2 + end.0 + 1);
    }
    let first = inside.chars().next()?;
    inside.get(first.len_utf8()..)?.starts_with('\'').then_some(2 + first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_is_left_without_comments_literals_and_tests() {
        let text = "//! tokio\nuse a::b; // tokio\n/* tokio /* tokio */ */ let x = \"tokio \\\" tokio\";\n\
                    let y = r#\"tokio \" \"#; let z: &'a str = f('\"', '\\''); real();\n\n#[cfg(test)]\nmod tests {\n tokio\n}\n";
        let file = File::new("crates/x/src/lib.rs", text);
        assert!(!file.code.contains("tokio"), "{}", file.code);
        assert!(file.code.contains("real();") && file.code.contains("use a::b;"));
        assert_eq!(file.lines_with("real", "m"), vec![file.finding(4, "m")]);
    }

    #[test]
    fn a_word_is_whole() {
        assert!(has_word("use std::fs;", "std::fs") && has_word("rand::x()", "rand"));
        assert!(!has_word("operand, random, rand_core", "rand"));
    }
}
