//! `countersign.toml` as it is written: every key, with what it means. Refuses unknown keys, and knows nothing of
//! whether what is written makes sense: `checked` does.

use super::secret::SecretRef;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Where the store keeps its segments, tables and tiles.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    /// Where the gate's own keys are, as `countersign init` made them.
    #[serde(default = "keys_dir")]
    pub keys_dir: PathBuf,
    /// The address of the inbox as people reach it: `https://approve.example`.
    pub public_url: String,
    /// The handle of the person whose first key needs nobody's signature.
    pub first_approver: String,
    /// The log.
    pub log: RawLog,
    /// The inbox.
    pub web: RawWeb,
    /// Health and metrics.
    #[serde(default)]
    pub ops: RawOps,
    /// Messages for whoever operates the gate.
    #[serde(default)]
    pub tracing: RawTracing,
    /// Everybody who may act as a person here.
    #[serde(default)]
    pub people: Vec<RawPerson>,
    /// Every machine that may come in.
    #[serde(default)]
    pub agents: Vec<RawAgent>,
    /// The policies.
    #[serde(default)]
    pub policy: RawPolicy,
    /// The mask of each label, such as `null`, `fixed`, `token`, `partial` or `bucket 100`. A label without one is
    /// masked entirely.
    #[serde(default)]
    pub masks: BTreeMap<String, String>,
    /// Limits by name; what is left out has its default.
    #[serde(default)]
    pub limits: RawLimits,
    /// The servers behind the gate, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, RawTarget>,
}

/// `[log]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// The log's name, unique in the world: `gate.example/log/1`.
    pub origin: String,
    /// Tokens with which auditors read the log under `/log/`, each by reference.
    #[serde(default)]
    pub reader_tokens: Vec<SecretRef>,
}

/// `[web]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWeb {
    /// Where the inbox listens. Without `tls` loopback only.
    pub listen: SocketAddr,
    /// The domain that passkeys are made for: that of `public_url`, or a parent of it.
    pub rp_id: Option<String>,
    /// The certificate and its key.
    pub tls: Option<RawTlsFiles>,
}

/// A certificate and its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTlsFiles {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// TLS towards agents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawClientTls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed, PEM.
    pub client_authorities: Option<PathBuf>,
    /// Their lists of revoked certificates, PEM.
    pub client_revocations: Option<PathBuf>,
}

/// `[ops]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOps {
    /// Where `/healthz`, `/readyz` and `/metrics` are.
    #[serde(default = "ops_listen")]
    pub listen: SocketAddr,
}

/// `[tracing]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTracing {
    /// What is said: `info`, `warn,countersign_desk=debug`. `COUNTERSIGN_LOG` in the environment comes first.
    #[serde(default = "filter")]
    pub filter: String,
    /// `text` or `json`.
    #[serde(default = "format")]
    pub format: String,
}

/// `[[people]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPerson {
    /// The handle: `ada`.
    pub name: String,
    /// The name that others read.
    pub display: Option<String>,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// E-mail addresses, chat ids, names at code hosts.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// This entry is another name of that person.
    pub same_as: Option<String>,
}

/// `[[agents]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAgent {
    /// The name under which it authenticates.
    pub name: String,
    /// Its groups, for policy.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The person who answers for it. They never approve what it asks for.
    pub owner: String,
    /// The one pipeline that runs it.
    pub pipeline: Option<String>,
    /// Its long-lived key, as `countersign token key` printed it. Left out: it shows short-lived tokens.
    #[serde(default, deserialize_with = "written_key")]
    pub key: Option<RawAgentKey>,
    /// The name in its client certificate: `spiffe://example.org/etl`, or a DNS name. Instead of tokens and of a key.
    pub certificate: Option<String>,
}

// A key that is pasted where its line belongs is not repeated to whoever reads the error.
fn written_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RawAgentKey>, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        table @ toml::Value::Table(_) => RawAgentKey::deserialize(table).map(Some).map_err(de::Error::custom),
        _ => Err(de::Error::custom(
            "expected `{ id, verifier, issued_at, expires_at }`, the line that `countersign token key` prints beside the key",
        )),
    }
}

/// What the gate holds of an agent's long-lived key: not the key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAgentKey {
    /// Its id, for `countersign token revoke`.
    pub id: String,
    /// What proofs are checked against, in PostgreSQL's form: `SCRAM-SHA-256$4096:…`.
    pub verifier: String,
    /// Since when it is good.
    pub issued_at: String,
    /// Until when it is good: at most 366 days after `issued_at`.
    pub expires_at: String,
    /// The one target it is for. Left out: every target.
    pub target: Option<String>,
}

/// `[policy]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPolicy {
    /// Policy files: a file, a folder, or `folder/*.cedar`. Left out: the shipped set.
    pub files: Option<Vec<String>>,
    /// Files of policy tests, in the same way. Left out: the tests beside the policies.
    pub tests: Option<Vec<String>>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Requests that wait at once.
    pub holds_max: Option<u64>,
    /// Requests of one agent that wait at once.
    pub holds_per_agent_max: Option<u64>,
    /// Connections of one gate at once.
    pub connections_max: Option<u64>,
    /// Connections of one agent at one gate at once.
    pub connections_per_agent_max: Option<u64>,
    /// Connections of one gate that have not authenticated yet.
    pub handshakes_max: Option<u64>,
    /// How many seconds a client may take to authenticate.
    pub handshake_seconds_max: Option<u64>,
    /// Connections of one gate to its server at once.
    pub server_connections_max: Option<u64>,
    /// How many seconds a session that waits for people keeps its connection to the server.
    pub held_server_seconds_max: Option<u64>,
    /// Bytes of a COPY from the client that waits for people.
    pub copy_in_bytes_max: Option<u64>,
    /// Bytes of all such COPYs of one gate.
    pub copies_in_bytes_max: Option<u64>,
    /// How many milliseconds a statement may run that is tried.
    pub preview_millis_max: Option<u64>,
    /// How many milliseconds it may wait for a lock.
    pub preview_lock_millis_max: Option<u64>,
    /// Bytes of the largest table of which it may change rows.
    pub preview_table_bytes_max: Option<u64>,
}

/// `[targets.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    /// Its environment: `prod`.
    pub env: String,
    /// Where the gate listens for it. Without `client_tls` loopback only.
    pub listen: SocketAddr,
    /// Where the server is: `host:port`, or `{ unix = "/run/postgresql", port = 5432 }`.
    pub address: RawAddress,
    /// How the server shows who it is: `{ ca = "ca.pem", server_name = "db.example" }`, or `"disable"` on loopback.
    pub tls: RawServerTls,
    /// The databases that may be reached, each with its catalogue.
    pub databases: BTreeMap<String, RawDatabase>,
    /// The roles of each agent at the server.
    #[serde(default)]
    pub roles: BTreeMap<String, RawRoles>,
    /// The roles of every other agent; left out, they are refused.
    pub default_role: Option<RawRoles>,
    /// The role that reads the server's catalogue.
    pub catalogue_role: RawRole,
    /// The certificate that the gate shows to agents.
    pub client_tls: Option<RawClientTls>,
    /// What clients do when an action needs people, where they do not say so: `hold` or `park`.
    pub mode: Option<String>,
    /// The same for single agents.
    #[serde(default)]
    pub modes: BTreeMap<String, String>,
    /// How rows are known before people are asked: `none`, `estimated`, `counted` or `exact`.
    pub preview: Option<String>,
    /// What is tried for `exact` may use up numbers of sequences.
    #[serde(default)]
    pub preview_sequences: bool,
}

/// Where a server is.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected `host:port`, or { unix = \"/run/postgresql\", port = 5432 }")]
pub enum RawAddress {
    /// Over TCP.
    Tcp(String),
    /// Over a Unix socket.
    Unix(RawUnix),
}

/// A Unix socket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawUnix {
    /// The folder of the socket.
    pub unix: PathBuf,
    /// The port in its name.
    pub port: u16,
}

/// How a server shows who it is.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"disable\", or { ca = \"ca.pem\", server_name = \"db.example\" }")]
pub enum RawServerTls {
    /// `disable`.
    Word(String),
    /// By a certificate.
    Require(RawCa),
}

/// By which certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCa {
    /// The certificates that are trusted, PEM.
    pub ca: PathBuf,
    /// The name that the server's certificate must hold.
    pub server_name: String,
}

/// One database.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDatabase {
    /// The catalogue file; `countersign catalogue sync --accept` writes it. One that is missing knows nothing.
    pub catalogue: PathBuf,
}

/// The roles of an agent at the server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRoles {
    /// The role that its sessions log in as. With the two below: for what touches no labelled column.
    pub role: String,
    /// Its password, by reference.
    pub password: Option<SecretRef>,
    /// The role that masked reads are done in; `role` is a member of it.
    pub masked: Option<String>,
    /// The role that what people approved is done in, over a connection of its own.
    pub granted: Option<RawRole>,
}

/// A role at the server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRole {
    /// Its name.
    pub role: String,
    /// Its password, by reference.
    pub password: Option<SecretRef>,
}

impl Default for RawOps {
    fn default() -> Self {
        Self { listen: ops_listen() }
    }
}

impl Default for RawTracing {
    fn default() -> Self {
        Self { filter: filter(), format: format() }
    }
}

fn data_dir() -> PathBuf {
    PathBuf::from("data")
}

fn keys_dir() -> PathBuf {
    PathBuf::from("keys")
}

fn ops_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9187))
}

fn filter() -> String {
    "info".to_owned()
}

fn format() -> String {
    "text".to_owned()
}
