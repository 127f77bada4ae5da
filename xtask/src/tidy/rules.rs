//! The rules, one small function each. Why each holds stands in docs/ARCHITECTURE.md.

use super::source::{File, has_word};
use super::{Finding, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "pure crates", look: pure_crates },
    Rule { name: "cedar only in policy", look: cedar_only_in_policy },
    Rule { name: "rusqlite only in store", look: rusqlite_only_in_store },
    Rule { name: "protocols apart", look: protocols_apart },
    Rule { name: "channels apart", look: channels_apart },
    Rule { name: "nothing imports gateway", look: nothing_imports_gateway },
    Rule { name: "only desk moves a request", look: only_desk_moves_a_request },
    Rule { name: "runtime only at the edges of a protocol", look: runtime_only_at_the_edges },
    Rule { name: "no wildcard arms", look: no_wildcard_arms },
    Rule { name: "no registry hosts", look: no_registry_hosts },
    Rule { name: "a sentence at the top", look: sentence_at_the_top },
    Rule { name: "short files", look: short_files },
];

/// The crates whose code does no I/O, reads no clock and draws no randomness.
const PURE: [&str; 4] = ["core", "ledger", "policy", "evidence"];
/// Protocol folders that others may import.
const SHARED_PROTOCOLS: [&str; 2] = ["sql", "http"];
/// How long a file may be that is no table.
const LINES_MAX: usize = 600;

fn pure_crates(file: &File) -> Vec<Finding> {
    if !file.source_of().is_some_and(|name| PURE.contains(&name)) {
        return Vec::new();
    }
    let words =
        ["std::net", "std::fs", "std::env", "fs::File", "tokio", "SystemTime", "Instant::now", "rand"];
    let message = |word| format!("`{word}` in a pure crate: take the value as an argument");
    words.iter().flat_map(|word| file.lines_with(word, &message(word))).collect()
}

fn cedar_only_in_policy(file: &File) -> Vec<Finding> {
    named_only_in(file, "cedar_policy", "cedar-policy", &["crates/policy", "fuzz", "benches"])
}

fn rusqlite_only_in_store(file: &File) -> Vec<Finding> {
    named_only_in(file, "rusqlite", "rusqlite", &["crates/store"])
}

/// A library that one crate alone may name, in code or as a dependency.
fn named_only_in(file: &File, word: &str, dependency: &str, folders: &[&str]) -> Vec<Finding> {
    if file.is_in(folders) || file.path == "Cargo.toml" {
        return Vec::new();
    }
    let message = format!("`{dependency}` is named outside {}: ask that crate instead", folders.join(", "));
    let mut findings = file.lines_with(word, &message);
    findings.extend(manifest_lines(file, dependency, &message));
    findings
}

fn manifest_lines(file: &File, dependency: &str, message: &str) -> Vec<Finding> {
    if !file.path.ends_with("Cargo.toml") {
        return Vec::new();
    }
    let names = |line: &str| {
        line.strip_prefix(dependency)
            .is_some_and(|rest| rest.starts_with(['.', ' ', '=']) && !line.starts_with('#'))
    };
    let hits = file.text.lines().enumerate().filter(|(_, line)| names(line.trim()));
    hits.map(|(at, _)| file.finding(at + 1, message)).collect()
}

fn protocols_apart(file: &File) -> Vec<Finding> {
    folders_apart(file, "crates/protocols/src", &SHARED_PROTOCOLS)
}

fn channels_apart(file: &File) -> Vec<Finding> {
    folders_apart(file, "crates/channels/src", &[])
}

/// The protocol and channel folders there are or will be; a module beside them is no sibling.
const SIBLINGS: [&str; 18] = [
    "postgres", "mysql", "http", "mcp", "exec", "api", "sql", "ssh", "git", "web", "slack", "teams",
    "webhook", "cli", "email", "terminal", "push", "openapi",
];

fn folders_apart(file: &File, root: &str, shared: &[&str]) -> Vec<Finding> {
    let Some((own, _)) = file.path.strip_prefix(&format!("{root}/")).and_then(|rest| rest.split_once('/'))
    else {
        return Vec::new();
    };
    let others = SIBLINGS.iter().filter(|name| **name != own && !shared.contains(name));
    let message = |name| format!("`{own}` imports its sibling `{name}`: what both need belongs below them");
    others.flat_map(|name| file.lines_with(&format!("crate::{name}"), &message(name))).collect()
}

fn nothing_imports_gateway(file: &File) -> Vec<Finding> {
    if file.is_in(&["crates/gateway", "fuzz"]) || file.path == "Cargo.toml" {
        return Vec::new();
    }
    let message = "the gateway composes and is imported by nothing";
    let mut findings = file.lines_with("countersign_gateway", message);
    findings.extend(
        ["countersign", "countersign-gateway"].iter().flat_map(|name| manifest_lines(file, name, message)),
    );
    findings
}

fn only_desk_moves_a_request(file: &File) -> Vec<Finding> {
    let exempt = file.is_in(&["crates/desk", "crates/core", "sim", "fuzz"]) || file.is_test();
    if !file.path.ends_with(".rs") || exempt {
        return Vec::new();
    }
    let message = "only the desk opens and steps a request: submit it there";
    let moves = |line: &str| {
        has_word(line, "lifecycle::open")
            || has_word(line, "lifecycle::step")
            || (line.contains("lifecycle::{") && (has_word(line, "open") || has_word(line, "step")))
    };
    let hits = file.code.lines().enumerate().filter(|(_, line)| moves(line));
    hits.map(|(at, _)| file.finding(at + 1, message)).collect()
}

fn runtime_only_at_the_edges(file: &File) -> Vec<Finding> {
    let Some((_, inside)) =
        file.path.strip_prefix("crates/protocols/src/").and_then(|rest| rest.split_once('/'))
    else {
        return Vec::new();
    };
    let at_the_edge =
        |part: &str| part.starts_with("serve") || part.starts_with("upstream") || part.starts_with("tests");
    if inside.split('/').any(at_the_edge) {
        return Vec::new();
    }
    file.lines_with(
        "tokio",
        "only `serve` and `upstream` of a protocol name the runtime: keep this file pure",
    )
}

/// Clippy finds the arms; this sees that it is told to.
fn no_wildcard_arms(file: &File) -> Vec<Finding> {
    let roots = ["crates/core/src/lib.rs", "crates/policy/src/lib.rs", "crates/desk/src/lib.rs"];
    let asked = file
        .code
        .lines()
        .any(|line| line.starts_with("#![") && line.contains("clippy::wildcard_enum_match_arm"));
    if !roots.contains(&file.path.as_str()) || asked {
        return Vec::new();
    }
    vec![file.finding(
        1,
        "add `#![deny(clippy::wildcard_enum_match_arm)]`: a new variant must be looked at everywhere",
    )]
}

fn no_registry_hosts(file: &File) -> Vec<Finding> {
    // Cargo writes its lock file itself. Each host is in two pieces, so that this file names none.
    if file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let hosts = [
        ["registry.npm", "js.org"],
        ["pypi", ".org"],
        ["files.python", "hosted.org"],
        ["crates", ".io"],
        ["proxy.go", "lang.org"],
        ["repo1.ma", "ven.org"],
        ["repo.maven.a", "pache.org"],
        ["deb.deb", "ian.org"],
        ["archive.ubu", "ntu.com"],
    ];
    let named = |line: &str| hosts.iter().any(|host| line.contains(&host.concat()));
    let hits = file.text.lines().enumerate().filter(|(_, line)| named(line));
    hits.map(|(at, _)| {
        file.finding(at + 1, "names a package registry's host: leave that to the client's settings")
    })
    .collect()
}

fn sentence_at_the_top(file: &File) -> Vec<Finding> {
    if !file.path.ends_with(".rs") || file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![file.finding(1, "begin with a `//!` sentence: what this is and what it refuses to know")]
}

fn short_files(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let is_table = file.text.lines().next().is_some_and(|first| first.contains("(a table)"));
    if !file.path.ends_with(".rs") || lines <= LINES_MAX || is_table {
        return Vec::new();
    }
    let message = format!(
        "{lines} lines: split it by reason to change into at most {LINES_MAX}, or say `(a table)` in its first line"
    );
    vec![file.finding(1, &message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a sample that breaks the rule, and at the same text where it is allowed.
    fn check(rule: fn(&File) -> Vec<Finding>, wrong: &str, right: &str, text: &str) {
        assert!(!rule(&File::new(wrong, text)).is_empty(), "found nothing wrong with `{text}` in {wrong}");
        assert_eq!(rule(&File::new(right, text)), Vec::new(), "{right}");
    }

    #[test]
    fn a_pure_crate_that_reads_a_clock_is_found() {
        check(pure_crates, "crates/core/src/x.rs", "crates/store/src/x.rs", "let now = SystemTime::now();");
        check(pure_crates, "crates/ledger/src/x.rs", "crates/ledger/tests/x.rs", "use std::fs;");
        check(pure_crates, "crates/policy/src/x.rs", "crates/policy/src/x/tests.rs", "tokio::spawn(x);");
    }

    #[test]
    fn a_library_named_outside_its_crate_is_found() {
        check(
            cedar_only_in_policy,
            "crates/desk/src/x.rs",
            "crates/policy/src/x.rs",
            "use cedar_policy::Entity;",
        );
        check(cedar_only_in_policy, "crates/desk/Cargo.toml", "Cargo.toml", "cedar-policy.workspace = true");
        check(
            rusqlite_only_in_store,
            "crates/desk/src/x.rs",
            "crates/store/src/x.rs",
            "rusqlite::Connection::open(p)",
        );
    }

    #[test]
    fn a_sibling_import_is_found() {
        let (mcp, postgres) = ("crates/protocols/src/mcp/x.rs", "crates/protocols/src/postgres/x.rs");
        check(protocols_apart, mcp, postgres, "use crate::postgres::codec;");
        assert!(protocols_apart(&File::new(mcp, "use crate::sql::kinds;")).is_empty());
        let (slack, web) = ("crates/channels/src/slack/x.rs", "crates/channels/src/web/x.rs");
        check(channels_apart, slack, web, "use crate::web::card;");
    }

    #[test]
    fn an_import_of_the_gateway_is_found() {
        check(
            nothing_imports_gateway,
            "crates/desk/src/x.rs",
            "crates/gateway/src/x.rs",
            "use countersign_gateway::x;",
        );
        check(
            nothing_imports_gateway,
            "crates/desk/Cargo.toml",
            "crates/gateway/Cargo.toml",
            "countersign.workspace = true",
        );
        assert!(
            nothing_imports_gateway(&File::new("sim/Cargo.toml", "countersign-core.workspace = true"))
                .is_empty()
        );
    }

    #[test]
    fn a_second_mover_of_requests_is_found() {
        let (store, desk) = ("crates/store/src/x.rs", "crates/desk/src/x.rs");
        check(only_desk_moves_a_request, store, desk, "let step = lifecycle::step(state, event, now)?;");
        check(only_desk_moves_a_request, store, desk, "use countersign_core::lifecycle::{State, open};");
        assert!(only_desk_moves_a_request(&File::new(store, "lifecycle::replay(entries)")).is_empty());
    }

    #[test]
    fn a_runtime_in_a_codec_is_found() {
        let (codec, serve) =
            ("crates/protocols/src/postgres/codec.rs", "crates/protocols/src/postgres/serve/hold.rs");
        check(runtime_only_at_the_edges, codec, serve, "use tokio::net::TcpStream;");
    }

    #[test]
    fn a_crate_that_allows_wildcard_arms_is_found() {
        check(no_wildcard_arms, "crates/desk/src/lib.rs", "crates/store/src/lib.rs", "//! The desk.\n");
        let denied = "//! The desk.\n#![deny(clippy::wildcard_enum_match_arm)]\n";
        assert!(no_wildcard_arms(&File::new("crates/desk/src/lib.rs", denied)).is_empty());
    }

    #[test]
    fn a_registry_host_is_found() {
        let text = format!("see https://{}/x", ["crates", ".io"].concat());
        check(no_registry_hosts, "README.md", "Cargo.lock", &text);
    }

    #[test]
    fn a_file_without_a_first_sentence_or_an_end_is_found() {
        check(sentence_at_the_top, "xtask/src/x.rs", "README.md", "use a;\n");
        let long = "//! A long one.\n".to_owned() + &"x();\n".repeat(LINES_MAX);
        check(short_files, "xtask/src/x.rs", "docs/x.md", &long);
        assert!(
            short_files(&File::new("xtask/src/x.rs", &long.replace("one.", "one (a table)."))).is_empty()
        );
    }
}
