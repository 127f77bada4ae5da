//! The checks of targets: nothing reaches a server in clear over a network, and no agent does either.

use super::ConfigError;
use super::checked::{ClientTlsFiles, Role, Roles, ServerTls, Target, TlsFiles};
use super::checks::Check;
use super::raw::{RawAddress, RawClientTls, RawRole, RawRoles, RawServerTls, RawTarget, RawTlsFiles};
use countersign_core::id::{AgentName, EnvName, TargetName};
use countersign_protocols::postgres::serve::{Preview, PreviewMode};
use countersign_protocols::postgres::session::Mode;
use countersign_protocols::postgres::upstream::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

impl Check<'_> {
    pub(super) fn targets(
        &self,
        raw: BTreeMap<String, RawTarget>,
    ) -> Result<BTreeMap<TargetName, Target>, ConfigError> {
        let mut listens = BTreeSet::new();
        let mut targets = BTreeMap::new();
        for (name, raw) in raw {
            let key = format!("targets.{name}");
            let listen = raw.listen;
            if listen.port() != 0 && !listens.insert(listen) {
                let message =
                    format!("found {listen}, where another target listens: give it a port of its own");
                return Err(self.value(format!("{key}.listen"), message));
            }
            let parsed = self.name(&key, &name, TargetName::parse)?;
            targets.insert(parsed, self.target(&key, raw)?);
        }
        Ok(targets)
    }

    pub(super) fn target(&self, key: &str, raw: RawTarget) -> Result<Target, ConfigError> {
        if raw.client_tls.is_none() && !raw.listen.ip().is_loopback() {
            let message = format!(
                "found {} without client_tls: agents' tokens would cross the network in clear",
                raw.listen
            );
            return Err(self.value(format!("{key}.listen"), message));
        }
        if raw.databases.is_empty() {
            return Err(self.value(format!("{key}.databases"), "expected at least one database"));
        }
        let address = self.address(key, raw.address)?;
        let tls = self.server_tls(key, raw.tls, &address)?;
        let mut roles = BTreeMap::new();
        for (agent, role) in raw.roles {
            let key = format!("{key}.roles");
            let agent = self.name(&key, &agent, AgentName::parse)?;
            roles.insert(agent, self.roles(&key, role)?);
        }
        let default_role = raw.default_role.map(|role| self.roles(&format!("{key}.default_role"), role));
        let mut modes = BTreeMap::new();
        for (agent, word) in &raw.modes {
            let key = format!("{key}.modes");
            modes.insert(self.name(&key, agent, AgentName::parse)?, self.mode(key, word)?);
        }
        let mode = raw.mode.as_deref().map(|word| self.mode(format!("{key}.mode"), word)).transpose()?;
        let databases = raw.databases.into_iter();
        Ok(Target {
            env: self.name(&format!("{key}.env"), &raw.env, EnvName::parse)?,
            listen: raw.listen,
            address,
            tls,
            databases: databases.map(|(name, d)| (name, self.folder.join(d.catalogue))).collect(),
            roles,
            default_role: default_role.transpose()?,
            catalogue_role: self.role(raw.catalogue_role),
            client_tls: raw.client_tls.map(|files| self.client_tls(key, files)).transpose()?,
            mode: mode.unwrap_or_default(),
            modes,
            preview: Preview {
                mode: self.preview(key, raw.preview.as_deref())?,
                sequences: raw.preview_sequences,
            },
        })
    }

    fn mode(&self, key: String, word: &str) -> Result<Mode, ConfigError> {
        let message = || format!("expected \"hold\" or \"park\", found \"{word}\"");
        Mode::parse(word).ok_or_else(|| self.value(key, message()))
    }

    fn preview(&self, key: &str, word: Option<&str>) -> Result<PreviewMode, ConfigError> {
        let Some(word) = word else { return Ok(PreviewMode::default()) };
        let message =
            || format!("expected \"none\", \"estimated\", \"counted\" or \"exact\", found \"{word}\"");
        PreviewMode::parse(word).ok_or_else(|| self.value(format!("{key}.preview"), message()))
    }

    pub(super) fn address(&self, key: &str, raw: RawAddress) -> Result<Address, ConfigError> {
        let text = match raw {
            RawAddress::Unix(unix) => {
                return Ok(Address::Unix { dir: self.folder.join(unix.unix), port: unix.port });
            }
            RawAddress::Tcp(text) => text,
        };
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Address::Tcp { host, port })
            }
            _ => Err(self.value(format!("{key}.address"), format!("expected `host:port`, found `{text}`"))),
        }
    }

    pub(super) fn server_tls(
        &self,
        key: &str,
        raw: RawServerTls,
        address: &Address,
    ) -> Result<Option<ServerTls>, ConfigError> {
        let key = format!("{key}.tls");
        match raw {
            RawServerTls::Require(require) => {
                Ok(Some(ServerTls { ca: self.folder.join(require.ca), server_name: require.server_name }))
            }
            RawServerTls::Word(word) if word == "disable" => {
                let near = match address {
                    Address::Unix { .. } => true,
                    Address::Tcp { host, .. } => is_loopback(host),
                };
                if near {
                    return Ok(None);
                }
                let message = "found \"disable\" for a server that is neither on loopback nor a Unix socket: \
                               give it { ca = \"ca.pem\", server_name = \"…\" }";
                Err(self.value(key, message))
            }
            RawServerTls::Word(word) => {
                let message = format!(
                    "expected \"disable\" or {{ ca = \"…\", server_name = \"…\" }}, found \"{word}\""
                );
                Err(self.value(key, message))
            }
        }
    }

    // One role in two places would be one wall, and look like two.
    fn roles(&self, key: &str, raw: RawRoles) -> Result<Roles, ConfigError> {
        let login = self.role(RawRole { role: raw.role, password: raw.password });
        let granted = raw.granted.map(|role| self.role(role));
        if raw.masked.is_some() && granted.is_none() {
            let message = "found masked without granted: what people approve needs a role of its own too";
            return Err(self.value(key.to_owned(), message));
        }
        let mut names = BTreeSet::from([login.role.as_str()]);
        let others = raw.masked.as_deref().into_iter().chain(granted.as_ref().map(|role| role.role.as_str()));
        for name in others {
            if !names.insert(name) {
                let message = format!(
                    "found `{name}` twice: give what is masked and what is granted a role of its own"
                );
                return Err(self.value(key.to_owned(), message));
            }
        }
        Ok(Roles { masked: raw.masked, granted, login })
    }

    pub(super) fn role(&self, raw: RawRole) -> Role {
        Role { role: raw.role, password: raw.password.map(|password| password.within(self.folder)) }
    }

    fn client_tls(&self, key: &str, raw: RawClientTls) -> Result<ClientTlsFiles, ConfigError> {
        if raw.client_revocations.is_some() && raw.client_authorities.is_none() {
            let message = "found client_revocations without client_authorities: whose are they?";
            return Err(self.value(format!("{key}.client_tls"), message));
        }
        Ok(ClientTlsFiles {
            own: self.tls_files(RawTlsFiles { cert: raw.cert, key: raw.key }),
            authorities: raw.client_authorities.map(|file| self.folder.join(file)),
            revocations: raw.client_revocations.map(|file| self.folder.join(file)),
        })
    }

    pub(super) fn tls_files(&self, raw: RawTlsFiles) -> TlsFiles {
        TlsFiles { cert: self.folder.join(raw.cert), key: self.folder.join(raw.key) }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
