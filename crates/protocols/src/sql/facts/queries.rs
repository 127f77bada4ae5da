//! What is asked of a server: read-only queries over `pg_catalog` that an ordinary role may run on PostgreSQL 14
//! to 18. Knows no driver; whoever runs them hands back rows of text.

/// Run once before [`QUERIES`] on the same connection: definitions of views are then written with full names.
///
/// Views and rules are read under a lock of their tables: whoever holds one of those longer than this keeps the gate from
/// knowing what names mean, and then nothing is judged.
pub const SETUP: &str = "SET search_path TO ''; SET lock_timeout TO '2s'; SET statement_timeout TO '15s'";

/// Objects with an OID below this come with the server (`FirstNormalObjectId`).
pub const FIRST_USER_OID: u32 = 16384;

/// Columns of some relations.
macro_rules! columns {
    ($of:literal) => {
        concat!(
            "SELECT a.attrelid::text, a.attnum::text, a.attname::text, a.atttypid::text, \
         pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated::text \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE ",
            $of,
            " AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f','S') \
         AND n.nspname !~ '^pg_(toast|temp)' ORDER BY a.attrelid, a.attnum",
        )
    };
}

/// Some types.
macro_rules! types {
    ($of:literal) => {
        concat!(
            "SELECT t.oid::text, n.nspname::text, t.typname::text, t.typtype::text, t.typelem::text, \
         t.typbasetype::text, t.typrelid::text, EXISTS (SELECT FROM pg_catalog.pg_constraint c \
         WHERE c.contypid = t.oid)::text FROM pg_catalog.pg_type t \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         WHERE ",
            $of,
            " AND n.nspname !~ '^pg_(toast|temp)' ORDER BY t.oid",
        )
    };
}

/// Functions that came with the server.
const FUNCTIONS_SYSTEM: &str = "SELECT n.nspname::text, p.proname::text, max(CASE p.provolatile WHEN 'v' THEN 2 WHEN 's' THEN 1 ELSE 0 \
     END)::text, max(CASE p.prokind WHEN 'a' THEN 2 WHEN 'p' THEN 3 ELSE 0 END)::text, \
     bool_or(p.proretset)::text, pg_catalog.string_agg(DISTINCT (p.pronargs - p.pronargdefaults)::text || '-' || \
     CASE WHEN p.provariadic <> 0 THEN 100 ELSE p.pronargs END::text, ' ') \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
     WHERE p.oid < 16384 AND n.nspname IN ('pg_catalog', 'information_schema') GROUP BY 1, 2 ORDER BY 1, 2";

/// Operators that came with the server.
const OPERATORS_SYSTEM: &str = "SELECT oprname::text, bool_or(oprleft = 0)::text, bool_or(oprleft <> 0)::text \
     FROM pg_catalog.pg_operator WHERE oid < 16384 GROUP BY 1 ORDER BY 1";

/// Each query under the name by which [`super::ServerFacts::build`] expects its rows.
pub const QUERIES: &[(&str, &str)] = &[
    (
        "server",
        "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database()::text",
    ),
    ("schemas", "SELECT nspname::text FROM pg_catalog.pg_namespace ORDER BY 1"),
    (
        "no_usage",
        "SELECT n.nspname::text, r.rolname::text FROM pg_catalog.pg_namespace n CROSS JOIN pg_catalog.pg_roles r \
         WHERE n.nspname !~ '^pg_(toast|temp)' AND r.rolname !~ '^pg_' \
         AND NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') ORDER BY 1, 2",
    ),
    ("extensions", "SELECT extname::text FROM pg_catalog.pg_extension ORDER BY 1"),
    (
        "relations",
        "SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity::text, \
         pg_catalog.pg_get_userbyid(c.relowner)::text, \
         CASE WHEN c.relkind IN ('v','m') AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r','p','v','m','f','S') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY c.oid",
    ),
    ("columns", columns!("true")),
    (
        "keys",
        "SELECT i.indrelid::text, i.indkey::text, i.indnkeyatts::text FROM pg_catalog.pg_index i \
         WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND i.indrelid >= 16384 ORDER BY 1, 2",
    ),
    (
        "triggers",
        "SELECT t.tgrelid::text, pg_catalog.md5(t.tgenabled::text || pg_catalog.pg_get_triggerdef(t.oid)) \
         FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal \
         OR EXISTS (SELECT FROM pg_catalog.pg_trigger p WHERE p.oid = t.tgparentid AND NOT p.tgisinternal) \
         ORDER BY 1, 2",
    ),
    (
        "rules",
        "SELECT r.ev_class::text, pg_catalog.md5(r.ev_enabled::text || pg_catalog.pg_get_ruledef(r.oid)) \
         FROM pg_catalog.pg_rewrite r WHERE r.rulename <> '_RETURN' AND r.ev_class >= 16384 ORDER BY 1, 2",
    ),
    (
        "policies",
        "SELECT p.polrelid::text, pg_catalog.md5(p.polname::text || p.polcmd::text || p.polpermissive::text \
         || p.polroles::text || coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '') \
         || coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '')) \
         FROM pg_catalog.pg_policy p ORDER BY 1, 2",
    ),
    (
        "inherits",
        "SELECT inhrelid::text, inhparent::text FROM pg_catalog.pg_inherits WHERE inhrelid >= 16384 ORDER BY 1, 2",
    ),
    (
        "foreign_keys",
        "SELECT conrelid::text, confrelid::text, confdeltype::text, confupdtype::text, \
         pg_catalog.array_to_string(confkey, ' ') \
         FROM pg_catalog.pg_constraint WHERE contype = 'f' ORDER BY 1, 2, 3, 4, 5",
    ),
    (
        "generated",
        "SELECT DISTINCT d.adrelid::text, d.adnum::text, p.refobjsubid::text FROM pg_catalog.pg_attrdef d \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> '' \
         JOIN pg_catalog.pg_depend p ON p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND p.refobjid = d.adrelid AND p.refobjsubid <> 0 AND p.refobjsubid <> d.adnum \
         AND ((p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid) \
         OR (p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = d.adrelid AND p.objsubid = d.adnum)) \
         ORDER BY 1, 2, 3",
    ),
    (
        "expressions",
        "SELECT rel::text, place, code FROM ( \
         SELECT d.adrelid, CASE WHEN a.attgenerated = 'v' THEN 'read' ELSE 'write' END, \
         pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
         UNION ALL SELECT conrelid, 'write', pg_catalog.pg_get_expr(conbin, conrelid) \
         FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384 \
         UNION ALL SELECT polrelid, 'read', pg_catalog.pg_get_expr(polqual, polrelid) FROM pg_catalog.pg_policy \
         UNION ALL SELECT polrelid, 'write', pg_catalog.pg_get_expr(polwithcheck, polrelid) FROM pg_catalog.pg_policy \
         UNION ALL SELECT indrelid, 'write', pg_catalog.pg_get_expr(indexprs, indrelid) \
         FROM pg_catalog.pg_index WHERE indrelid >= 16384 \
         UNION ALL SELECT indrelid, 'write', pg_catalog.pg_get_expr(indpred, indrelid) \
         FROM pg_catalog.pg_index WHERE indrelid >= 16384 \
         UNION ALL SELECT partrelid, 'route', pg_catalog.pg_get_expr(partexprs, partrelid) \
         FROM pg_catalog.pg_partitioned_table \
         UNION ALL SELECT a.attrelid, 'write', pg_catalog.pg_get_expr(t.typdefaultbin, 0) \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         WHERE t.oid >= 16384 AND t.typtype = 'd' AND a.attnum > 0 AND NOT a.attisdropped \
         ) AS e(rel, place, code) WHERE code IS NOT NULL ORDER BY 1, 2, 3",
    ),
    (
        "views",
        "SELECT DISTINCT r.ev_class::text, d.refobjid::text FROM pg_catalog.pg_rewrite r \
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
         AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.refobjid <> r.ev_class WHERE r.ev_class >= 16384 ORDER BY 1, 2",
    ),
    (
        "code",
        // Made once: without statistics a planner would make it again for each row of the other side.
        "WITH k(rel, place, class, id) AS MATERIALIZED ( \
         SELECT polrelid, 'read', 'pg_catalog.pg_policy'::pg_catalog.regclass, oid FROM pg_catalog.pg_policy \
         UNION ALL SELECT conrelid, 'write', 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid \
         FROM pg_catalog.pg_constraint WHERE conrelid <> 0 \
         UNION ALL SELECT confrelid, 'write', 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid \
         FROM pg_catalog.pg_constraint WHERE contype = 'f' \
         UNION ALL SELECT adrelid, CASE WHEN a.attgenerated = 'v' THEN 'read' ELSE 'write' END, \
         'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid FROM pg_catalog.pg_attrdef d \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
         UNION ALL SELECT indrelid, 'write', 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid \
         FROM pg_catalog.pg_index WHERE indrelid >= 16384 \
         UNION ALL SELECT ev_class, 'read', 'pg_catalog.pg_rewrite'::pg_catalog.regclass, oid \
         FROM pg_catalog.pg_rewrite WHERE ev_class >= 16384 \
         UNION ALL SELECT a.attrelid, 'write', 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         WHERE t.oid >= 16384 AND t.typtype = 'd' AND a.attnum > 0 AND NOT a.attisdropped \
         ) SELECT DISTINCT k.rel::text, k.place FROM k JOIN pg_catalog.pg_depend d ON d.classid = k.class AND d.objid = k.id \
         WHERE d.refobjid >= 16384 AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, \
         'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_cast'::pg_catalog.regclass, \
         'pg_catalog.pg_opclass'::pg_catalog.regclass) \
         UNION SELECT p.partrelid::text, 'route' FROM pg_catalog.pg_partitioned_table p \
         WHERE EXISTS (SELECT FROM pg_catalog.unnest(p.partclass::oid[]) c WHERE c >= 16384) ORDER BY 1, 2",
    ),
    (
        "functions_user",
        "SELECT n.nspname::text, p.proname::text, p.proargtypes::text, p.pronargdefaults::text, \
         p.provariadic::text, pg_catalog.md5(p.prosrc || coalesce(p.probin, '') || p.prolang::text \
         || p.provolatile::text || p.prosecdef::text || coalesce(p.proconfig::text, '')) \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY p.oid",
    ),
    ("functions_system", FUNCTIONS_SYSTEM),
    (
        "operators_user",
        "SELECT n.nspname::text, o.oprname::text, o.oprleft::text, o.oprright::text FROM pg_catalog.pg_operator o \
         JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
         WHERE o.oid >= 16384 OR n.nspname <> 'pg_catalog' ORDER BY o.oid",
    ),
    ("operators_system", OPERATORS_SYSTEM),
    (
        "casts_user",
        "SELECT castsource::text, casttarget::text FROM pg_catalog.pg_cast \
         WHERE oid >= 16384 AND castmethod = 'f' ORDER BY 1, 2",
    ),
    (
        "types_implied",
        "SELECT DISTINCT casttarget::text FROM pg_catalog.pg_cast \
         WHERE oid >= 16384 AND castcontext = 'i' AND casttarget >= 16384 ORDER BY 1",
    ),
    (
        "types_compared",
        "SELECT DISTINCT c.opcintype::text FROM pg_catalog.pg_opclass c \
         JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname IN ('btree', 'hash') \
         WHERE c.opcdefault AND (EXISTS (SELECT FROM pg_catalog.pg_amproc p \
         WHERE p.amprocfamily = c.opcfamily AND p.amproc >= 16384 \
         AND p.amproclefttype = c.opcintype AND p.amprocrighttype = c.opcintype) \
         OR EXISTS (SELECT FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr \
         WHERE a.amopfamily = c.opcfamily AND o.oprcode >= 16384 \
         AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype)) ORDER BY 1",
    ),
    (
        "functions_compared",
        "WITH c(oid) AS (SELECT DISTINCT c.opcintype FROM pg_catalog.pg_opclass c \
         JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname IN ('btree', 'hash') \
         WHERE c.opcdefault AND (EXISTS (SELECT FROM pg_catalog.pg_amproc p \
         WHERE p.amprocfamily = c.opcfamily AND p.amproc >= 16384 \
         AND p.amproclefttype = c.opcintype AND p.amprocrighttype = c.opcintype) \
         OR EXISTS (SELECT FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr \
         WHERE a.amopfamily = c.opcfamily AND o.oprcode >= 16384 \
         AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype))), \
         a(oid) AS (SELECT oid FROM c UNION SELECT t.typarray FROM pg_catalog.pg_type t JOIN c ON c.oid = t.oid) \
         SELECT proname::text FROM pg_catalog.pg_proc WHERE oid < 16384 \
         AND (prorettype IN (SELECT oid FROM a) OR proallargtypes && ARRAY(SELECT oid FROM a)) \
         UNION SELECT oprname::text FROM pg_catalog.pg_operator \
         WHERE oid < 16384 AND oprresult IN (SELECT oid FROM a) ORDER BY 1",
    ),
    (
        "type_parts",
        "SELECT t.oid::text, a.atttypid::text FROM pg_catalog.pg_type t \
         JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind = 'c' \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE t.oid >= 16384 \
         UNION SELECT rngtypid::text, rngsubtype::text FROM pg_catalog.pg_range WHERE rngtypid >= 16384 \
         UNION SELECT rngmultitypid::text, rngsubtype::text FROM pg_catalog.pg_range WHERE rngtypid >= 16384 \
         ORDER BY 1, 2",
    ),
    ("types", types!("true")),
];

/// Queries of which rows are about what came with the server, and so stay as they are: under its name what is read again
/// only when [`SERVER_FINGERPRINT`] differs, and what is read each time besides. Both together are the query's rows.
pub const LASTING: &[(&str, &str, Option<&str>)] = &[
    ("columns", columns!("a.attrelid < 16384"), Some(columns!("a.attrelid >= 16384"))),
    ("functions_system", FUNCTIONS_SYSTEM, None),
    ("operators_system", OPERATORS_SYSTEM, None),
    ("types", types!("t.oid < 16384"), Some(types!("t.oid >= 16384"))),
];

/// One row, one value. Every change of a row gives it a newer `xmin`, so it differs once what came with the server was
/// changed.
pub const SERVER_FINGERPRINT: &str = "SELECT pg_catalog.current_setting('server_version_num') || ' ' \
|| pg_catalog.string_agg(s, ',') FROM ( \
SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_proc WHERE oid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_operator WHERE oid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_class WHERE oid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_attribute \
WHERE attrelid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_type WHERE oid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_namespace WHERE oid < 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(xmin::text::bigint)::text FROM pg_catalog.pg_constraint \
WHERE contypid BETWEEN 1 AND 16383 \
) AS parts(s)";

/// One row, one value. When it differs from the one taken with the facts, the facts are to be taken again.
pub const FINGERPRINT: &str = "SELECT pg_catalog.md5(pg_catalog.string_agg(s, ',')) FROM ( \
SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind <> 't' AND relpersistence <> 't' \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(attrelid::text || ' ' || attnum::text \
|| ' ' || xmin::text, 0))::text FROM pg_catalog.pg_attribute WHERE attrelid IN (SELECT oid \
FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r','p','v','m','f') AND relpersistence <> 't') \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_proc WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_operator WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_cast WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(t.oid::text || ' ' || t.xmin::text, 0))::text \
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
WHERE t.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)' \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_opclass WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_amproc WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_amop WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_rewrite WHERE ev_class >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_trigger \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_policy \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_constraint WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_attrdef WHERE oid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(indexrelid::text || ' ' || xmin::text, \
0))::text FROM pg_catalog.pg_index WHERE indexrelid >= 16384 \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(inhrelid::text || ' ' || inhparent::text, \
0))::text FROM pg_catalog.pg_inherits \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || ' ' || xmin::text, 0))::text \
FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast|temp)' \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(roleid::text || ' ' || member::text \
|| ' ' || xmin::text, 0))::text FROM pg_catalog.pg_auth_members \
UNION ALL SELECT count(*)::text || ':' || sum(pg_catalog.hashtextextended(oid::text || rolname::text || \
rolinherit::text || rolsuper::text, 0))::text FROM pg_catalog.pg_roles \
) AS parts(s)";
