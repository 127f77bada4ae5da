//! Names as policies write them: `shop/app/public.customers`. Two different things never get the same name.

use countersign_core::action::{Resource, TableName, Target};

/// `schema.table`, each part in double quotes where it has characters of its own (as SQL would).
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", part(&name.schema), part(&name.name))
}

/// `target/database`.
pub(crate) fn database(target: &Target) -> String {
    format!("{}/{}", part(target.name.as_str()), part(&target.database))
}

/// `target/database/schema.table`.
pub(crate) fn table_in(target: &Target, name: &TableName) -> String {
    format!("{}/{}", database(target), table(name))
}

/// A resource in words for people.
pub(crate) fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Database => "the database".to_owned(),
        Resource::Table(name) => format!("`{}`", table(name)),
    }
}

// Without the quotes, schema `a.b` with table `c` and schema `a` with table `b.c` would read the same,
// and whoever names a schema could aim at another table's policy.
fn part(text: &str) -> String {
    if text.chars().all(|c| !matches!(c, '.' | '/' | '"')) && !text.is_empty() {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

/// `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
