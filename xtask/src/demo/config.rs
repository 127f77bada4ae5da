//! The files that the gate of the story is configured by. Pure text; knows no process.

use anyhow::{Result, ensure};

/// The player's handle: the first approver.
pub const PLAYER: &str = "you";
/// The agent.
pub const AGENT: &str = "etl-agent";
/// The target.
pub const TARGET: &str = "shop";
/// Where the catalogue is, beside the configuration.
pub const CATALOGUE: &str = "catalogue/shop.toml";
/// Where the token of the log's readers is.
pub const READER_TOKEN: &str = "secrets/log-reader";
/// Where the passwords of the shop's roles are.
pub const WRITER_PASSWORD: &str = "secrets/shop_rw";
/// As [`WRITER_PASSWORD`], of the role that only reads.
pub const READER_PASSWORD: &str = "secrets/reporting_ro";

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

/// `countersign.toml`.
pub fn configuration(ports: Ports, origin: &str) -> String {
    let Ports { web, ops, gate, server } = ports;
    format!(
        r#"# The configuration of the demo. `countersign init` writes one with a word on every key.
data_dir = "data"
keys_dir = "keys"
public_url = "http://localhost:{web}"
first_approver = "{PLAYER}"

[log]
origin = "{origin}"
reader_tokens = [{{ file = "{READER_TOKEN}" }}]

[web]
listen = "127.0.0.1:{web}"
rp_id = "localhost"

[ops]
listen = "127.0.0.1:{ops}"

# You approve.
[[people]]
name = "{PLAYER}"
display = "You"
groups = ["approvers"]

# She answers for the agent, so she never approves what it asks for.
[[people]]
name = "mara"
display = "Mara Lindqvist"
groups = ["approvers"]

[[agents]]
name = "{AGENT}"
groups = ["agents"]
owner = "mara"
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
roles = {{ {AGENT} = {{ role = "shop_rw", password = {{ file = "{WRITER_PASSWORD}" }} }} }}
catalogue_role = {{ role = "reporting_ro", password = {{ file = "{READER_PASSWORD}" }} }}
"#
    )
}

/// A catalogue as `countersign catalogue sync --accept` writes it, with labels and owners added by somebody who knows.
pub fn labelled(catalogue: &str) -> Result<String> {
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
