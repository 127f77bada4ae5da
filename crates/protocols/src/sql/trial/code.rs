//! What the function of a trigger may reach, by the words it is made of: every word counts as whatever bears that name,
//! in whichever schema. More is found than there is, and never less; what cannot be told is not tried.

use crate::sql::analyse::functions::{Call, call};
use crate::sql::facts::ServerFacts;
use crate::sql::known::Known;
use crate::sql::segments::tokens;
use pg_query::protobuf::{KeywordKind, Token};
use std::collections::BTreeSet;

/// The longest function that is read, in bytes.
const CODE_BYTES_MAX: usize = 64 << 10;
/// Functions of the server that triggers call and that change nothing but the row.
const HARMLESS: [&str; 3] =
    ["suppress_redundant_updates_trigger", "tsvector_update_trigger", "tsvector_update_trigger_column"];
/// Words by which code does what no rollback undoes, or what words do not say.
const REFUSED: [&str; 36] = [
    "alter",
    "analyze",
    "call",
    "checkpoint",
    "cluster",
    "commit",
    "copy",
    "create",
    "deallocate",
    "discard",
    "do",
    "drop",
    "execute",
    "grant",
    "import",
    "listen",
    "load",
    "lock",
    "move",
    "notify",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "transaction",
    "truncate",
    "unlisten",
    "vacuum",
    "abort",
    "prepared",
];

/// A trigger with its function, as the server says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its table.
    pub table: u32,
    /// Its name.
    pub name: String,
    schema: String,
    function: String,
    language: String,
    code: Option<String>,
    definition: Option<String>,
}

/// What code may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Tables and the like that bear a name of which it is made.
    pub tables: BTreeSet<u32>,
    /// It takes numbers of sequences.
    pub numbers: bool,
}

impl Trigger {
    /// Reads a row of [`super::triggers_query`].
    pub fn read(row: &[Option<String>]) -> Option<Self> {
        let [Some(table), Some(name), Some(schema), Some(function), Some(language), code, definition] = row
        else {
            return None;
        };
        Some(Self {
            table: table.parse().ok()?,
            name: name.clone(),
            schema: schema.clone(),
            function: function.clone(),
            language: language.clone(),
            code: code.clone(),
            definition: definition.clone(),
        })
    }

    /// What it may reach.
    ///
    /// # Errors
    /// Why that cannot be told, or is not undone by a rollback, in words.
    pub fn written(&self, known: &Known) -> Result<Written, String> {
        let of = |why: &str| {
            format!("the trigger `{}` runs `{}.{}`, {why}", self.name, self.schema, self.function)
        };
        let mut written = Written::default();
        if let Some(definition) = &self.definition {
            let when = condition(definition).ok_or_else(|| of("under a condition that cannot be read"))?;
            read(when, known, &mut written).map_err(|why| of(&why))?;
        }
        if self.schema == "pg_catalog" && HARMLESS.contains(&self.function.as_str()) {
            return Ok(written);
        }
        if self.language != "plpgsql" {
            return Err(of(&format!("which is written in {}", self.language)));
        }
        let code = self.code.as_deref().ok_or_else(|| of("which cannot be read"))?;
        read(code, known, &mut written).map_err(|why| of(&why))?;
        Ok(written)
    }
}

// The text between WHEN ( and ) EXECUTE FUNCTION. A name that holds such words makes it longer, and never shorter.
fn condition(definition: &str) -> Option<&str> {
    let (_, rest) = definition.split_once(" WHEN (")?;
    Some(rest.rsplit_once(") EXECUTE ")?.0)
}

fn read(code: &str, known: &Known, written: &mut Written) -> Result<(), String> {
    if code.len() > CODE_BYTES_MAX {
        return Err(format!("which is longer than {CODE_BYTES_MAX} bytes"));
    }
    let facts = known.facts();
    let mut all = tokens(code).ok_or("which cannot be read")?.into_iter().peekable();
    while let Some(token) = all.next() {
        let text = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
        let text = text.and_then(|(start, end)| code.get(start..end)).ok_or("which cannot be read")?;
        // Of ON CONFLICT, and not a block of code.
        let next = all.peek().and_then(|next| Token::try_from(next.token).ok());
        if text.eq_ignore_ascii_case("do") && matches!(next, Some(Token::Nothing | Token::Update)) {
            continue;
        }
        let is_keyword =
            !matches!(KeywordKind::try_from(token.keyword_kind), Ok(KeywordKind::NoKeyword) | Err(_));
        match Token::try_from(token.token) {
            Ok(Token::Uident) => return Err("in which a name is written in escapes".to_owned()),
            Ok(Token::Op) if facts.operators_user.contains_key(text) => {
                return Err(format!("which uses the operator `{text}` of a user"));
            }
            Ok(Token::Ident) => word(&name(text), facts, written)?,
            Ok(_) if is_keyword => {
                let text = text.to_lowercase();
                if REFUSED.contains(&text.as_str()) {
                    return Err(format!("which says {}", text.to_uppercase()));
                }
                word(&text, facts, written)?;
            }
            Ok(_) => {
                if facts.operators_user.contains_key(text) {
                    return Err(format!("which uses the operator `{text}` of a user"));
                }
            }
            Err(_) => return Err("which cannot be read".to_owned()),
        }
    }
    Ok(())
}

// As the server reads it: in lower case, but where it stands in quotes.
fn name(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

fn word(name: &str, facts: &ServerFacts, written: &mut Written) -> Result<(), String> {
    // PL/pgSQL's own words are no keywords of SQL.
    if REFUSED.contains(&name) {
        return Err(format!("which says {}", name.to_uppercase()));
    }
    if facts.functions_user.contains_key(name) {
        return Err(format!("which may call `{name}`"));
    }
    for schema in ["pg_catalog", "information_schema"] {
        let Some(function) = facts.functions_system.get(&(schema.to_owned(), name.to_owned())) else {
            continue;
        };
        match call(name, function.volatile) {
            Call::Plain => {}
            Call::Does(_) if name == "nextval" => written.numbers = true,
            Call::Does(_) | Call::Shows | Call::Runs => return Err(format!("which may call `{name}`")),
        }
    }
    let is_code = |(oid, fact): (&u32, &crate::sql::facts::TypeFact)| {
        fact.name.name == name && !facts.relations.contains_key(&fact.relation) && !facts.type_is_plain(*oid)
    };
    if facts.types.iter().any(is_code) {
        return Err(format!("which uses the type `{name}`"));
    }
    let named = facts.relations.values().filter(|r| r.name.name == name && !r.is_system());
    let tables = named.filter(|r| r.kind != crate::sql::facts::RelationKind::Sequence);
    written.tables.extend(tables.map(|r| r.oid));
    Ok(())
}
