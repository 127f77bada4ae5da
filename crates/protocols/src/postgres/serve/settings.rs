//! What a gate is told: where it listens, what is behind it, who may come in, and its limits by name.

use super::super::end_point::end_point_hash;
use super::super::mask::TokenKey;
use super::super::session::Mode;
use super::super::startup::ALPN;
use super::super::upstream::{Address, Password, TlsMode, UpstreamConfig};
use crate::sql::catalogue::Catalogue;
use countersign_core::id::{AgentName, EnvName, TargetName};
use countersign_identity::agents::Agents;
use countersign_identity::tokens::TokenKey as AgentTokenKey;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the gate takes at most, by the names of the configuration.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections of one agent at once.
    pub connections_per_agent_max: usize,
    /// Connections that have not authenticated yet.
    pub handshakes_max: usize,
    /// How long a client may take to authenticate.
    pub handshake_wait_max: Duration,
    /// Connections to the server at once, beside the one for each database that reads the catalogue.
    pub server_connections_max: usize,
    /// How long a session that waits for people keeps its connection to the server.
    pub held_server_wait_max: Duration,
    /// Bytes of a COPY from the client that waits for people.
    pub copy_in_bytes_max: usize,
    /// Bytes of all of them at once.
    pub copies_in_bytes_max: usize,
    /// How long a statement may run that is tried, at the server.
    pub preview_wait_max: Duration,
    /// How long it may wait for a lock.
    pub preview_lock_wait_max: Duration,
    /// The largest table of which it may change rows, in bytes.
    pub preview_table_bytes_max: u64,
}

/// How the gate finds out what people are shown of rows, before it asks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PreviewMode {
    /// Not at all.
    None,
    /// By the server's planner.
    Estimated,
    /// By counting, in a read-only transaction; nothing of the statement runs.
    #[default]
    Counted,
    /// By running it in a transaction that is undone.
    Exact,
}

impl PreviewMode {
    /// The mode of this name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "estimated" => Some(Self::Estimated),
            "counted" => Some(Self::Counted),
            "exact" => Some(Self::Exact),
            _ => None,
        }
    }
}

/// What a target allows to be found out before people are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preview {
    /// How.
    pub mode: PreviewMode,
    /// What is tried may use up numbers of sequences.
    pub sequences: bool,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_agent_max: 5_000,
            handshakes_max: 256,
            handshake_wait_max: Duration::from_secs(15),
            server_connections_max: 10_000,
            held_server_wait_max: Duration::from_secs(10),
            copy_in_bytes_max: 16 << 20,
            copies_in_bytes_max: 256 << 20,
            preview_wait_max: Duration::from_secs(2),
            preview_lock_wait_max: Duration::from_millis(200),
            preview_table_bytes_max: 256 << 20,
        }
    }
}

/// A role at the server, with its credential. Agents never see it.
#[derive(Debug, Clone)]
pub struct RoleSettings {
    /// The role.
    pub role: String,
    /// Its password, where the server wants one.
    pub password: Option<Password>,
    /// The role that masked reads are done in, where that is another.
    pub masked: Option<String>,
    /// The role that what people approved is done in, where that is another.
    pub granted: Option<Box<RoleSettings>>,
}

/// TLS towards clients.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) config: Arc<rustls::ServerConfig>,
    /// The hash of the certificate that clients see, for channel binding; none where its signature has none.
    pub(super) end_point: Option<Vec<u8>>,
}

impl ClientTls {
    /// TLS as this configuration speaks it, which shows this certificate. Whoever names a protocol names PostgreSQL's.
    pub fn new(mut config: rustls::ServerConfig, certificate: &CertificateDer<'_>) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self { config: Arc::new(config), end_point: end_point_hash(certificate) }
    }
}

/// One target behind a PostgreSQL gate.
pub struct TargetSettings {
    /// Its name.
    pub name: TargetName,
    /// Its environment.
    pub env: EnvName,
    /// Where the gate listens for it.
    pub listen: SocketAddr,
    /// TLS towards clients; without it the gate listens on loopback only.
    pub client_tls: Option<ClientTls>,
    /// Where the server listens.
    pub address: Address,
    /// How the server shows who it is.
    pub tls: TlsMode,
    /// The databases that may be reached, with what the catalogue knows of each.
    pub databases: BTreeMap<String, Arc<Catalogue>>,
    /// The role of each agent.
    pub roles: BTreeMap<AgentName, RoleSettings>,
    /// The role of agents that are not named.
    pub default_role: Option<RoleSettings>,
    /// What clients do when an action needs people, where they do not say so themselves.
    pub mode: Mode,
    /// The same for single agents.
    pub modes: BTreeMap<AgentName, Mode>,
    /// What is found out before people are asked.
    pub preview: Preview,
    /// The role that reads the server's catalogue.
    pub catalogue_role: RoleSettings,
    /// The limits.
    pub limits: GateLimits,
    /// Where people find requests.
    pub public_url: String,
    /// The key of masks that are tokens.
    pub mask_key: TokenKey,
}

/// Proves who a connecting agent is.
pub struct Authenticator {
    /// The key of agents' tokens.
    pub key: AgentTokenKey,
    /// The agents.
    pub agents: Agents,
}

impl TargetSettings {
    /// The role that an agent has at the server.
    pub fn role_of(&self, agent: &AgentName) -> Option<&RoleSettings> {
        self.roles.get(agent).or(self.default_role.as_ref())
    }

    /// What an agent does when its action needs people, unless it says otherwise.
    pub fn mode_of(&self, agent: &AgentName) -> Mode {
        self.modes.get(agent).copied().unwrap_or(self.mode)
    }

    /// How to reach a database in a role.
    pub fn upstream(&self, role: &RoleSettings, database: &str, application_name: &str) -> UpstreamConfig {
        UpstreamConfig {
            address: self.address.clone(),
            tls: self.tls.clone(),
            user: role.role.clone(),
            database: database.to_owned(),
            password: role.password.clone(),
            application_name: application_name.to_owned(),
            options: Vec::new(),
        }
    }
}
