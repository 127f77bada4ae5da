//! The scratch server, the shop, psql and the drivers, against the real things.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::time::Duration;

use countersign_sim::clients::{DRIVERS, Driver, Whom};
use countersign_sim::pgbench::{Load, QueryMode};
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::psql::Psql;
use countersign_sim::running::{Output, Running};
use countersign_sim::scratch::Folder;
use countersign_sim::scratch_pg::{self, Options, ScratchPg};
use countersign_sim::shop::{self, Shop};
use countersign_sim::tls::Authority;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_shop_opens_with_its_rows_and_roles() {
    let server = ScratchPg::start(Options::default()).await.unwrap();
    let shop = Shop::open(&server).await.unwrap();
    let reader = scratch_pg::connect(&shop.reader_url(&server)).await.unwrap();
    let counts = [("customers", shop::CUSTOMERS), ("orders", shop::ORDERS), ("payments", shop::ORDERS)];
    for (table, expected) in counts.into_iter().chain([("features.churn", shop::CUSTOMERS)]) {
        let row = reader.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), i64::try_from(expected).unwrap(), "{table}");
    }
    assert!(reader.execute("DELETE FROM orders", &[]).await.is_err());
    let writer = scratch_pg::connect(&shop.writer_url(&server)).await.unwrap();
    writer.batch_execute("ALTER TABLE features.churn ADD COLUMN note text").await.unwrap();
    assert_eq!(writer.execute("DELETE FROM support_tickets WHERE id <= 10", &[]).await.unwrap(), 10);
    assert!(writer.batch_execute("ALTER TABLE customers ADD COLUMN note text").await.is_err());
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing_behind() {
    let server = ScratchPg::start(Options::default()).await.unwrap();
    let (folder, url) = (server.socket_folder().to_path_buf(), server.superuser_url("postgres"));
    assert!(scratch_pg::connect(&url).await.is_ok());
    drop(server);
    assert!(!folder.exists());
    assert!(scratch_pg::connect(&url).await.is_err());
}

#[tokio::test]
async fn the_log_shows_what_reached_the_server_and_nothing_else() {
    let server = ScratchPg::start(Options { log_statements: true, ..Options::default() }).await.unwrap();
    let client = server.superuser("postgres").await.unwrap();
    client.batch_execute("SELECT 'this one came'").await.unwrap();
    let log = server.log_until_now().await.unwrap().join("\n");
    assert!(log.contains("this one came"));
    assert!(!log.contains("this one never did"));
}

#[tokio::test]
async fn psql_runs_scripts_and_can_be_waited_on() {
    let server = ScratchPg::start(Options::default()).await.unwrap();
    let psql = Psql::new(&format!("postgresql://postgres@127.0.0.1:{}/postgres", server.port()), {
        server.superuser_password()
    })
    .unwrap();
    let done = psql.clone().option("-At").run("SELECT 1 + 1;\nSELECT nonsense;\n").await.unwrap();
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "2\n"));
    assert!(done.stderr.contains("\"nonsense\" does not exist"), "{}", done.stderr);
    let failed = psql.clone().option("--set=ON_ERROR_STOP=1").run("SELECT nonsense;").await.unwrap();
    assert_eq!(failed.code, Some(3));

    let blocker = server.superuser("postgres").await.unwrap();
    blocker.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let script =
        "DO $$ BEGIN RAISE NOTICE 'held: see here'; END $$;\nSELECT pg_advisory_lock(7);\n\\echo through\n";
    let mut waiting = psql.start_script(script).unwrap();
    waiting.line(Output::Err, SOON, |line| line.contains("held: see here")).await.unwrap();
    assert!(waiting.is_alive() && waiting.lines(Output::Out).iter().all(|line| line != "through"));
    blocker.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    waiting.line(Output::Out, SOON, |line| line == "through").await.unwrap();
    assert!(waiting.ended(SOON).await.unwrap().success());
}

#[tokio::test]
async fn every_driver_reads_writes_and_shows_notices_over_verified_tls() {
    let authority = Authority::new("the shop's authority").unwrap();
    let tls = Some(authority.issue(&["localhost", "127.0.0.1"]).unwrap());
    let server = ScratchPg::start(Options { tls, ..Options::default() }).await.unwrap();
    let shop = Shop::open(&server).await.unwrap();
    let folder = Folder::new("ca").unwrap();
    let root = folder.path().join("root.crt");
    std::fs::write(&root, authority.certificate_pem()).unwrap();
    let whom = Whom {
        port: server.port(),
        user: shop::WRITER.to_owned(),
        password: shop.writer_password.clone(),
        database: shop::DATABASE.to_owned(),
        root_certificate: Some(root),
    };
    for (at, driver) in (1..).zip(DRIVERS) {
        check_driver(driver, &whom, at).await;
    }
}

#[tokio::test]
async fn pgbench_measures_the_server_and_pgbouncer_before_it() {
    let server = ScratchPg::start(Options::default()).await.unwrap();
    let shop = Shop::open(&server).await.unwrap();
    let bouncer = PgBouncer::start(&server, shop::READER, &shop.reader_password).await.unwrap();
    let folder = Folder::new("bench").unwrap();
    let script = folder.path().join("read.sql");
    std::fs::write(&script, "\\set id random(1, 10000)\nSELECT name FROM customers WHERE id = :id;\n")
        .unwrap();
    for (port, mode) in [(server.port(), QueryMode::Simple), (bouncer.port(), QueryMode::Prepared)] {
        let load = Load { script: &script, mode, clients: 2, seconds: 1, tls: false };
        let url = format!("postgresql://{}@127.0.0.1:{port}/{}", shop::READER, shop::DATABASE);
        let speed = load.run(&url, &shop.reader_password).await.unwrap();
        assert!(speed.per_second > 10.0 && speed.milliseconds > 0.0, "{speed:?}");
        assert!(load.run(&url, "wrong").await.is_err());
    }
}

async fn check_driver(driver: Driver, whom: &Whom, at: u32) {
    let read = "SELECT id, name FROM customers WHERE id = ? AND country <> ?";
    let told = lines(driver.start(whom, &["read", read, "7", "XX"]).unwrap()).await;
    assert!(told.contains(r#""columns":["id","name"]"#) && told.contains(r#""7""#), "{driver:?}: {told}");

    let delete = format!("DELETE FROM support_tickets WHERE id = {at}");
    let told = lines(driver.start(whom, &["tx", &delete, "SELECT nonsense"]).unwrap()).await;
    assert!(
        told.contains(r#""code":"42703""#) && told.contains(r#""did":"rolled back""#),
        "{driver:?}: {told}"
    );
    let count = format!("SELECT count(*) FROM support_tickets WHERE id = {at}");
    let told = lines(driver.start(whom, &["tx", &count, &delete]).unwrap()).await;
    assert!(
        told.contains(r#""rows":[["1"]]"#) && told.contains(r#""did":"committed""#),
        "{driver:?}: {told}"
    );
    let told = lines(driver.start(whom, &["read", &count]).unwrap()).await;
    assert!(told.contains(r#""rows":[["0"]]"#), "{driver:?}: {told}");

    let notice = "DO $$ BEGIN RAISE NOTICE 'held'; END $$";
    let told = lines(driver.start(whom, &["notices", notice]).unwrap()).await;
    assert!(told.contains(r#""notice":"held""#), "{driver:?}: {told}");
}

async fn lines(mut client: Running) -> String {
    client.ended(SOON).await.unwrap();
    client.said().replace(": ", ":").replace(", ", ",")
}
