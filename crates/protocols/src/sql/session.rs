//! What a session has become by what ran in it, as far as it decides what a text means. Knows no connection.

use super::facts::ServerFacts;

/// The state of one session at the server. The gate keeps it; analysis only reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionState {
    /// The role that authenticated at the server.
    pub user: String,
    /// The role that acts now (`current_user`).
    pub role: String,
    /// `search_path`, name by name as it was set, `$user` included.
    pub search_path: Vec<String>,
    /// `search_path` or the role was set within the transaction that is open: its end changes them back.
    pub path_in_transaction: bool,
    /// Something was defined, or may have been, in the transaction that is open: nobody else sees it yet, and it is not
    /// among the facts.
    pub definitions_in_doubt: bool,
    /// `SET countersign.reveal = on` was said.
    pub reveal: bool,
    /// Temporary objects: a name without a schema may mean one of them.
    pub temp_objects: TempObjects,
    /// `standard_conforming_strings` is on. Nothing is understood otherwise.
    pub standard_conforming_strings: bool,
    /// `client_encoding` is UTF-8. Nothing is understood otherwise.
    pub client_encoding_utf8: bool,
}

/// The schema under which temporary objects stand among the facts, where they do.
pub const TEMP_SCHEMA: &str = "pg_temp";

/// What is known of a session's temporary objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TempObjects {
    /// There are none.
    None,
    /// Each of them is among the facts, in [`TEMP_SCHEMA`].
    Listed,
    /// There are some, or may be, and nobody has listed them.
    Unseen,
}

impl SessionState {
    /// A fresh session of this role with the server's default path.
    pub fn new(role: &str) -> Self {
        Self {
            user: role.to_owned(),
            role: role.to_owned(),
            search_path: vec!["$user".to_owned(), "public".to_owned()],
            path_in_transaction: false,
            definitions_in_doubt: false,
            reveal: false,
            temp_objects: TempObjects::None,
            standard_conforming_strings: true,
            client_encoding_utf8: true,
        }
    }

    /// The schemas in which a name without one is looked for, in order. The temporary one is among them where its
    /// objects are listed; functions and operators are never looked for in it.
    pub fn effective_path(&self, facts: &ServerFacts) -> Vec<String> {
        let mut path: Vec<String> = Vec::new();
        for entry in &self.search_path {
            let name = if entry == "$user" { &self.role } else { entry };
            // A schema that the role may not look into is passed over, as if it were not there.
            let hidden = facts.no_usage.contains(&(name.clone(), self.role.clone()));
            if facts.schemas.contains(name) && !hidden && !path.contains(name) {
                path.push(name.clone());
            }
        }
        if !path.iter().any(|name| name == "pg_catalog") {
            path.insert(0, "pg_catalog".to_owned());
        }
        if self.temp_objects == TempObjects::Listed && !path.iter().any(|name| name == TEMP_SCHEMA) {
            path.insert(0, TEMP_SCHEMA.to_owned());
        }
        path
    }

    /// Splits a `search_path` as a server reports it (`"$user", public`) into its names.
    pub fn parse_search_path(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut name = String::new();
        let mut chars = text.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    name.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => names.push(std::mem::take(&mut name)),
                c if !quoted && c.is_ascii_whitespace() => {}
                c if !quoted => name.push(c.to_ascii_lowercase()),
                c => name.push(c),
            }
        }
        names.push(name);
        names.retain(|name| !name.is_empty());
        names
    }
}
