//! COPY as people's programs send it: psql, pg_dump with pg_restore, psycopg.

use crate::shared::{WITHIN, own_house};
use countersign_sim::clients::Driver;
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::running::{Keep, Output, Running};
use countersign_sim::{scratch_pg, shop};
use std::process::Command;

const COLUMNS: &str = "customer_id, score, computed_at";

async fn scores(house: &House, above: u32) -> String {
    house.truth(&format!("SELECT count(*) FROM features.churn WHERE customer_id > {above}")).await.unwrap()
}

#[tokio::test]
async fn psql_copies_a_file_in_and_waits_where_people_decide() {
    let house = own_house("").await;
    let file = house.folder().join("rows.tsv");
    let line = |n: u32| format!("{}\t0.25\t2026-01-01 00:00:00+00\n", 9_400_000 + n);
    std::fs::write(&file, (1..=5_000).map(line).collect::<String>()).unwrap();
    let copy = format!("\\copy features.churn ({COLUMNS}) from '{}'\nSELECT 'on';", file.display());
    let done = house.run(&copy).await.unwrap();
    assert!(done.stdout.contains("COPY 5000") && done.stdout.contains("on"), "{done:?}");
    assert_eq!(scores(&house, 9_400_000).await, "5000");
    // Inline data of a script, into a table of others. As text: from 18 on a server takes the mark of the end that an older
    // psql sends for a row of CSV.
    let script = "COPY products FROM STDIN;\n9401\tpsql-1\ta, b\t5\n9402\tpsql-2\tc\t6\n\\.\nSELECT 'on';";
    let mut psql = house.start(script).unwrap();
    house.approve(&Held::seen_by(&psql).await.unwrap().id).await.unwrap();
    psql.ended(WITHIN).await.unwrap();
    let out = psql.lines(Output::Out).join("\n");
    assert!(out.contains("COPY 2") && out.contains("on"), "{}", psql.said());
    assert_eq!(house.truth("SELECT name FROM products WHERE id = 9401").await.unwrap(), "a, b");
}

fn program(name: &str, house: &House) -> Command {
    let mut command = Command::new(scratch_pg::program(name).unwrap());
    command.env("PGPASSWORD", &house.token).env("PGUSER", AGENT).env("PGDATABASE", shop::DATABASE);
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", house.ports.gate.to_string())
        .env("PGSSLMODE", "disable");
    command
}

async fn dumper_is_older(house: &House) -> bool {
    let said =
        Command::new(scratch_pg::program("pg_dump").unwrap()).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let major =
        |text: &str| text.split('.').next().and_then(|major| major.parse::<u32>().ok()).expect("a version");
    let dumper = said.split_whitespace().nth(2).expect("a version");
    major(dumper) < major(&house.truth("SHOW server_version").await.unwrap())
}

#[tokio::test]
async fn a_dump_of_rows_is_restored_through_the_gate() {
    let house = own_house("").await;
    if dumper_is_older(&house).await {
        println!("pg_dump refuses a server that is newer than itself");
        return;
    }
    let count = "SELECT count(*) FROM features.churn";
    let all = house.truth(count).await.unwrap();
    for format in ["custom", "plain"] {
        let dump = house.folder().join(format);
        let mut command = Command::new(scratch_pg::program("pg_dump").unwrap());
        command.args(["--data-only", "--enable-row-security", "--table=features.churn", "--format", format]);
        command.arg("--file").arg(&dump).arg("--dbname").arg(house.server.superuser_url(shop::DATABASE));
        let dumped = command.output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        house.change("DELETE FROM features.churn").await.unwrap();
        let mut restore = if format == "custom" {
            let mut command = program("pg_restore", &house);
            command.args(["--data-only", "--enable-row-security", "--dbname", shop::DATABASE]).arg(&dump);
            command
        } else {
            let mut command = program("psql", &house);
            command.args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file"]).arg(&dump);
            command
        };
        restore.arg("--no-password");
        let mut running = Running::spawn(restore, Keep::default()).unwrap();
        let ended = running.ended(WITHIN).await.unwrap();
        assert!(ended.success(), "{format}: {}", running.said());
        assert_eq!(house.truth(count).await.unwrap(), all, "{format}");
    }
}

#[tokio::test]
async fn psycopg_copies_rows_in_with_and_without_an_approval() {
    let house = own_house("").await;
    let own = format!("COPY features.churn ({COLUMNS}) FROM STDIN");
    let rows = ["9500001\t0.5\t2026-01-01 00:00:00+00", "9500002\t0.5\t2026-01-01 00:00:00+00"];
    let mut client = house.driver(Driver::Psycopg, &[&["copy", &own], &rows[..]].concat()).unwrap();
    assert!(client.ended(WITHIN).await.unwrap().success(), "{}", client.said());
    assert_eq!(scores(&house, 9_500_000).await, "2");
    let held = ["copy", "COPY products FROM STDIN", "9501\tpsycopg\tp\t7"];
    let mut client = house.driver(Driver::Psycopg, &held).unwrap();
    let id = house.waiting().await.unwrap();
    house.approve(&id).await.unwrap();
    assert!(client.ended(WITHIN).await.unwrap().success(), "{}", client.said());
    assert_eq!(house.truth("SELECT sku FROM products WHERE id = 9501").await.unwrap(), "psycopg");
}
