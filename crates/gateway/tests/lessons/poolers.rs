//! A pooler where the server should be: what lends its connections would give one session's settings to another.

use crate::shared::own_house;
use crate::walls::{doctor, refused, says};
use countersign_sim::house::House;
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::shop;

async fn pooler(house: &House, mode: &str) -> PgBouncer {
    let users = [
        (shop::WRITER, house.shop.writer_password.as_str()),
        (shop::READER, house.shop.reader_password.as_str()),
    ];
    PgBouncer::pooling(&house.server, &users, mode).await.unwrap()
}

#[tokio::test]
async fn a_pooler_that_lends_connections_is_no_target() {
    let mut house = own_house("").await;
    let pooler = pooler(&house, "transaction").await;
    let started = house.reach_server_by(pooler.port()).await;
    let said = format!("{:?}", started.expect_err("a gate before a pooler"));
    assert!(said.contains("expected PostgreSQL itself, found a pooler"), "{said}");
    let (code, findings) = doctor(&house).await;
    assert!(code == Some(1) && refused(&findings).contains(&"pooler"), "{findings:?}");
    assert!(says(&findings, "refuse", "pooler", "lends a connection for one transaction"), "{findings:?}");
}

#[tokio::test]
async fn a_pooler_that_keeps_a_connection_for_each_session_is_warned_of() {
    let mut house = own_house("").await;
    let pooler = pooler(&house, "session").await;
    house.reach_server_by(pooler.port()).await.unwrap();
    let said = house.run("SELECT count(*) FROM products").await.unwrap().success().unwrap();
    assert!(said.stdout.contains("(1 row)"), "{said:?}");
    let (_, findings) = doctor(&house).await;
    assert!(says(&findings, "warn", "pooler", "speaks for it"), "{findings:?}");
}
