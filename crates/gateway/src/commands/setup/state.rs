//! What stands at the server already: the roles with their attributes, sequences, what everybody may do. Asks, changes
//! nothing.

use super::super::doctor::labelled::literal;
use super::sql::Trio;
use anyhow::Result;
use countersign_protocols::postgres::serve::{Questions, TextRows};
use std::collections::{BTreeMap, BTreeSet};

/// What stands at the server.
#[derive(Debug, Default)]
pub struct State {
    /// `server_version_num`.
    pub version: u32,
    /// Which of the roles are there, and which attributes they have that they should not.
    pub roles: BTreeMap<String, Vec<&'static str>>,
    /// Sequences by schema and name, with the table that each counts for.
    pub sequences: Vec<(String, String, Option<u32>)>,
    /// Relations on which everybody has rights.
    pub public: BTreeSet<u32>,
    /// Schemas in which everybody may make things.
    pub open_schemas: BTreeSet<String>,
    /// Rights on tables that are made later: whose, in which schema, to whom (nobody's name for everybody).
    pub defaults: BTreeSet<(String, Option<String>, Option<String>)>,
    /// Functions that run with their owner's rights and that everybody may call.
    pub definers: Vec<String>,
    /// Owners of tables that are no superusers.
    pub owners: BTreeSet<String>,
}

const SEQUENCES: &str = "SELECT n.nspname::text, c.relname::text, d.refobjid::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') \
    WHERE c.relkind = 'S' AND c.oid >= 16384 AND n.nspname !~ '^pg_' ORDER BY 1, 2";
const PUBLIC: &str = "SELECT DISTINCT c.oid::text FROM pg_catalog.pg_class c, \
    LATERAL pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = 0 AND c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f') \
    UNION SELECT DISTINCT t.attrelid::text FROM pg_catalog.pg_attribute t, LATERAL pg_catalog.aclexplode(t.attacl) a \
    WHERE a.grantee = 0 AND t.attrelid >= 16384";
const OPEN_SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' \
    AND pg_catalog.has_schema_privilege('public', oid, 'CREATE')";
const DEFINERS: &str = "SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p \
    WHERE p.prosecdef AND p.oid >= 16384 AND p.prokind IN ('f', 'p') \
    AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1";
const OWNERS: &str = "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f') \
    AND NOT r.rolsuper";

/// Reads it.
pub async fn read(at: &mut Questions, trio: &Trio) -> Result<State> {
    let version = at.rows("SELECT pg_catalog.current_setting('server_version_num')").await?;
    let names = trio.names().map(literal).collect::<Vec<_>>().join(", ");
    let roles = at
        .rows(&format!(
            "SELECT rolname::text, rolsuper::text, rolcreatedb::text, rolcreaterole::text, rolreplication::text, \
             rolbypassrls::text, rolinherit::text, rolcanlogin::text FROM pg_catalog.pg_roles WHERE rolname IN ({names})"
        ))
        .await?;
    let defaults = at
        .rows(&format!(
            "SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole)::text, n.nspname::text, \
             CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee)::text END FROM pg_catalog.pg_default_acl d \
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace, LATERAL pg_catalog.aclexplode(d.defaclacl) a \
             WHERE d.defaclobjtype = 'r' AND (a.grantee = 0 OR pg_catalog.pg_get_userbyid(a.grantee) IN ({names}))"
        ))
        .await?;
    let sequences = at.rows(SEQUENCES).await?;
    let public = cells(at.rows(PUBLIC).await?);
    Ok(State {
        version: cells(version).into_iter().find_map(|number| number.parse().ok()).unwrap_or(0),
        roles: roles.into_iter().filter_map(attributes).collect(),
        sequences: sequences.into_iter().filter_map(sequence).collect(),
        public: public.iter().filter_map(|oid| oid.parse().ok()).collect(),
        open_schemas: cells(at.rows(OPEN_SCHEMAS).await?).into_iter().collect(),
        defaults: defaults.into_iter().filter_map(default).collect(),
        definers: cells(at.rows(DEFINERS).await?),
        owners: cells(at.rows(OWNERS).await?).into_iter().collect(),
    })
}

fn cells(rows: TextRows) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next()?).collect()
}

fn attributes(row: Vec<Option<String>>) -> Option<(String, Vec<&'static str>)> {
    let words = ["SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS", "INHERIT", "LOGIN"];
    let mut cells = row.into_iter();
    let name = cells.next()??;
    let has = words.into_iter().zip(cells).filter(|(_, cell)| cell.as_deref() == Some("true"));
    Some((name, has.map(|(word, _)| word).collect()))
}

fn sequence(row: Vec<Option<String>>) -> Option<(String, String, Option<u32>)> {
    let [schema, name, of] = <[_; 3]>::try_from(row).ok()?;
    Some((schema?, name?, of.and_then(|oid| oid.parse().ok())))
}

fn default(row: Vec<Option<String>>) -> Option<(String, Option<String>, Option<String>)> {
    let [of, schema, to] = <[_; 3]>::try_from(row).ok()?;
    Some((of?, schema, to))
}
