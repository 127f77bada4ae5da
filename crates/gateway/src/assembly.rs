//! From a checked configuration to the parts of the house: people, agents, policies, catalogues, and the one digest
//! of everything that judging depends on.

use crate::config::{Config, SecretRef, Target};
use crate::keys::Keys;
use anyhow::{Context, Result, anyhow};
use countersign_core::digest::Digest;
use countersign_core::id::{AgentName, PersonName, TargetName};
use countersign_core::request::PolicyVersion;
use countersign_identity::agents::Agents;
use countersign_identity::people::People;
use countersign_policy::{Bundle, Settings, Source, default_sources};
use countersign_protocols::postgres::serve::{GateLimits, RoleSettings, TargetSettings};
use countersign_protocols::postgres::upstream::{Password, TlsMode};
use countersign_protocols::sql::Catalogue;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The longest policy file that is read.
const POLICY_BYTES_MAX: u64 = 1 << 20;

/// Everything that commands and the gate alike are made of.
pub struct House {
    /// The configuration.
    pub config: Config,
    /// The gate's keys.
    pub keys: Keys,
    /// The people.
    pub people: People,
    /// The agents.
    pub agents: Agents,
    /// The policies.
    pub bundle: Bundle,
    /// The catalogues, by target and database.
    pub catalogues: BTreeMap<(TargetName, String), Arc<Catalogue>>,
    /// The digest of everything that judging depends on.
    pub policy: Digest<PolicyVersion>,
}

impl House {
    /// Loads everything that the configuration names.
    ///
    /// # Errors
    /// Anything that is not plainly right.
    pub fn load(path: &Path) -> Result<Self> {
        let config = crate::config::load(path)?;
        let keys = Keys::within(&config.keys_dir);
        let people = People::load(config.people.clone(), &keys.pseudonym()?)
            .with_context(|| format!("{}: [[people]]", path.display()))?;
        let agents = Agents::load(config.agents.clone(), &people)
            .with_context(|| format!("{}: [[agents]]", path.display()))?;
        let bundle = bundle(&config)?;
        let catalogues = catalogues(&config)?;
        let policy = version(&config, &bundle, &catalogues)?;
        Ok(Self { config, keys, people, agents, bundle, catalogues, policy })
    }

    /// A target by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn target(&self, name: &str) -> Result<(&TargetName, &Target)> {
        let known = || self.config.targets.keys().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", ");
        let found = self.config.targets.iter().find(|(target, _)| target.as_str() == name);
        found.ok_or_else(|| anyhow!("there is no target `{name}`: the configuration has {}", known()))
    }

    /// The one database of a target, or the one that is named.
    ///
    /// # Errors
    /// There is none, or several and none is named.
    pub fn database(&self, target: &TargetName, named: Option<&str>) -> Result<(String, Arc<Catalogue>)> {
        let mut all = self.catalogues.iter().filter(|((of, _), _)| of == target);
        let found = match named {
            Some(name) => all.find(|((_, database), _)| database == name),
            None => match (all.next(), all.next()) {
                (Some(one), None) => Some(one),
                _ => {
                    return Err(anyhow!("target `{target}` has several databases: name one with --database"));
                }
            },
        };
        let ((_, database), catalogue) = found
            .ok_or_else(|| anyhow!("target `{target}` has no database `{}`", named.unwrap_or_default()))?;
        Ok((database.clone(), Arc::clone(catalogue)))
    }

    /// A person's handle, as the configuration knows it.
    ///
    /// # Errors
    /// Nobody of that name.
    pub fn person(&self, name: &str) -> Result<PersonName> {
        let person = PersonName::parse(name).ok().and_then(|name| self.people.person(&name));
        person.map(|p| p.name.clone()).ok_or_else(|| anyhow!("`{name}` is not a person of the configuration"))
    }

    /// The settings of the gate for a target. Reads the secrets that it names.
    ///
    /// # Errors
    /// A secret or a certificate cannot be had.
    pub fn target_settings(&self, name: &TargetName, target: &Target) -> Result<TargetSettings> {
        let of = |catalogue: &str| format!("target `{name}`: {catalogue}");
        let databases = self.catalogues.iter().filter(|((of, _), _)| of == name);
        let roles = target.roles.iter().map(|(agent, role)| Ok((agent.clone(), roles_settings(role)?)));
        Ok(TargetSettings {
            name: name.clone(),
            env: target.env.clone(),
            listen: target.listen,
            client_tls: target
                .client_tls
                .as_ref()
                .map(crate::tls::gate)
                .transpose()
                .with_context(|| of("client_tls"))?,
            address: target.address.clone(),
            tls: match &target.tls {
                None => TlsMode::Disable,
                Some(tls) => TlsMode::Require {
                    roots: Arc::new(crate::tls::roots(&tls.ca).with_context(|| of("tls.ca"))?),
                    server_name: tls.server_name.clone(),
                },
            },
            databases: databases.map(|((_, database), c)| (database.clone(), Arc::clone(c))).collect(),
            roles: roles.collect::<Result<_>>().with_context(|| of("roles"))?,
            default_role: target
                .default_role
                .as_ref()
                .map(roles_settings)
                .transpose()
                .with_context(|| of("default_role"))?,
            catalogue_role: role_settings(&target.catalogue_role).with_context(|| of("catalogue_role"))?,
            mode: target.mode,
            modes: target.modes.clone(),
            preview: target.preview,
            limits: self.gate_limits(),
            public_url: self.config.public_url.clone(),
            mask_key: self.keys.mask()?.of_target(name.as_str()),
        })
    }

    fn gate_limits(&self) -> GateLimits {
        self.config.gate_limits.clone()
    }
}

fn roles_settings(roles: &crate::config::checked::Roles) -> Result<RoleSettings> {
    Ok(RoleSettings {
        masked: roles.masked.clone(),
        granted: roles.granted.as_ref().map(role_settings).transpose()?.map(Box::new),
        ..role_settings(&roles.login)?
    })
}

fn role_settings(role: &crate::config::checked::Role) -> Result<RoleSettings> {
    let password = role.password.as_ref().map(SecretRef::read).transpose()?;
    Ok(RoleSettings {
        role: role.role.clone(),
        password: password.map(|secret| Password::new(secret.expose().clone())),
        masked: None,
        granted: None,
    })
}

/// The policies, loaded as a whole.
///
/// # Errors
/// Whatever is not plainly right in any file.
pub fn bundle(config: &Config) -> Result<Bundle> {
    let sources = sources(config)?;
    let settings = Settings { groups: config.groups(), label_masks: config.masks.clone() };
    Bundle::load(&sources, &settings).context("the policies are not loaded")
}

/// The policy files, or the shipped set.
///
/// # Errors
/// A file cannot be read.
pub fn sources(config: &Config) -> Result<Vec<Source>> {
    let Some(files) = &config.policies else { return Ok(default_sources()) };
    let source = |path: &std::path::PathBuf| {
        let name = path.display().to_string();
        Ok(Source { text: read(path)?, name })
    };
    files.iter().map(source).collect()
}

/// A text file of a bounded length.
///
/// # Errors
/// It cannot be read, or is too long.
pub fn read(path: &Path) -> Result<String> {
    let length = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?.len();
    if length > POLICY_BYTES_MAX {
        return Err(anyhow!(
            "expected at most {POLICY_BYTES_MAX} bytes in `{}`, found {length}",
            path.display()
        ));
    }
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// The catalogue in a file; one that is not there yet knows nothing, so that everything is unknown and held.
///
/// # Errors
/// It is there and cannot be read.
pub fn catalogue(path: &Path) -> Result<Catalogue> {
    match fs::read_to_string(path) {
        Ok(text) => Catalogue::parse(&text).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Catalogue::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

fn catalogues(config: &Config) -> Result<BTreeMap<(TargetName, String), Arc<Catalogue>>> {
    let all = config.targets.iter().flat_map(|(name, target)| {
        target.databases.iter().map(move |(database, path)| (name.clone(), database.clone(), path))
    });
    all.map(|(name, database, path)| Ok(((name, database), Arc::new(catalogue(path)?)))).collect()
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    bundle: Digest<PolicyVersion>,
    catalogues: BTreeMap<String, Digest<str>>,
    agents: BTreeMap<&'a AgentName, AgentVersion<'a>>,
}

#[derive(Serialize)]
struct AgentVersion<'a> {
    groups: &'a BTreeSet<countersign_core::id::GroupName>,
    owner: &'a PersonName,
    pipeline: Option<&'a countersign_core::id::PipelineName>,
}

// Everything that judging depends on: the bundle has the people's groups and the masks in its own version.
fn version(
    config: &Config,
    bundle: &Bundle,
    catalogues: &BTreeMap<(TargetName, String), Arc<Catalogue>>,
) -> Result<Digest<PolicyVersion>> {
    let catalogue = |((target, database), catalogue): (&(TargetName, String), &Arc<Catalogue>)| {
        (format!("{target}/{database}"), Digest::of_bytes(catalogue.print().as_bytes()))
    };
    let agents = config.agents.iter().map(|agent| {
        let version =
            AgentVersion { groups: &agent.groups, owner: &agent.owner, pipeline: agent.pipeline.as_ref() };
        (&agent.name, version)
    });
    let versioned = Versioned {
        v: 1,
        bundle: bundle.version(),
        catalogues: catalogues.iter().map(catalogue).collect(),
        agents: agents.collect(),
    };
    Ok(Digest::of_canonical(&versioned)?)
}
