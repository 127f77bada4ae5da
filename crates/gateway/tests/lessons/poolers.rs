//! A pooler where the server should be: what lends its connections would give one session's settings to another.

use crate::shared::own_house;
use crate::walls::{doctor, refused, says};
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::shop;

#[tokio::test]
async fn a_pooler_that_lends_connections_is_no_target() {
    let mut house = own_house("").await;
    let users = [
        (shop::WRITER, house.shop.writer_password.as_str()),
        (shop::READER, house.shop.reader_password.as_str()),
    ];
    let pooler = PgBouncer::lending(&house.server, &users).await.unwrap();
    let started = house.reach_server_by(pooler.port()).await;
    let said = format!("{:?}", started.expect_err("a gate before a pooler"));
    assert!(said.contains("expected PostgreSQL itself, found a pooler"), "{said}");
    let (code, findings) = doctor(&house).await;
    assert!(code == Some(1) && refused(&findings).contains(&"pooler"), "{findings:?}");
    assert!(says(&findings, "refuse", "pooler", "lends a connection for one transaction"), "{findings:?}");
}
