//! The checks of everything but targets: names, addresses, numbers. Each says what was expected, what was found and
//! what to do.

use super::raw::{RawAgent, RawAgentKey, RawConfig, RawLimits, RawTarget};
use super::{ConfigError, policy_files};
use countersign_core::id::{AgentName, GroupName, PersonName, PipelineName, TargetName, TokenId};
use countersign_core::label::{Label, Mask};
use countersign_core::time::Timestamp;
use countersign_desk::Limits;
use countersign_identity::agent_keys::{AgentKey, KEY_PREFIX, Verifier};
use countersign_identity::agents::{AgentConfig, Shows};
use countersign_identity::certificates::CertificateName;
use countersign_identity::people::PersonEntry;
use countersign_protocols::postgres::serve::GateLimits;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What checks need to know of the file.
pub(super) struct Check<'a> {
    pub(super) path: &'a Path,
    pub(super) folder: &'a Path,
}

impl Check<'_> {
    pub(super) fn value(&self, key: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError::Value { path: self.path.to_owned(), key: key.into(), message: message.into() }
    }

    pub(super) fn name<T, E: std::fmt::Display>(
        &self,
        key: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        parse(text).map_err(|error| self.value(key, error.to_string()))
    }

    pub(super) fn names<T: Ord, E: std::fmt::Display>(
        &self,
        key: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<BTreeSet<T>, ConfigError> {
        texts.iter().map(|text| self.name(key, text, &parse)).collect()
    }

    // Passkeys work on https and on localhost only: anything else would fail in the browser, later.
    pub(super) fn public_url(&self, text: &str) -> Result<String, ConfigError> {
        let url = text.trim_end_matches('/');
        let host = host_of(url);
        let secure = url.starts_with("https://");
        let local = url.starts_with("http://") && (host == "localhost" || host.ends_with(".localhost"));
        let plain = url.split_once("://").is_some_and(|(_, rest)| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b))
        });
        if (secure || local) && plain && !host.is_empty() {
            return Ok(url.to_owned());
        }
        let message = format!(
            "expected `https://HOST[:PORT]`, or `http://localhost:PORT` to try it out, found `{text}`: passkeys work nowhere else"
        );
        Err(self.value("public_url", message))
    }

    pub(super) fn origin(&self, origin: String) -> Result<String, ConfigError> {
        let name: Result<countersign_ledger::note::KeyName, _> = origin.parse();
        match name {
            Ok(_) => Ok(origin),
            Err(error) => Err(self.value("log.origin", error.to_string())),
        }
    }

    pub(super) fn people(&self, raw: &RawConfig) -> Result<Vec<PersonEntry>, ConfigError> {
        let person = |(at, raw): (usize, &super::raw::RawPerson)| {
            let key = format!("people[{at}]");
            let name = self.name(&key, &raw.name, PersonName::parse)?;
            Ok(PersonEntry {
                display: raw.display.clone().unwrap_or_else(|| name.to_string()),
                name,
                groups: self.names(&key, &raw.groups, GroupName::parse)?,
                accounts: raw.accounts.iter().cloned().collect(),
                same_as: raw.same_as.as_deref().map(|n| self.name(&key, n, PersonName::parse)).transpose()?,
            })
        };
        raw.people.iter().enumerate().map(person).collect()
    }

    pub(super) fn agents(&self, raw: &RawConfig) -> Result<Vec<AgentConfig>, ConfigError> {
        let targets = &raw.targets;
        let agent = |(at, raw): (usize, &RawAgent)| {
            let key = format!("agents[{at}]");
            Ok(AgentConfig {
                name: self.name(&key, &raw.name, AgentName::parse)?,
                groups: self.names(&key, &raw.groups, GroupName::parse)?,
                pipeline: raw
                    .pipeline
                    .as_deref()
                    .map(|n| self.name(&key, n, PipelineName::parse))
                    .transpose()?,
                owner: self.name(&key, &raw.owner, PersonName::parse)?,
                shows: self.shows(&key, raw, targets)?,
            })
        };
        raw.agents.iter().enumerate().map(agent).collect()
    }

    // One proof an agent: what a second would prove could be had by the weaker of them.
    fn shows(
        &self,
        key: &str,
        raw: &RawAgent,
        targets: &BTreeMap<String, RawTarget>,
    ) -> Result<Shows, ConfigError> {
        let of = |name: &str| format!("{key}.{name}");
        match (&raw.key, raw.certificate.as_deref()) {
            (None, None) => Ok(Shows::Token),
            (Some(own), None) => Ok(Shows::Key(self.agent_key(&of("key"), own, targets)?)),
            (Some(_), Some(_)) => {
                Err(self.value(of("certificate"), "found a key too: an agent shows one of them"))
            }
            (None, Some(name)) => {
                let believed = |target: &RawTarget| {
                    target.client_tls.as_ref().is_some_and(|tls| tls.client_authorities.is_some())
                };
                if !targets.values().any(believed) {
                    let message =
                        "no target has client_tls.client_authorities: say whose certificates are believed";
                    return Err(self.value(of("certificate"), message));
                }
                Ok(Shows::Certificate(self.name(&of("certificate"), name, CertificateName::parse)?))
            }
        }
    }

    fn agent_key(
        &self,
        key: &str,
        raw: &RawAgentKey,
        targets: &BTreeMap<String, RawTarget>,
    ) -> Result<AgentKey, ConfigError> {
        let of = |name: &str| format!("{key}.{name}");
        let target = raw.target.as_deref().map(|name| self.name(&of("target"), name, TargetName::parse));
        let target = target.transpose()?;
        if let Some(name) = target.as_ref().filter(|name| !targets.contains_key(name.as_str())) {
            return Err(self.value(of("target"), format!("`{name}` is none of [targets]")));
        }
        if raw.id.starts_with(KEY_PREFIX) || raw.verifier.starts_with(KEY_PREFIX) {
            let said = "found a key written out: the line that `countersign token key` prints beside it belongs here";
            return Err(self.value(key.to_owned(), said.to_owned()));
        }
        let id = self.name(&of("id"), &raw.id, TokenId::parse)?;
        let verifier = self.name(&of("verifier"), &raw.verifier, Verifier::parse)?;
        let issued_at = self.name(&of("issued_at"), &raw.issued_at, Timestamp::parse)?;
        let expires_at = self.name(&of("expires_at"), &raw.expires_at, Timestamp::parse)?;
        AgentKey::new(id, verifier, target, issued_at, expires_at)
            .map_err(|error| self.value(of("expires_at"), error.to_string()))
    }

    pub(super) fn policy_files(
        &self,
        raw: &RawConfig,
    ) -> Result<(Option<Vec<PathBuf>>, Vec<PathBuf>), ConfigError> {
        let expand = |key: &str, names: &[String], extension| {
            policy_files::expand(self.folder, names, extension).map_err(|message| self.value(key, message))
        };
        let policies =
            raw.policy.files.as_deref().map(|names| expand("policy.files", names, "cedar")).transpose()?;
        let tests = match &raw.policy.tests {
            Some(names) => expand("policy.tests", names, "test.toml")?,
            None => Vec::new(),
        };
        Ok((policies, tests))
    }

    pub(super) fn masks(&self, raw: &RawConfig) -> Result<BTreeMap<Label, Mask>, ConfigError> {
        let mask = |(label, word): (&String, &String)| {
            let key = format!("masks.\"{label}\"");
            let mask = Mask::parse(word).map_err(|error| self.value(&key, error.to_string()))?;
            Ok((self.name(&key, label, Label::parse)?, mask))
        };
        raw.masks.iter().map(mask).collect()
    }

    pub(super) fn limits(&self, raw: &RawLimits) -> Result<(Limits, GateLimits), ConfigError> {
        let bounded = |name: &str, value: Option<u64>, default: u64, max: u64| match value {
            None => Ok(default),
            Some(n) if (1..=max).contains(&n) => Ok(n),
            Some(n) => Err(self.value(format!("limits.{name}"), format!("expected 1 to {max}, found {n}"))),
        };
        let (desk, gate) = (Limits::default(), GateLimits::default());
        let count = |name: &str, value: Option<u64>, default: usize, max: u64| {
            bounded(name, value, default as u64, max).map(|n| usize::try_from(n).unwrap_or(default))
        };
        let millis = |name: &str, value: Option<u64>, default: Duration, max: u64| {
            let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
            bounded(name, value, default, max).map(Duration::from_millis)
        };
        let seconds = |name: &str, value: Option<u64>, default: Duration, max: u64| {
            bounded(name, value, default.as_secs(), max).map(Duration::from_secs)
        };
        Ok((
            Limits {
                holds_max: bounded("holds_max", raw.holds_max, desk.holds_max, 1_000_000)?,
                holds_per_agent_max: bounded(
                    "holds_per_agent_max",
                    raw.holds_per_agent_max,
                    desk.holds_per_agent_max,
                    1_000_000,
                )?,
            },
            GateLimits {
                connections_max: count(
                    "connections_max",
                    raw.connections_max,
                    gate.connections_max,
                    100_000,
                )?,
                connections_per_agent_max: count(
                    "connections_per_agent_max",
                    raw.connections_per_agent_max,
                    gate.connections_per_agent_max,
                    100_000,
                )?,
                handshakes_max: count("handshakes_max", raw.handshakes_max, gate.handshakes_max, 10_000)?,
                handshake_wait_max: seconds(
                    "handshake_seconds_max",
                    raw.handshake_seconds_max,
                    gate.handshake_wait_max,
                    300,
                )?,
                server_connections_max: count(
                    "server_connections_max",
                    raw.server_connections_max,
                    gate.server_connections_max,
                    100_000,
                )?,
                held_server_wait_max: seconds(
                    "held_server_seconds_max",
                    raw.held_server_seconds_max,
                    gate.held_server_wait_max,
                    3_600,
                )?,
                copy_in_bytes_max: count(
                    "copy_in_bytes_max",
                    raw.copy_in_bytes_max,
                    gate.copy_in_bytes_max,
                    1 << 30,
                )?,
                copies_in_bytes_max: count(
                    "copies_in_bytes_max",
                    raw.copies_in_bytes_max,
                    gate.copies_in_bytes_max,
                    1 << 36,
                )?,
                preview_wait_max: millis(
                    "preview_millis_max",
                    raw.preview_millis_max,
                    gate.preview_wait_max,
                    60_000,
                )?,
                preview_lock_wait_max: millis(
                    "preview_lock_millis_max",
                    raw.preview_lock_millis_max,
                    gate.preview_lock_wait_max,
                    10_000,
                )?,
                preview_table_bytes_max: bounded(
                    "preview_table_bytes_max",
                    raw.preview_table_bytes_max,
                    gate.preview_table_bytes_max,
                    1 << 40,
                )?,
            },
        ))
    }
}

/// The host of an address.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split([':', '/']).next().unwrap_or_default()
}
