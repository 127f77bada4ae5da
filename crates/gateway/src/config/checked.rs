//! The configuration as the rest of the gate uses it: every name parsed, every number bounded, every path whole.
//! Data only: no handles, no secrets, and nothing is opened.

use super::checks::{Check, host_of};
use super::raw::RawConfig;
use super::{ConfigError, SecretRef};
use countersign_core::id::{AgentName, EnvName, GroupName, PersonName, TargetName};
use countersign_core::label::{Label, Mask};
use countersign_desk::Limits;
use countersign_identity::agents::AgentConfig;
use countersign_identity::people::PersonEntry;
use countersign_protocols::postgres::serve::{GateLimits, Preview};
use countersign_protocols::postgres::session::Mode;
use countersign_protocols::postgres::upstream::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The store's folder.
    pub data_dir: PathBuf,
    /// The folder of the gate's keys.
    pub keys_dir: PathBuf,
    /// The inbox as people reach it, without a slash at its end.
    pub public_url: String,
    /// The person whose first key needs nobody's signature.
    pub first_approver: PersonName,
    /// The log's origin.
    pub origin: String,
    /// The tokens of the log's readers.
    pub reader_tokens: Vec<SecretRef>,
    /// Where the inbox listens.
    pub web_listen: SocketAddr,
    /// The domain of the passkeys.
    pub rp_id: String,
    /// The inbox's certificate.
    pub web_tls: Option<TlsFiles>,
    /// Where health and metrics are.
    pub ops_listen: SocketAddr,
    /// What is said to the operator.
    pub filter: String,
    /// As JSON, not as text.
    pub json_messages: bool,
    /// The people.
    pub people: Vec<PersonEntry>,
    /// The agents.
    pub agents: Vec<AgentConfig>,
    /// The policy files; none for the shipped set.
    pub policies: Option<Vec<PathBuf>>,
    /// The files of policy tests.
    pub policy_tests: Vec<PathBuf>,
    /// The mask of each label.
    pub masks: BTreeMap<Label, Mask>,
    /// The desk's limits.
    pub limits: Limits,
    /// Each gate's limits.
    pub gate_limits: GateLimits,
    /// The targets.
    pub targets: BTreeMap<TargetName, Target>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// TLS towards agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// What the gate shows.
    pub own: TlsFiles,
    /// The authorities whose client certificates are believed.
    pub authorities: Option<PathBuf>,
    /// Their lists of revoked certificates.
    pub revocations: Option<PathBuf>,
}

/// One server behind the gate.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its environment.
    pub env: EnvName,
    /// Where the gate listens for it.
    pub listen: SocketAddr,
    /// Where it is.
    pub address: Address,
    /// How it shows who it is; none on loopback and Unix sockets.
    pub tls: Option<ServerTls>,
    /// The databases, each with its catalogue file.
    pub databases: BTreeMap<String, PathBuf>,
    /// The roles of each agent.
    pub roles: BTreeMap<AgentName, Roles>,
    /// The roles of every other agent.
    pub default_role: Option<Roles>,
    /// The role that reads the server's catalogue.
    pub catalogue_role: Role,
    /// The certificate that agents see.
    pub client_tls: Option<ClientTlsFiles>,
    /// What clients do when an action needs people.
    pub mode: Mode,
    /// The same for single agents.
    pub modes: BTreeMap<AgentName, Mode>,
    /// What is found out before people are asked.
    pub preview: Preview,
}

/// By which certificate a server shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificates that are trusted.
    pub ca: PathBuf,
    /// The name that its certificate must hold.
    pub server_name: String,
}

/// The roles of an agent at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// The one that its sessions log in as.
    pub login: Role,
    /// The one that masked reads are done in.
    pub masked: Option<String>,
    /// The one that what people approved is done in.
    pub granted: Option<Role>,
}

/// A role at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub role: String,
    /// Where its password is.
    pub password: Option<SecretRef>,
}

impl Config {
    /// The groups of people, with their members.
    pub fn groups(&self) -> BTreeMap<GroupName, BTreeSet<PersonName>> {
        let mut groups: BTreeMap<GroupName, BTreeSet<PersonName>> = BTreeMap::new();
        for person in &self.people {
            let name = person.same_as.as_ref().unwrap_or(&person.name);
            for group in &person.groups {
                groups.entry(group.clone()).or_default().insert(name.clone());
            }
        }
        groups
    }

    /// The socket of the commands that talk to the running gate.
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }
}

pub(super) fn check(path: &Path, raw: RawConfig) -> Result<Config, ConfigError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let check = Check { path, folder };
    let public_url = check.public_url(&raw.public_url)?;
    let host = host_of(&public_url).to_owned();
    let rp_id = raw.web.rp_id.clone().unwrap_or_else(|| host.clone());
    if host != rp_id && !host.ends_with(&format!(".{rp_id}")) {
        let message =
            format!("expected the domain of public_url (`{host}`) or a parent of it, found `{rp_id}`");
        return Err(check.value("web.rp_id", message));
    }
    if raw.web.tls.is_none() && !raw.web.listen.ip().is_loopback() {
        let message = format!("found {} without tls: give it web.tls, or listen on loopback", raw.web.listen);
        return Err(check.value("web.listen", message));
    }
    if !raw.ops.listen.ip().is_loopback() && raw.ops.listen.port() == raw.web.listen.port() {
        return Err(check.value("ops.listen", "expected another port than that of the inbox"));
    }
    let (people, agents) = (check.people(&raw)?, check.agents(&raw)?);
    let first_approver = check.name("first_approver", &raw.first_approver, PersonName::parse)?;
    if !people.iter().any(|p| p.name == first_approver && p.same_as.is_none()) {
        let message =
            format!("`{first_approver}` is none of [[people]]: add them, or name somebody who is there");
        return Err(check.value("first_approver", message));
    }
    let (policies, policy_tests) = check.policy_files(&raw)?;
    let json_messages = match raw.tracing.format.as_str() {
        "text" => false,
        "json" => true,
        other => {
            return Err(check.value("tracing.format", format!("expected `text` or `json`, found `{other}`")));
        }
    };
    let (limits, gate_limits) = check.limits(&raw.limits)?;
    let (masks, targets) = (check.masks(&raw)?, check.targets(raw.targets)?);
    Ok(Config {
        data_dir: folder.join(raw.data_dir),
        keys_dir: folder.join(raw.keys_dir),
        public_url,
        first_approver,
        origin: check.origin(raw.log.origin)?,
        reader_tokens: raw.log.reader_tokens.into_iter().map(|token| token.within(folder)).collect(),
        web_listen: raw.web.listen,
        rp_id,
        web_tls: raw.web.tls.map(|files| check.tls_files(files)),
        ops_listen: raw.ops.listen,
        filter: raw.tracing.filter,
        json_messages,
        people,
        agents,
        policies,
        policy_tests,
        masks,
        limits,
        gate_limits,
        targets,
    })
}
