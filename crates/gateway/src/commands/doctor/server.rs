//! What the server is and how it is set: its version, the settings by which the gate reads statements, its log, TLS, and
//! whether it is a server at all. Asks it, changes nothing.

use super::finding::{Finding, Grade, listed, shown};
use anyhow::Result;
use countersign_protocols::postgres::serve::{self, Between, Questions};
use countersign_protocols::postgres::upstream::UpstreamConfig;
use std::collections::BTreeMap;

/// The oldest server that is tried at every change, as `server_version_num`.
const VERSION_MIN: u32 = 150_000;
/// The first that is newer than any that is tried.
const VERSION_END: u32 = 190_000;

/// The settings that are looked at.
const SETTINGS: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('server_version_num', \
    'standard_conforming_strings', 'row_security', 'session_replication_role', 'server_encoding', 'track_counts', \
    'session_preload_libraries', 'local_preload_libraries', 'shared_preload_libraries', 'log_statement', \
    'log_min_duration_statement', 'log_min_duration_sample', 'log_transaction_sample_rate', 'password_encryption', 'ssl', \
    'ssl_min_protocol_version', 'listen_addresses', 'fsync', 'synchronous_commit', 'max_connections', \
    'default_transaction_isolation', 'check_function_bodies')";

/// Everything about the server, as a session of one of the gate's roles finds it.
pub async fn examine(at: &mut Questions, connections_max: usize) -> Result<Vec<Finding>> {
    let rows = at.rows(SETTINGS).await?;
    let settings: BTreeMap<String, String> = rows
        .into_iter()
        .filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(value)]) => Some((name, value)),
            _ => None,
        })
        .collect();
    let mut found = judged(&settings, connections_max);
    let triggers = at
        .rows("SELECT evtname::text FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' ORDER BY 1")
        .await?;
    let names = super::role::first_cells(&triggers);
    if !names.is_empty() {
        let what = format!("event triggers run code that no card shows: {}", listed(names));
        found.push(Finding::bad(
            Grade::Warn,
            "event triggers",
            what,
            "read what they do; drop those that are not needed",
        ));
    }
    let standby = at.rows("SELECT pg_catalog.pg_is_in_recovery()::text").await?;
    if super::role::first_cells(&standby) == ["true"] {
        let what = "it is a standby: nothing that people approve can be written there";
        found.push(Finding::bad(
            Grade::Warn,
            "standby",
            what,
            "let the target name the primary, unless only reads are meant",
        ));
    }
    if found.is_empty() {
        found.push(Finding::fine("settings", "the server's settings are those that the gate counts on"));
    }
    Ok(found)
}

/// What settings say. Pure.
fn judged(settings: &BTreeMap<String, String>, connections_max: usize) -> Vec<Finding> {
    let mut found = Vec::new();
    let is = |name: &str| settings.get(name).map(String::as_str);
    let number = |name: &str| is(name).and_then(|value| value.parse::<i64>().ok());
    version(&mut found, is("server_version_num"));
    for (name, wanted, because) in [
        ("standard_conforming_strings", "on", "a backslash would mean something else to it than to the gate"),
        ("row_security", "on", "what row security hides would be an error"),
        ("session_replication_role", "origin", "triggers and foreign keys would not hold"),
    ] {
        if is(name).is_some_and(|value| value != wanted) {
            let what = format!(
                "{name} is {}: {because}; each session would end at its first statement",
                shown(is(name).unwrap_or_default())
            );
            found.push(Finding::bad(
                Grade::Refuse,
                "settings",
                what,
                format!("set {name} = {wanted} for the gate's roles (ALTER ROLE … RESET {name})"),
            ));
        }
    }
    if is("server_encoding").is_some_and(|encoding| encoding == "SQL_ASCII") {
        let what = "the database's encoding is SQL_ASCII: bytes that are no UTF-8 are refused as what cannot be masked or read";
        found.push(Finding::bad(Grade::Warn, "settings", what, "use a database in UTF8"));
    }
    if is("track_counts") == Some("off") {
        let what = "track_counts is off: estimates of rows on cards go stale";
        found.push(Finding::bad(Grade::Warn, "settings", what, "set track_counts = on"));
    }
    preloaded(&mut found, settings);
    log(&mut found, settings);
    for (name, because) in [
        ("fsync", "what is recorded as committed may be gone after a crash"),
        ("synchronous_commit", "what is recorded as committed may be undone by a crash"),
    ] {
        if is(name) == Some("off") {
            found.push(Finding::bad(
                Grade::Warn,
                "durability",
                format!("{name} is off: {because}"),
                format!("set {name} = on"),
            ));
        }
    }
    if number("max_connections").is_some_and(|max| i64::try_from(connections_max).unwrap_or(i64::MAX) >= max)
    {
        let what = format!(
            "limits.server_connections_max is {connections_max}, and the server takes {} connections in all",
            number("max_connections").unwrap_or_default()
        );
        found.push(Finding::bad(
            Grade::Warn,
            "connections",
            what,
            "set server_connections_max below max_connections, with room for everybody else",
        ));
    }
    if is("password_encryption") == Some("md5") {
        let what = "password_encryption is md5: new passwords are kept in a form that can be replayed";
        found.push(Finding::bad(
            Grade::Warn,
            "passwords",
            what,
            "set password_encryption = 'scram-sha-256', and set the passwords again",
        ));
    }
    transport(&mut found, settings);
    found
}

fn version(found: &mut Vec<Finding>, number: Option<&str>) {
    let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) else {
        let what = "the server does not say its version";
        found.push(Finding::bad(Grade::Refuse, "version", what, "check what listens there"));
        return;
    };
    let shown = format!("{}.{}", number / 10_000, number % 10_000);
    if number < VERSION_MIN {
        let what = format!("PostgreSQL {shown} is older than any that the gate is tried with");
        found.push(Finding::bad(Grade::Refuse, "version", what, "use PostgreSQL 15 or newer"));
    } else if number >= VERSION_END {
        let what = format!(
            "PostgreSQL {shown} is newer than any that the gate is tried with: functions that it adds are not on the gate's lists"
        );
        found.push(Finding::bad(
            Grade::Warn,
            "version",
            what,
            "use PostgreSQL 15 to 18, or look through what is new",
        ));
    }
}

fn preloaded(found: &mut Vec<Finding>, settings: &BTreeMap<String, String>) {
    for name in ["session_preload_libraries", "local_preload_libraries"] {
        if let Some(libraries) = settings.get(name).filter(|libraries| !libraries.is_empty()) {
            let what = format!(
                "{name} is {}: code that the gate does not know runs in each session",
                shown(libraries)
            );
            found.push(Finding::bad(
                Grade::Warn,
                "preloaded",
                what,
                "see that it neither changes settings nor shows what is labelled",
            ));
        }
    }
    let shared = settings.get("shared_preload_libraries").map_or("", String::as_str);
    if shared.contains("auto_explain") {
        let what =
            "auto_explain is loaded: plans with the values of statements may stand in the server's log";
        found.push(Finding::bad(
            Grade::Warn,
            "log",
            what,
            "see auto_explain.log_min_duration, and who reads the log",
        ));
    }
}

// Statements hold values: what is logged in clear is seen by whoever reads the log.
fn log(found: &mut Vec<Finding>, settings: &BTreeMap<String, String>) {
    let mut says = Vec::new();
    if let Some(value) = settings.get("log_statement").filter(|value| *value == "mod" || *value == "all") {
        says.push(format!("log_statement = {value}"));
    }
    for name in ["log_min_duration_statement", "log_min_duration_sample"] {
        if let Some(value) =
            settings.get(name).filter(|value| value.parse::<i64>().is_ok_and(|value| value >= 0))
        {
            says.push(format!("{name} = {value}"));
        }
    }
    if let Some(value) = settings
        .get("log_transaction_sample_rate")
        .filter(|value| value.parse::<f64>().is_ok_and(|value| value > 0.0))
    {
        says.push(format!("log_transaction_sample_rate = {value}"));
    }
    if !says.is_empty() {
        let what = format!(
            "the server's log holds statements with their values ({}), labelled ones too",
            says.join(", ")
        );
        found.push(Finding::bad(Grade::Warn, "log", what, "let nobody read it who may not see them, or set log_parameter_max_length = 0 and log fewer statements"));
    }
}

fn transport(found: &mut Vec<Finding>, settings: &BTreeMap<String, String>) {
    let is = |name: &str| settings.get(name).map_or("", String::as_str);
    let near = is("listen_addresses")
        .split(',')
        .map(str::trim)
        .all(|address| matches!(address, "" | "localhost" | "127.0.0.1" | "::1"));
    // Who may not see listen_addresses is told nothing of it.
    let known = settings.contains_key("listen_addresses");
    if known && !near && is("ssl") == "off" {
        let what = "the server listens beyond this machine, and ssl is off: others speak with it in clear";
        found.push(Finding::bad(
            Grade::Warn,
            "tls",
            what,
            "set ssl = on with a certificate, and hostssl in pg_hba.conf",
        ));
    }
    if is("ssl") == "on"
        && matches!(is("ssl_min_protocol_version"), "" | "TLSv1" | "TLSv1.1")
        && settings.contains_key("ssl_min_protocol_version")
    {
        let what =
            "ssl_min_protocol_version is below TLSv1.2: others may speak with it by TLS that is broken";
        found.push(Finding::bad(Grade::Warn, "tls", what, "set ssl_min_protocol_version = 'TLSv1.2'"));
    }
}

/// How the gate's own connection is protected, where the configuration asks for TLS and where it does not.
pub async fn own_transport(at: &mut Questions, config: &UpstreamConfig) -> Result<Vec<Finding>> {
    use countersign_protocols::postgres::upstream::TlsMode;
    let rows = at
        .rows("SELECT version, cipher, bits::text FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid() AND ssl")
        .await?;
    let asked = matches!(config.tls, TlsMode::Require { .. });
    Ok(vec![match (asked, rows.first().map(Vec::as_slice)) {
        (false, _) => {
            Finding::fine("tls", "the gate reaches the server over loopback or a Unix socket, without TLS")
        }
        (true, Some([Some(version), Some(cipher), bits])) => {
            let bits = bits.as_deref().unwrap_or_default();
            let what = format!(
                "the gate's connection is {version}, {cipher}, {bits} bits, and the server's certificate is verified"
            );
            match bits.parse::<u32>() {
                Ok(bits) if bits < 128 => Finding::bad(
                    Grade::Refuse,
                    "tls",
                    what,
                    "let the server offer ciphers of 128 bits or more",
                ),
                _ => Finding::fine("tls", what),
            }
        }
        (true, _) => Finding::bad(
            Grade::Warn,
            "tls",
            "the gate speaks TLS, and the server knows of none on this connection: somebody ends it in between",
            "let the target name the server itself",
        ),
    }])
}

/// Whether what answers is the server, or something in between that lends its connections.
pub async fn between(config: &UpstreamConfig) -> Result<Vec<Finding>> {
    let then =
        "let the target name PostgreSQL itself; a pooler may stand before the gate (docs/operations.md)";
    let (grade, what) = match serve::between(config).await? {
        Between::Nobody => return Ok(Vec::new()),
        Between::Speaker => (
            Grade::Warn,
            "what answers is not the server but something that speaks for it (a pooler, a proxy): a direct path may lead around the gate, and cancelling may not reach the server",
        ),
        Between::Lender => (
            Grade::Refuse,
            "the target is a pooler that lends a connection for one transaction: settings, prepared statements and locks of one session would be those of another",
        ),
    };
    Ok(vec![Finding::bad(grade, "pooler", what, then)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<(Grade, &'static str)> {
        let usual = [
            ("server_version_num", "150004"),
            ("standard_conforming_strings", "on"),
            ("max_connections", "100"),
        ];
        let all = usual.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        judged(&all.collect(), 50).into_iter().map(|finding| (finding.grade, finding.check)).collect()
    }

    #[test]
    fn settings_that_defeat_the_gate_are_refused_and_those_that_weaken_it_are_warned_of() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[("standard_conforming_strings", "off")]), [(Grade::Refuse, "settings")]);
        assert_eq!(of(&[("row_security", "off")]), [(Grade::Refuse, "settings")]);
        assert_eq!(of(&[("session_replication_role", "replica")]), [(Grade::Refuse, "settings")]);
        assert_eq!(of(&[("server_version_num", "140011")]), [(Grade::Refuse, "version")]);
        assert_eq!(of(&[("server_version_num", "190000")]), [(Grade::Warn, "version")]);
        assert_eq!(of(&[("max_connections", "50")]), [(Grade::Warn, "connections")]);
        assert_eq!(
            of(&[("log_statement", "mod"), ("log_min_duration_statement", "0")]),
            [(Grade::Warn, "log")]
        );
        assert_eq!(of(&[("log_min_duration_statement", "-1"), ("log_statement", "ddl")]), []);
        assert_eq!(of(&[("password_encryption", "md5")]), [(Grade::Warn, "passwords")]);
        assert_eq!(of(&[("ssl", "off"), ("listen_addresses", "*")]), [(Grade::Warn, "tls")]);
        assert_eq!(of(&[("ssl", "off"), ("listen_addresses", "localhost, ::1")]), []);
        assert_eq!(of(&[("ssl", "on"), ("ssl_min_protocol_version", "TLSv1.1")]), [(Grade::Warn, "tls")]);
        assert_eq!(of(&[("local_preload_libraries", "x")]), [(Grade::Warn, "preloaded")]);
        assert_eq!(of(&[("fsync", "off")]), [(Grade::Warn, "durability")]);
    }
}
