//! The files that a gate before the sample shop is configured by, and the commands that make them. Knows no story and
//! no person: whoever opens a house or a stage says who lives there.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::Countersign;
use crate::scratch;
use crate::shop::Shop;
use crate::tls::Issued;

/// The agent.
pub const AGENT: &str = "etl-agent";
/// The target.
pub const TARGET: &str = "shop";
/// Where the catalogue is, beside the configuration.
pub const CATALOGUE: &str = "catalogue/shop.toml";
/// Where the token of the log's readers is.
pub const READER_TOKEN: &str = "secrets/log-reader";
/// Where the passwords of the shop's roles are: of the one that writes, of the one that only reads.
const PASSWORDS: [&str; 2] = ["secrets/shop_rw", "secrets/reporting_ro"];

/// Which columns hold what, as somebody who knows the shop would say: table, column, label.
const LABELS: [(&str, &str, &str); 6] = [
    ("customers", "name", "pii.name"),
    ("customers", "email", "pii.email"),
    ("customers", "phone", "pii.phone"),
    ("customers", "card_last4", "pci.card"),
    ("payments", "iban", "pci.iban"),
    ("support_tickets", "body", "pii.text"),
];
/// The schema whose tables are the agent's own.
const OWN_SCHEMA: &str = "features";

/// A set of policies that holds nothing, by the names of its files.
const ALLOW_EVERYTHING: [(&str, &str); 2] = [
    (
        "agents.cedar",
        "@id(\"everything\")\n@reason(\"it is compared with what goes past the gate\")\n\
         permit (principal, action, resource);\n",
    ),
    (
        "reviewers.cedar",
        "@id(\"members-review\")\n@reason(\"the members of a group stand for it\")\n\
         permit (principal, action == Action::\"review\", resource) when { principal in resource };\n",
    ),
];

/// The ports that are listened on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The inbox.
    pub web: u16,
    /// Health and metrics.
    pub ops: u16,
    /// The gate, for agents.
    pub gate: u16,
    /// The database server.
    pub server: u16,
}

impl Ports {
    /// Free ones, before this server.
    ///
    /// # Errors
    /// When the system has none.
    pub fn free(server: u16) -> Result<Self> {
        let (web, ops, gate) = (scratch::free_port()?, scratch::free_port()?, scratch::free_port()?);
        Ok(Self { web, ops, gate, server })
    }
}

/// Who lives behind the gate.
#[derive(Clone, Copy, Debug)]
pub struct Cast<'a> {
    /// The log's first approver.
    pub approver: &'a str,
    /// `[[people]]`, as they stand in the configuration.
    pub people: &'a str,
    /// Whoever answers for the agent.
    pub owner: &'a str,
    /// The beginning of the log's origin.
    pub origin: &'a str,
    /// More lines for the end of the configuration.
    pub more: &'a str,
}

/// Makes keys, configuration, secrets and an accepted, labelled catalogue in a folder.
///
/// # Errors
/// When a command fails, with what it said.
pub async fn configure(
    countersign: &Countersign,
    folder: &Path,
    ports: Ports,
    shop: &Shop,
    cast: Cast<'_>,
) -> Result<()> {
    let origin = format!("{}/{}", cast.origin, scratch::random_word(6)?);
    let init = ["init", ".", "--approver", cast.approver, "--origin", &origin];
    countersign.run(&init).await?.success().context("countersign init")?;
    std::fs::write(folder.join("countersign.toml"), configuration(ports, &origin, cast))?;
    std::fs::create_dir_all(folder.join("secrets"))?;
    let [writer, reader] = PASSWORDS;
    scratch::write_private(&folder.join(writer), &shop.writer_password)?;
    scratch::write_private(&folder.join(reader), &shop.reader_password)?;
    scratch::write_private(&folder.join(READER_TOKEN), &scratch::random_word(16)?)?;
    let sync = ["catalogue", "sync", "--target", TARGET, "--accept"];
    countersign.run(&sync).await?.success().context("countersign catalogue sync")?;
    let catalogue = folder.join(CATALOGUE);
    let found = std::fs::read_to_string(&catalogue)
        .with_context(|| format!("`catalogue sync --accept` was to write `{}`", catalogue.display()))?;
    std::fs::write(&catalogue, labelled(&found)?)?;
    countersign.run(&["check"]).await?.success().context("countersign check")?;
    Ok(())
}

/// Has the gate speak TLS with its clients. For a gate that does not run.
///
/// # Errors
/// When the files cannot be written, or the configuration has no target to add it to.
pub fn encrypt_clients(folder: &Path, issued: &Issued) -> Result<()> {
    std::fs::write(folder.join("gate.pem"), &issued.certificate_pem)?;
    std::fs::write(folder.join("gate.key"), &issued.key_pem)?;
    let file = folder.join("countersign.toml");
    let text = std::fs::read_to_string(&file)?;
    let with = "\nenv = \"prod\"\nclient_tls = { cert = \"gate.pem\", key = \"gate.key\" }";
    ensure!(text.contains("\nenv = \"prod\""), "the configuration has no target to add TLS to");
    Ok(std::fs::write(&file, text.replacen("\nenv = \"prod\"", with, 1))?)
}

/// Puts a set of policies in place under which everything passes. For a gate that does not run.
///
/// # Errors
/// When a file cannot be written.
pub fn allow_everything(folder: &Path) -> Result<()> {
    let policies = folder.join("allow-everything");
    std::fs::create_dir_all(&policies)?;
    for (name, text) in ALLOW_EVERYTHING {
        std::fs::write(policies.join(name), text)?;
    }
    add(folder, "[policy]\nfiles = [\"allow-everything\"]\n")
}

/// Adds tables to the end of the configuration. For a gate that does not run.
///
/// # Errors
/// When the file cannot be written.
pub fn add(folder: &Path, tables: &str) -> Result<()> {
    let path = folder.join("countersign.toml");
    let before = std::fs::read_to_string(&path)?;
    Ok(std::fs::write(path, format!("{before}\n{tables}"))?)
}

fn configuration(ports: Ports, origin: &str, cast: Cast<'_>) -> String {
    let Ports { web, ops, gate, server } = ports;
    let Cast { approver, people, owner, origin: _, more } = cast;
    let [writer, reader] = PASSWORDS;
    format!(
        r#"data_dir = "data"
keys_dir = "keys"
public_url = "http://localhost:{web}"
first_approver = "{approver}"

[log]
origin = "{origin}"
reader_tokens = [{{ file = "{READER_TOKEN}" }}]

[web]
listen = "127.0.0.1:{web}"
rp_id = "localhost"

[ops]
listen = "127.0.0.1:{ops}"

{people}
[[agents]]
name = "{AGENT}"
groups = ["agents"]
owner = "{owner}"
pipeline = "nightly-features"

[masks]
"pii.name" = "token"
"pii.email" = "partial"
"pii.phone" = "null"
"pii.text" = "null"
"pci.card" = "null"
"pci.iban" = "partial"

[targets.{TARGET}]
env = "prod"
listen = "127.0.0.1:{gate}"
address = "127.0.0.1:{server}"
tls = "disable"
databases = {{ shop = {{ catalogue = "{CATALOGUE}" }} }}
roles = {{ {AGENT} = {{ role = "shop_rw", password = {{ file = "{writer}" }} }} }}
catalogue_role = {{ role = "reporting_ro", password = {{ file = "{reader}" }} }}
{more}"#
    )
}

/// A catalogue as `countersign catalogue sync --accept` writes it, with labels and owners added by somebody who knows.
fn labelled(catalogue: &str) -> Result<String> {
    let (mut table, mut schema, mut set) = (String::new(), String::new(), 0);
    let mut lines = Vec::new();
    for line in catalogue.lines() {
        if let Some(name) = value_of(line, "schema") {
            schema = name;
        } else if let Some(name) = value_of(line, "name") {
            table = name;
        }
        let label = LABELS.iter().find(|(of, column, _)| {
            *of == table && line.trim_start().starts_with(&format!("{{ name = \"{column}\","))
        });
        lines.push(match label {
            Some((_, _, label)) if line.contains("labels = []") => {
                set += 1;
                line.replace("labels = []", &format!("labels = [\"{label}\"]"))
            }
            _ if schema == OWN_SCHEMA && line == "own = []" => format!("own = [\"{AGENT}\"]"),
            _ => line.to_owned(),
        });
    }
    ensure!(set == LABELS.len(), "expected {} columns to label in the catalogue, found {set}", LABELS.len());
    Ok(lines.join("\n") + "\n")
}

fn value_of(line: &str, key: &str) -> Option<String> {
    let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
    Some(rest.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_go_to_their_columns_and_no_other() {
        let table = |schema: &str, name: &str, columns: &[&str]| {
            let column = |name: &&str| {
                format!("  {{ name = \"{name}\", attnum = 1, type = \"text\", labels = [] }},\n")
            };
            let columns: String = columns.iter().map(column).collect();
            format!(
                "[[table]]\nschema = \"{schema}\"\nname = \"{name}\"\noid = 1\nown = []\ncolumn = [\n{columns}]\n"
            )
        };
        let text = table("public", "customers", &["id", "name", "email", "phone", "card_last4"])
            + &table("public", "products", &["name"])
            + &table("public", "payments", &["iban"])
            + &table("public", "support_tickets", &["body"])
            + &table("features", "churn", &["score"]);
        let labelled = labelled(&text).unwrap();
        assert_eq!(labelled.matches("labels = [\"").count(), LABELS.len());
        assert!(labelled.contains("name = \"products\"\noid = 1\nown = []\ncolumn = [\n  { name = \"name\", attnum = 1, type = \"text\", labels = [] },"));
        assert_eq!(labelled.matches("own = [\"etl-agent\"]").count(), 1);
        assert!(super::labelled(&table("public", "customers", &["id"])).is_err());
    }
}
