//! Two walls: the roles that setup makes, what the doctor says of them, and that PostgreSQL itself refuses where the gate
//! would be wrong.

use countersign_sim::house::House;
use countersign_sim::process::Finished;
use countersign_sim::scratch;
use serde_json::Value;

/// The line of the house's configuration that gives its agent one role for everything.
const ONE_ROLE: &str = r#"{ role = "shop_rw", password = { file = "secrets/shop_rw" } }"#;
/// Three instead.
pub const THREE_ROLES: &str = r#"{ role = "shop auto", password = { file = "secrets/auto" }, masked = "shop\"masked", granted = { role = "shop_granted", password = { file = "secrets/granted" } } }"#;

/// What the doctor says: its exit code, and each finding as grade, check and words.
async fn doctor(house: &House) -> (Option<i32>, Vec<(String, String, String)>) {
    let said = house.countersign.run(&["doctor", "shop", "--json"]).await.unwrap();
    let report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let findings = report["examined"][0]["findings"].as_array().unwrap().iter();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = findings.map(|f| (word(f, "grade"), word(f, "check"), word(f, "found")));
    (said.code, findings.collect())
}

fn refused(findings: &[(String, String, String)]) -> Vec<&str> {
    findings.iter().filter(|(grade, ..)| grade == "refuse").map(|(_, check, _)| check.as_str()).collect()
}

/// Whether there is a finding of this grade, check and word.
fn says(findings: &[(String, String, String)], grade: &str, check: &str, word: &str) -> bool {
    findings.iter().any(|(g, c, found)| g == grade && c == check && found.contains(word))
}

/// Runs setup over a connection of the server's administrator.
pub async fn set_up(house: &House, arguments: &[&str]) -> Finished {
    let file = house.folder().join("secrets/admin");
    scratch::write_private(&file, house.server.superuser_password()).unwrap();
    let all = [
        "setup",
        "postgres",
        "shop",
        "--apply",
        "--admin",
        "postgres",
        "--admin-password-file",
        "secrets/admin",
    ];
    let all: Vec<&str> = all.iter().chain(arguments).copied().collect();
    house.countersign.run(&all).await.unwrap()
}

/// Writes three roles into the configuration of a house whose gate does not run.
pub fn configure_three(house: &House) {
    let config = house.folder().join("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(ONE_ROLE), "{text}");
    let text = text.replacen(ONE_ROLE, THREE_ROLES, 1);
    std::fs::write(&config, text).unwrap();
    for name in ["auto", "granted"] {
        let password = scratch::random_word(16).unwrap();
        scratch::write_private(&house.folder().join("secrets").join(name), &password).unwrap();
    }
}

#[tokio::test]
async fn the_doctor_refuses_what_defeats_a_wall_and_warns_of_what_weakens_one() {
    let house = House::open().await.unwrap();
    let (code, found) = doctor(&house).await;
    assert_eq!((code, refused(&found)), (Some(0), Vec::new()), "{found:?}");
    assert!(says(&found, "warn", "one wall", "customers.email"), "{found:?}");
    assert!(says(&found, "warn", "connections", "200"), "{found:?}");
    assert!(says(&found, "warn", "labelled columns", "reporting_ro"), "{found:?}");
    assert!(says(&found, "warn", "pg_hba", "may not be read"), "{found:?}");
    for (bad, good, check, word) in [
        ("ALTER ROLE shop_rw SUPERUSER", "ALTER ROLE shop_rw NOSUPERUSER", "attributes", "SUPERUSER"),
        ("ALTER ROLE shop_rw BYPASSRLS", "ALTER ROLE shop_rw NOBYPASSRLS", "attributes", "BYPASSRLS"),
        ("ALTER ROLE shop_rw CREATEROLE", "ALTER ROLE shop_rw NOCREATEROLE", "attributes", "CREATEROLE"),
        ("ALTER ROLE shop_rw REPLICATION", "ALTER ROLE shop_rw NOREPLICATION", "attributes", "REPLICATION"),
        (
            "GRANT pg_read_server_files TO shop_rw",
            "REVOKE pg_read_server_files FROM shop_rw",
            "membership",
            "pg_read_server_files",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO shop_rw",
            "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM shop_rw",
            "server files",
            "pg_read_file",
        ),
        (
            "ALTER ROLE shop_rw SET standard_conforming_strings = off",
            "ALTER ROLE shop_rw RESET ALL",
            "login",
            "standard_conforming_strings",
        ),
        (
            "GRANT SELECT (email) ON customers TO PUBLIC",
            "REVOKE SELECT (email) ON customers FROM PUBLIC",
            "direct path",
            "customers.email",
        ),
        ("ALTER ROLE shop_rw NOLOGIN", "ALTER ROLE shop_rw LOGIN", "login", "shop_rw"),
    ] {
        house.change(bad).await.unwrap();
        let (code, found) = doctor(&house).await;
        assert!(code == Some(1) && says(&found, "refuse", check, word), "{bad}: {found:?}");
        assert_eq!(refused(&found), [check], "{bad}: {found:?}");
        house.change(good).await.unwrap();
    }
    house.change("CREATE ROLE spy LOGIN; GRANT SELECT ON payments TO spy; GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO reporting_ro; GRANT SELECT ON pg_hba_file_rules TO reporting_ro").await.unwrap();
    let (code, found) = doctor(&house).await;
    assert_eq!(code, Some(0), "{found:?}");
    assert!(says(&found, "warn", "direct path", "`spy`"), "{found:?}");
    assert!(!says(&found, "warn", "pg_hba", "may not be read"), "{found:?}");
    let plainly = house.countersign.run(&["doctor"]).await.unwrap();
    assert!(plainly.stdout.contains("0 refused") && plainly.stdout.contains("->"), "{plainly:?}");
}

/// Things with odd names, partitions, views and sequences.
const ODD: &str = r#"
CREATE SCHEMA "Odd ""schema""; DROP TABLE customers; --";
CREATE TABLE "Odd ""schema""; DROP TABLE customers; --"."a
b" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "e'mail""x" text, plain text);
CREATE TABLE events (id bigint, at date NOT NULL, mail text) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE features.counted (id bigserial PRIMARY KEY, note text);
CREATE VIEW mails AS SELECT email FROM customers;
CREATE VIEW cheap AS SELECT id FROM products WHERE price_cents < 1000;
CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT email FROM customers LIMIT 1';
GRANT SELECT ON customers, mails TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
"#;

/// A house with three roles, made by setup over odd tables of which some columns are labelled. Its gate runs.
pub async fn house_with_walls() -> House {
    let mut house = House::open().await.unwrap();
    house.stop().await.unwrap();
    house.change(ODD).await.unwrap();
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    let file = house.folder().join("catalogue/shop.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut own = false;
    for line in &mut lines {
        let odd = line.contains("e'mail") || line.contains("name = \"mail\"");
        if odd {
            *line = line.replace("labels = []", "labels = [\"pii.email\"]");
        }
        own |= line == "name = \"counted\"";
        if own && line == "own = []" {
            *line = "own = [\"etl-agent\"]".to_owned();
            own = false;
        }
    }
    let text = lines.join("\n") + "\n";
    assert!(text.matches("labels = [\"pii.email\"]").count() >= 4, "{text}");
    std::fs::write(&file, text).unwrap();
    configure_three(&house);
    set_up(&house, &[]).await.success().unwrap();
    house.serve().await.unwrap();
    house
}

#[tokio::test]
async fn setup_makes_three_roles_that_the_doctor_finds_nothing_against() {
    let house = house_with_walls().await;
    let (code, found) = doctor(&house).await;
    assert_eq!((code, refused(&found)), (Some(0), Vec::new()), "{found:?}");
    for role in ["shop auto", "masked", "shop_granted"] {
        let weak = found.iter().filter(|(grade, check, found)| {
            grade == "warn" && found.contains(role) && check != "security definer"
        });
        assert_eq!(weak.collect::<Vec<_>>(), Vec::<&(String, String, String)>::new());
    }
    assert!(says(&found, "warn", "security definer", "peek"), "{found:?}");
    assert!(says(&found, "fine", "role", "shop_granted"), "{found:?}");
    // The rights themselves, as the server says.
    let may = async |role: &str, what: &str| {
        house.truth(&format!("SELECT {}", what.replace("ROLE", &format!("'{role}'")))).await.unwrap() == "t"
    };
    let auto = "shop auto";
    for (what, expected) in [
        ("has_column_privilege(ROLE, 'customers', 'email', 'SELECT')", false),
        ("has_column_privilege(ROLE, 'customers', 'country', 'SELECT')", true),
        ("has_table_privilege(ROLE, 'customers', 'INSERT, UPDATE, DELETE, TRUNCATE')", false),
        ("has_column_privilege(ROLE, 'events_1', 'mail', 'SELECT')", false),
        ("has_column_privilege(ROLE, 'events', 'id', 'SELECT')", true),
        ("has_table_privilege(ROLE, 'mails', 'SELECT')", false),
        ("has_table_privilege(ROLE, 'cheap', 'SELECT')", true),
        ("has_table_privilege(ROLE, 'features.counted', 'INSERT')", true),
        ("has_sequence_privilege(ROLE, 'features.counted_id_seq', 'USAGE')", true),
        ("has_table_privilege(ROLE, 'orders', 'UPDATE')", false),
        ("has_schema_privilege(ROLE, 'public', 'CREATE')", false),
        ("has_schema_privilege(ROLE, 'Odd \"schema\"; DROP TABLE customers; --', 'USAGE')", true),
        ("pg_has_role(ROLE, 'shop\"masked', 'MEMBER')", true),
        ("pg_has_role(ROLE, 'shop\"masked', 'USAGE')", false),
    ] {
        assert_eq!(may(auto, what).await, expected, "{what}");
    }
    assert!(may("shop\"masked", "has_column_privilege(ROLE, 'customers', 'email', 'SELECT')").await);
    assert!(!may("shop\"masked", "has_table_privilege(ROLE, 'features.counted', 'INSERT')").await);
    assert!(may("shop_granted", "has_table_privilege(ROLE, 'customers', 'DELETE')").await);
    // Again changes nothing; printed, it is the same text each time and holds no password.
    set_up(&house, &[]).await.success().unwrap();
    assert_eq!(doctor(&house).await.1, found);
    let print = ["setup", "postgres", "shop"];
    let (once, twice) = (house.command(&print).await.unwrap(), house.command(&print).await.unwrap());
    assert_eq!(once, twice);
    assert!(once.contains("BEGIN;") && !once.contains("SCRAM-SHA-256"), "{once}");
    // A table that is made later is nobody's, until it is accepted and setup runs again.
    house.change("CREATE TABLE later (id bigint)").await.unwrap();
    assert!(!may(auto, "has_table_privilege(ROLE, 'later', 'SELECT')").await);
    let before = house.truth("SELECT string_agg(relacl::text, '' ORDER BY oid) FROM pg_class").await.unwrap();
    let failed = house.countersign.run(&[
        "setup",
        "postgres",
        "shop",
        "--apply",
        "--admin",
        "shop_rw",
        "--admin-password-file",
        "secrets/shop_rw",
    ]);
    assert_eq!(failed.await.unwrap().code, Some(1), "who may not grant changes nothing");
    let after = house.truth("SELECT string_agg(relacl::text, '' ORDER BY oid) FROM pg_class").await.unwrap();
    assert_eq!(before, after);
}
