//! What a role of the gate may do at the server that it should not. Asks the server, changes nothing.

use super::finding::{Finding, Grade, listed, shown};
use super::labelled::{Labelled, as_array, as_table, literal};
use anyhow::Result;
use countersign_protocols::postgres::serve::{Questions, TextRows};

/// What a role is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Everything that an agent does: there is no other role.
    Everything,
    /// What touches no labelled column.
    Autonomous,
    /// Masked reads.
    Masked,
    /// What people approved.
    Granted,
    /// Reading the server's catalogue.
    Catalogue,
}

/// A role of the gate, and what it is there for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// What for.
    pub purpose: Purpose,
    /// The role that it may become, by design.
    pub becomes: Option<String>,
}

/// Membership in these opens the server's files, its programs or all of its data.
const DOORS: [&str; 6] = [
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_create_subscription",
];
/// Functions of the server that open its files.
const FILES: [&str; 4] =
    ["pg_read_file(text)", "pg_read_binary_file(text)", "lo_import(text)", "lo_export(oid,text)"];

/// Everything about one role.
pub async fn examine(at: &mut Questions, role: &Held, labelled: &Labelled) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let Some(is_super) = attributes(at, role, &mut found).await? else { return Ok(found) };
    if is_super {
        // It may do everything: each further line would say so again.
        return Ok(found);
    }
    memberships(at, role, &mut found).await?;
    files(at, role, &mut found).await?;
    ownership(at, role, labelled, &mut found).await?;
    making(at, role, &mut found).await?;
    columns(at, role, labelled, &mut found).await?;
    views(at, role, labelled, &mut found).await?;
    borrowed_rights(at, role, labelled, &mut found).await?;
    if found.is_empty() {
        let what = format!(
            "role {} may do what it is there for ({}) and no more",
            shown(&role.name),
            role.purpose.word()
        );
        found.push(Finding::fine("role", what));
    }
    Ok(found)
}

// Whether it is a superuser; none where there is no such role.
async fn attributes(at: &mut Questions, role: &Held, found: &mut Vec<Finding>) -> Result<Option<bool>> {
    let sql = format!(
        "SELECT rolsuper::text, rolbypassrls::text, rolcreaterole::text, rolreplication::text, rolcreatedb::text, \
         rolcanlogin::text FROM pg_catalog.pg_roles WHERE rolname = {}",
        literal(&role.name)
    );
    let rows = at.rows(&sql).await?;
    let Some(row) = rows.first() else {
        let what = format!("there is no role {}", shown(&role.name));
        found.push(Finding::bad(
            Grade::Refuse,
            "role",
            what,
            "`countersign setup postgres` prints the SQL that makes it",
        ));
        return Ok(None);
    };
    let is = |at: usize| row.get(at).and_then(Option::as_deref) == Some("true");
    let mildly = matches!(role.purpose, Purpose::Granted | Purpose::Catalogue);
    let wide = if mildly { Grade::Warn } else { Grade::Refuse };
    let superuser = if role.purpose == Purpose::Catalogue { Grade::Warn } else { Grade::Refuse };
    let attributes = [
        (0, superuser, "SUPERUSER", "no rule of the server holds for it"),
        (1, wide, "BYPASSRLS", "row security does not hold for it"),
        (2, wide, "CREATEROLE", "it may make roles, and give them rights"),
        (3, wide, "REPLICATION", "it may copy the whole server"),
        (4, Grade::Warn, "CREATEDB", "it may make databases"),
    ];
    for (at, grade, word, because) in attributes {
        if is(at) {
            let what = format!("role {} has {word}: {because}", shown(&role.name));
            let then = format!("ALTER ROLE {} NO{word}", quoted(&role.name));
            found.push(Finding::bad(grade, "attributes", what, then));
        }
    }
    if role.purpose == Purpose::Masked && is(5) {
        let what = format!("role {} may log in, and its reads would not be masked", shown(&role.name));
        found.push(Finding::bad(
            Grade::Warn,
            "attributes",
            what,
            format!("ALTER ROLE {} NOLOGIN", quoted(&role.name)),
        ));
    }
    Ok(Some(is(0)))
}

async fn memberships(at: &mut Questions, role: &Held, found: &mut Vec<Finding>) -> Result<()> {
    let name = literal(&role.name);
    let sql = format!(
        "SELECT rolname::text, (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)::text \
         FROM pg_catalog.pg_roles WHERE rolname <> {name} AND pg_catalog.pg_has_role({name}, oid, 'MEMBER') ORDER BY 1"
    );
    let rows = at.rows(&sql).await?;
    let mut others = Vec::new();
    for row in &rows {
        let [Some(of), wide] = row.as_slice() else { continue };
        let is_wide = wide.as_deref() == Some("true");
        if role.becomes.as_ref() == Some(of) && !is_wide {
            continue;
        }
        if !is_wide && !DOORS.contains(&of.as_str()) {
            others.push(of.as_str());
            continue;
        }
        let mildly = matches!(role.purpose, Purpose::Granted | Purpose::Catalogue);
        let grade = if mildly { Grade::Warn } else { Grade::Refuse };
        let what = format!("role {} is a member of {}", shown(&role.name), shown(of));
        found.push(Finding::bad(
            grade,
            "membership",
            what,
            format!("REVOKE {} FROM {}", quoted(of), quoted(&role.name)),
        ));
    }
    // Of granted work it is expected that it may become the owner of what it changes.
    if !others.is_empty() && matches!(role.purpose, Purpose::Autonomous | Purpose::Masked) {
        let what = format!(
            "role {} is a member of {}: it has their rights or may take them",
            shown(&role.name),
            listed(others)
        );
        found.push(Finding::bad(
            Grade::Warn,
            "membership",
            what,
            "REVOKE them, but for the role of masked reads",
        ));
    }
    Ok(())
}

async fn files(at: &mut Questions, role: &Held, found: &mut Vec<Finding>) -> Result<()> {
    if matches!(role.purpose, Purpose::Granted | Purpose::Catalogue) {
        return Ok(());
    }
    let name = literal(&role.name);
    let functions = FILES.map(|function| literal(&format!("pg_catalog.{function}"))).join(",");
    let sql = format!(
        "SELECT f FROM pg_catalog.unnest(ARRAY[{functions}]) AS f \
         WHERE pg_catalog.has_function_privilege({name}, pg_catalog.to_regprocedure(f), 'EXECUTE')"
    );
    let rows = at.rows(&sql).await?;
    let names: Vec<&str> = first_cells(&rows);
    if !names.is_empty() {
        let what =
            format!("role {} may read or write the server's files by {}", shown(&role.name), listed(names));
        found.push(Finding::bad(
            Grade::Refuse,
            "server files",
            what,
            "REVOKE EXECUTE on them from the role and from PUBLIC",
        ));
    }
    Ok(())
}

async fn ownership(
    at: &mut Questions,
    role: &Held,
    labelled: &Labelled,
    found: &mut Vec<Finding>,
) -> Result<()> {
    if matches!(role.purpose, Purpose::Granted | Purpose::Catalogue) {
        return Ok(());
    }
    let name = literal(&role.name);
    let sql = format!(
        "SELECT c.oid::pg_catalog.regclass::text, (c.oid = ANY ({}))::text FROM pg_catalog.pg_class c \
         WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't' \
         AND pg_catalog.pg_has_role({name}, c.relowner, 'MEMBER') ORDER BY 1",
        as_array(labelled.tables())
    );
    let rows = at.rows(&sql).await?;
    let of = |wanted: &str| {
        let rows = rows.iter().filter(|row| row.get(1).and_then(Option::as_deref) == Some(wanted));
        rows.filter_map(|row| row.first()?.as_deref()).collect::<Vec<_>>()
    };
    let alone = role.purpose == Purpose::Everything;
    let (with_labels, others) = (of("true"), of("false"));
    if !with_labels.is_empty() {
        let what = format!(
            "role {} owns tables with labelled columns, and may give itself every right on them: {}",
            shown(&role.name),
            listed(with_labels)
        );
        let grade = if alone { Grade::Warn } else { Grade::Refuse };
        found.push(Finding::bad(
            grade,
            "ownership",
            what,
            "ALTER TABLE … OWNER TO a role that is none of the gate's",
        ));
    }
    if !others.is_empty() {
        let what = format!(
            "role {} owns {}: it may alter and drop them, and give them triggers",
            shown(&role.name),
            listed(others)
        );
        found.push(Finding::bad(
            Grade::Warn,
            "ownership",
            what,
            "let another role own them, and grant what is needed",
        ));
    }
    Ok(())
}

async fn making(at: &mut Questions, role: &Held, found: &mut Vec<Finding>) -> Result<()> {
    if matches!(role.purpose, Purpose::Granted | Purpose::Catalogue) {
        return Ok(());
    }
    let name = literal(&role.name);
    let sql = format!(
        "SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' \
         AND pg_catalog.has_schema_privilege({name}, oid, 'CREATE') \
         UNION ALL SELECT 'database ' || datname FROM pg_catalog.pg_database \
         WHERE datname = pg_catalog.current_database() AND pg_catalog.has_database_privilege({name}, oid, 'CREATE') ORDER BY 1"
    );
    let rows = at.rows(&sql).await?;
    let names = first_cells(&rows);
    if !names.is_empty() {
        let grade = if role.purpose == Purpose::Everything { Grade::Warn } else { Grade::Refuse };
        let what =
            format!("role {} may make things (tables, functions) in {}", shown(&role.name), listed(names));
        found.push(Finding::bad(
            grade,
            "create",
            what,
            "REVOKE CREATE from the role, and from PUBLIC where it comes from there",
        ));
    }
    Ok(())
}

async fn columns(
    at: &mut Questions,
    role: &Held,
    labelled: &Labelled,
    found: &mut Vec<Finding>,
) -> Result<()> {
    let name = literal(&role.name);
    let on_column = |words: &str| format!("pg_catalog.has_column_privilege({name}, c.t, c.a, '{words}')");
    let on_table = |words: &str| format!("pg_catalog.has_table_privilege({name}, c.t, '{words}')");
    let asked = |what: &str, columns: &str| {
        format!("SELECT c.t::text || '.' || c.a FROM {columns} WHERE {what} ORDER BY c.t, c.a")
    };
    let which = as_table(&labelled.columns);
    let (reads, writes) = (on_column("SELECT"), on_column("INSERT, UPDATE, REFERENCES"));
    let empties = on_table("TRUNCATE, TRIGGER");
    let names = |rows: &TextRows| {
        let keys = first_cells(rows);
        let named = labelled.columns.iter().chain(&labelled.open);
        let named =
            named.filter(|column| keys.contains(&format!("{}.{}", column.oid, column.attnum).as_str()));
        named.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    let shown_role = shown(&role.name);
    match role.purpose {
        Purpose::Autonomous | Purpose::Catalogue => {
            let rows = at.rows(&asked(&format!("({reads} OR {writes} OR {empties})"), &which)).await?;
            let names = names(&rows);
            if !names.is_empty() {
                let grade = if role.purpose == Purpose::Autonomous { Grade::Refuse } else { Grade::Warn };
                let what = format!(
                    "role {shown_role} has rights on labelled columns: {}",
                    listed(names.iter().map(String::as_str))
                );
                let then = "grant it the other columns only: `countersign setup postgres` prints the SQL";
                found.push(Finding::bad(grade, "labelled columns", what, then));
            }
        }
        Purpose::Masked => {
            let rows = at.rows(&asked(&format!("NOT {reads}"), &which)).await?;
            let names = names(&rows);
            if !names.is_empty() {
                let what = format!(
                    "role {shown_role} may not read {}: the server refuses their masked reads",
                    listed(names.iter().map(String::as_str))
                );
                found.push(Finding::bad(Grade::Warn, "labelled columns", what, "GRANT SELECT on them to it"));
            }
            masked_only_reads(at, role, found).await?;
        }
        Purpose::Everything => {
            let rows = at.rows(&asked(&format!("({reads} OR {writes})"), &which)).await?;
            let names = names(&rows);
            if !names.is_empty() {
                let what = format!(
                    "role {shown_role} does everything, also what touches labelled columns ({}): the gate is the only wall",
                    listed(names.iter().map(String::as_str))
                );
                let then = "give the target three roles (docs/operations.md, Two walls): `countersign setup postgres` prints the SQL";
                found.push(Finding::bad(Grade::Warn, "one wall", what, then));
            }
        }
        Purpose::Granted => {}
    }
    if role.purpose == Purpose::Autonomous {
        let rows = at.rows(&asked(&format!("NOT {reads}"), &as_table(&labelled.open))).await?;
        let names = names(&rows);
        if !names.is_empty() {
            let what = format!(
                "role {shown_role} may not read {}, which hold nothing labelled: the server refuses what the gate allows",
                listed(names.iter().map(String::as_str))
            );
            found.push(Finding::bad(Grade::Warn, "open columns", what, "run `countersign setup postgres` again: tables that are made later have no grants by themselves"));
        }
    }
    Ok(())
}

async fn masked_only_reads(at: &mut Questions, role: &Held, found: &mut Vec<Finding>) -> Result<()> {
    let name = literal(&role.name);
    let sql = format!(
        "SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c WHERE c.oid >= 16384 \
         AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't' \
         AND (pg_catalog.has_table_privilege({name}, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') \
         OR pg_catalog.has_any_column_privilege({name}, c.oid, 'INSERT, UPDATE, REFERENCES')) ORDER BY 1"
    );
    let rows = at.rows(&sql).await?;
    let names = first_cells(&rows);
    if !names.is_empty() {
        let what =
            format!("role {} is there for masked reads, and may change {}", shown(&role.name), listed(names));
        found.push(Finding::bad(Grade::Refuse, "labelled columns", what, "REVOKE everything but SELECT"));
    }
    Ok(())
}

async fn views(at: &mut Questions, role: &Held, labelled: &Labelled, found: &mut Vec<Finding>) -> Result<()> {
    let grade = match role.purpose {
        Purpose::Autonomous | Purpose::Masked => Grade::Refuse,
        Purpose::Catalogue => Grade::Warn,
        Purpose::Everything | Purpose::Granted => return Ok(()),
    };
    let sql = format!(
        "SELECT v::pg_catalog.regclass::text FROM pg_catalog.unnest({}) AS v \
         WHERE pg_catalog.has_any_column_privilege({}, v, 'SELECT') ORDER BY 1",
        as_array(labelled.views.iter().map(|(oid, _)| *oid)),
        literal(&role.name)
    );
    let rows = at.rows(&sql).await?;
    let names = first_cells(&rows);
    if !names.is_empty() {
        let what = format!(
            "role {} may read views that lead to labelled columns, in their owners' right: {}",
            shown(&role.name),
            listed(names)
        );
        found.push(Finding::bad(grade, "views", what, "REVOKE SELECT on them from the role and from PUBLIC"));
    }
    Ok(())
}

// Functions that run with the rights of their owner, where that one reaches what is labelled.
async fn borrowed_rights(
    at: &mut Questions,
    role: &Held,
    labelled: &Labelled,
    found: &mut Vec<Finding>,
) -> Result<()> {
    if !matches!(role.purpose, Purpose::Autonomous | Purpose::Masked) || labelled.columns.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p WHERE p.prosecdef AND p.oid >= 16384 \
         AND pg_catalog.has_function_privilege({}, p.oid, 'EXECUTE') AND EXISTS (SELECT FROM {} \
         WHERE pg_catalog.has_column_privilege(p.proowner, c.t, c.a, 'SELECT')) ORDER BY 1",
        literal(&role.name),
        as_table(&labelled.columns)
    );
    let rows = at.rows(&sql).await?;
    let names = first_cells(&rows);
    if !names.is_empty() {
        let what = format!(
            "role {} may call functions that run in the right of owners who may read labelled columns: {}",
            shown(&role.name),
            listed(names)
        );
        found.push(Finding::bad(
            Grade::Warn,
            "security definer",
            what,
            "REVOKE EXECUTE on them from PUBLIC, and grant it to those who need it",
        ));
    }
    Ok(())
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Autonomous => "what touches no labelled column",
            Self::Masked => "masked reads",
            Self::Granted => "what people approved",
            Self::Catalogue => "reading the server's catalogue",
        }
    }
}

/// The first cell of each row.
pub fn first_cells(rows: &TextRows) -> Vec<&str> {
    rows.iter().filter_map(|row| row.first()?.as_deref()).collect()
}

/// A name as it stands in SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
