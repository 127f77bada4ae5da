//! From what is known of a server to the SQL of its roles. Pure: the same catalogue and server give the same text. What a
//! name holds never leaves its quotes, nor a comment its line.

use super::super::doctor::labelled::{is_labelled, is_view, leads_to_labels, literal};
use super::super::doctor::quoted;
use super::state::State;
use countersign_core::action::TableName;
use countersign_core::id::AgentName;
use countersign_protocols::sql::Known;
use countersign_protocols::sql::facts::{Relation, RelationKind};
use std::collections::BTreeSet;

/// From this version on a membership says whether its rights are inherited.
const VERSION_OF_INHERIT: u32 = 160_000;

/// The three roles.
#[derive(Debug)]
pub struct Trio {
    /// What touches no labelled column.
    pub autonomous: String,
    /// Masked reads.
    pub masked: String,
    /// What people approved.
    pub granted: String,
    /// The configuration names them.
    pub configured: bool,
}

impl Trio {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.autonomous, &self.masked, &self.granted].into_iter().map(String::as_str)
    }

    /// Those that log in.
    pub fn logins(&self) -> [&str; 2] {
        [&self.autonomous, &self.granted]
    }
}

/// Everything that the text follows from.
pub struct Plan<'a> {
    /// The target.
    pub target: &'a str,
    /// The database.
    pub database: &'a str,
    /// The server's facts and the catalogue.
    pub known: &'a Known,
    /// The roles.
    pub trio: &'a Trio,
    /// The agents that work in them.
    pub agents: &'a BTreeSet<AgentName>,
    /// What stands at the server.
    pub state: &'a State,
}

/// Where a password may be put: `with_password`.
fn place_of_password(role: &str) -> String {
    format!("-- The password of {}: \\password {}", comment(role), comment(&quoted(role)))
}

/// The text with the password's verifier of a role that it makes.
pub fn with_password(text: &str, role: &str, verifier: &str) -> String {
    let set = format!("ALTER ROLE {} PASSWORD {};", quoted(role), literal(verifier));
    text.replace(&place_of_password(role), &set)
}

impl Plan<'_> {
    /// The whole text: one transaction.
    pub fn print(&self) -> String {
        let mut out = Vec::new();
        self.head(&mut out);
        out.push("BEGIN;".to_owned());
        self.roles(&mut out);
        self.schemas(&mut out);
        self.tables(&mut out);
        self.views(&mut out);
        self.sequences(&mut out);
        self.later(&mut out);
        out.push("COMMIT;".to_owned());
        self.hints(&mut out);
        out.join("\n") + "\n"
    }

    fn head(&self, out: &mut Vec<String>) {
        let Trio { autonomous, masked, granted, .. } = self.trio;
        out.push(format!(
            "-- Roles behind the gate: target {}, database {}.",
            comment(self.target),
            comment(self.database)
        ));
        out.push(format!("--   {}: what touches no labelled column", comment(autonomous)));
        out.push(format!("--   {}: masked reads; nobody logs in as it", comment(masked)));
        out.push(format!("--   {}: what people approved", comment(granted)));
        out.push(
            "-- Made from the server's catalogue and the labels of ours. It may be run again at any time."
                .to_owned(),
        );
        if !self.trio.configured {
            out.push("-- The configuration does not name them yet:".to_owned());
            let role = |name: &str| toml_text(name);
            out.push(format!(
                "--   {{ role = {}, password = {{ … }}, masked = {}, granted = {{ role = {}, password = {{ … }} }} }}",
                role(autonomous),
                role(masked),
                role(granted)
            ));
        }
        out.push(String::new());
    }

    fn roles(&self, out: &mut Vec<String>) {
        let Trio { autonomous, masked, granted, .. } = self.trio;
        let wanted = [
            (autonomous, ["LOGIN", "NOINHERIT"]),
            (masked, ["NOLOGIN", "INHERIT"]),
            (granted, ["LOGIN", "INHERIT"]),
        ];
        for (name, is) in wanted {
            let role = quoted(name);
            let body = format!(
                "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN CREATE ROLE {role} {}; END IF; END",
                literal(name),
                is.join(" ")
            );
            out.push(format!("DO {};", dollar_quoted(&body)));
            let has = self.state.roles.get(name.as_str());
            // To say NOSUPERUSER takes a superuser: only what is there is taken away.
            let bad = ["SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS"];
            let mut change: Vec<String> = bad
                .into_iter()
                .filter(|word| has.is_some_and(|has| has.contains(word)))
                .map(|word| format!("NO{word}"))
                .collect();
            change.extend(is.iter().map(|word| (*word).to_owned()));
            out.push(format!("ALTER ROLE {role} {};", change.join(" ")));
            if is.contains(&"LOGIN") && has.is_none() {
                out.push(place_of_password(name));
            }
        }
        let (to, of) = (quoted(autonomous), quoted(masked));
        out.push(match self.state.version >= VERSION_OF_INHERIT {
            true => format!("GRANT {of} TO {to} WITH INHERIT FALSE, SET TRUE;"),
            false => format!("GRANT {of} TO {to};"),
        });
        out.push(format!(
            "GRANT CONNECT ON DATABASE {} TO {to}, {};",
            quoted(self.database),
            quoted(granted)
        ));
        out.push(format!("REVOKE CREATE ON DATABASE {} FROM {to}, {of};", quoted(self.database)));
        out.push(String::new());
    }

    fn schemas(&self, out: &mut Vec<String>) {
        let [a, m, g] = self.quoted_names();
        for schema in self.schema_names() {
            let name = quoted(&schema);
            out.push(format!("GRANT USAGE ON SCHEMA {name} TO {a}, {m}, {g};"));
            out.push(format!("REVOKE CREATE ON SCHEMA {name} FROM {a}, {m};"));
            if self.state.open_schemas.contains(&schema) {
                out.push(
                    "-- Everybody may make things there: functions and tables whose names shadow others."
                        .to_owned(),
                );
                out.push(format!("REVOKE CREATE ON SCHEMA {name} FROM PUBLIC;"));
            }
            // From nothing on: what a role had before does not stay.
            out.push(format!("REVOKE ALL ON ALL TABLES IN SCHEMA {name} FROM {a}, {m};"));
            out.push(format!("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {name} FROM {a}, {m};"));
            out.push(format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {name} TO {g};"
            ));
            out.push(format!("GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {name} TO {g};"));
        }
        out.push(String::new());
    }

    fn tables(&self, out: &mut Vec<String>) {
        let [a, m, _] = self.quoted_names();
        for table in self.relations(|relation| !is_view(relation) && relation.kind != RelationKind::Sequence)
        {
            let name = of_table(&table.name);
            if self.known.is_unknown(table.oid) {
                out.push(format!(
                    "-- {}: not in the catalogue as it is now; nothing is granted on it.",
                    comment(&table.name.to_string())
                ));
                continue;
            }
            let columns = |labelled: bool| {
                let of = table
                    .columns
                    .iter()
                    .filter(|c| is_labelled(self.known, table, c.attnum, c.type_oid) == labelled);
                of.map(|column| quoted(&column.name)).collect::<Vec<_>>()
            };
            let (open, labelled) = (columns(false), columns(true));
            let some = |right: &str| match (labelled.is_empty(), open.is_empty()) {
                (true, _) => Some(right.to_owned()),
                (false, true) => None,
                (false, false) => Some(format!("{right} ({})", open.join(", "))),
            };
            if !labelled.is_empty() && self.state.public.contains(&table.oid) {
                out.push(format!("REVOKE ALL ON TABLE {name} FROM PUBLIC;"));
            }
            let is_own = self.agents.iter().any(|agent| self.known.is_own(table.oid, agent));
            let mut rights: Vec<String> = some("SELECT").into_iter().collect();
            if is_own {
                rights.extend(some("INSERT"));
                rights.extend(some("UPDATE"));
                rights.push("DELETE".to_owned());
            }
            if !rights.is_empty() {
                out.push(format!("GRANT {} ON TABLE {name} TO {a};", rights.join(", ")));
            }
            out.push(format!("GRANT SELECT ON TABLE {name} TO {m};"));
        }
        out.push(String::new());
    }

    fn views(&self, out: &mut Vec<String>) {
        let [a, m, _] = self.quoted_names();
        for view in self.relations(is_view) {
            let name = of_table(&view.name);
            if leads_to_labels(self.known, view) {
                if self.state.public.contains(&view.oid) {
                    out.push(format!("REVOKE ALL ON TABLE {name} FROM PUBLIC;"));
                }
                out.push(format!(
                    "-- {}: a view that may show labelled columns, in its owner's right; reading it is for people to approve.",
                    comment(&view.name.to_string())
                ));
            } else {
                out.push(format!("GRANT SELECT ON TABLE {name} TO {a}, {m};"));
            }
        }
        out.push(String::new());
    }

    // The numbers of an agent's own tables.
    fn sequences(&self, out: &mut Vec<String>) {
        let [a, _, _] = self.quoted_names();
        for (schema, name, of) in &self.state.sequences {
            let is_own = of.is_some_and(|oid| self.agents.iter().any(|agent| self.known.is_own(oid, agent)));
            if is_own {
                out.push(format!("GRANT USAGE ON SEQUENCE {}.{} TO {a};", quoted(schema), quoted(name)));
            }
        }
    }

    // Rights that tables would have by themselves which are made later.
    fn later(&self, out: &mut Vec<String>) {
        for (of, schema, to) in &self.state.defaults {
            if to.as_ref() == Some(&self.trio.granted) {
                continue;
            }
            let within =
                schema.as_ref().map(|schema| format!(" IN SCHEMA {}", quoted(schema))).unwrap_or_default();
            let to = to.as_ref().map_or("PUBLIC".to_owned(), |to| quoted(to));
            out.push(format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {}{within} REVOKE ALL ON TABLES FROM {to};",
                quoted(of)
            ));
        }
    }

    fn hints(&self, out: &mut Vec<String>) {
        let g = comment(&quoted(&self.trio.granted));
        out.push(String::new());
        out.push("-- Tables that are made later have no grants by themselves: accept them with `countersign catalogue sync`,".to_owned());
        out.push("-- label their columns, and run this again.".to_owned());
        for owner in
            self.state.owners.iter().filter(|owner| !self.trio.names().any(|name| name == owner.as_str()))
        {
            out.push(format!(
                "-- Where people approve changes of definitions too: GRANT {} TO {g};",
                comment(&quoted(owner))
            ));
        }
        if !self.state.definers.is_empty() {
            out.push("-- Everybody may call these, and they run with their owners' rights. Revoke what reaches labelled columns:".to_owned());
            let call = |function: &String| {
                format!("--   REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC;", comment(function))
            };
            out.extend(self.state.definers.iter().map(call));
        }
    }

    fn quoted_names(&self) -> [String; 3] {
        [&self.trio.autonomous, &self.trio.masked, &self.trio.granted].map(|name| quoted(name))
    }

    fn schema_names(&self) -> BTreeSet<String> {
        let of_users = self.known.facts().relations.values().filter(|relation| !relation.is_system());
        of_users.map(|relation| relation.name.schema.clone()).filter(|schema| !is_of_server(schema)).collect()
    }

    fn relations(&self, wanted: impl Fn(&Relation) -> bool) -> Vec<&Relation> {
        let all = self.known.facts().relations.values();
        let of_users = all.filter(|relation| !relation.is_system() && !is_of_server(&relation.name.schema));
        let mut relations: Vec<&Relation> = of_users.filter(|relation| wanted(relation)).collect();
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        relations
    }
}

fn is_of_server(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}

fn of_table(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

// A body in quotes that it does not hold itself.
fn dollar_quoted(body: &str) -> String {
    let mut mark = "$setup$".to_owned();
    while body.contains(&mark) {
        mark.insert(1, 'x');
    }
    format!("{mark} {body} {mark}")
}

// A name in a comment: it must not end the line.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { '?' } else { c }).collect()
}

fn toml_text(text: &str) -> String {
    comment(&toml::Value::String(text.to_owned()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes_or_its_line() {
        assert_eq!(comment("a\nDROP TABLE x"), "a?DROP TABLE x");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
        let text = format!("x\n{}\ny", place_of_password("g\nh"));
        let set = with_password(&text, "g\nh", "SCRAM-SHA-256$4096:a$b:c");
        assert_eq!(set, "x\nALTER ROLE \"g\nh\" PASSWORD 'SCRAM-SHA-256$4096:a$b:c';\ny");
        assert_eq!(dollar_quoted("\"a$setup$b\""), "$xsetup$ \"a$setup$b\" $xsetup$");
    }
}
