//! Promises 3 and 4: what is approved is what runs, once; what is seen is what is signed.

use crate::shared::{WITHIN, ended, house, shown};
use countersign_sim::house::Held;
use countersign_sim::running::Output;

#[tokio::test]
async fn promise_3_what_changed_after_the_approval_is_held_again() {
    let house = house().await;
    house
        .change(
            "CREATE TABLE p3 (id int); INSERT INTO p3 VALUES (1), (2); GRANT SELECT, DELETE ON p3 TO shop_rw",
        )
        .await
        .unwrap();
    let changes = [
        ("its table is altered", "ALTER TABLE p3 ADD COLUMN more text"),
        (
            "its name leads elsewhere",
            "CREATE TABLE features.p3 (id int); GRANT ALL ON features.p3 TO shop_rw",
        ),
    ];
    for (what, change) in changes {
        let psql = house.start("SET search_path = features, public;\nDELETE FROM p3 WHERE id = 1;").unwrap();
        let first = Held::seen_by(&psql).await.unwrap();
        house.change(change).await.unwrap();
        house.approve(&first.id).await.unwrap();
        let again = |line: &str| Held::parse(line).is_some_and(|held| held.id != first.id);
        let line = psql.line(Output::Err, WITHIN, again).await.unwrap();
        let second = Held::parse(&line).unwrap();
        assert!(psql.said().contains("held again"), "{what}: {}", psql.said());
        assert!(shown(&house, &first.id).await.contains("superseded"), "{what}");
        assert_eq!(house.truth("SELECT count(*) FROM public.p3").await.unwrap(), "2", "{what}: nothing ran");
        house.deny(&second.id, "not any more").await.unwrap();
        assert!(ended(psql).await.1.contains("not any more"), "{what}");
    }
}

#[tokio::test]
async fn promise_3_an_approval_is_for_one_run() {
    let house = house().await;
    let sql = "UPDATE support_tickets SET subject = 'p3' WHERE id = 1004";
    let first = house.start(sql).unwrap();
    let held = Held::seen_by(&first).await.unwrap();
    house.approve(&held.id).await.unwrap();
    assert!(ended(first).await.0.contains("UPDATE 1"));
    let second = house.start(sql).unwrap();
    let again = Held::seen_by(&second).await.unwrap();
    assert_ne!(again.id, held.id);
    assert!(house.approve(&held.id).await.is_err(), "what has run is not approved a second time");
    house.deny(&again.id, "once").await.unwrap();
    assert!(ended(second).await.1.contains("once"));
}

#[tokio::test]
async fn promise_4_the_terminal_shows_tricks_and_obeys_none() {
    let house = house().await;
    let sql = "DELETE FROM support_tickets WHERE subject = '\u{202e}\u{200b}\u{1b}[2J' AND id = 1005";
    let psql = house.start(sql).unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    let card = shown(&house, &held.id).await;
    for (trick, name) in [('\u{202e}', "U+202E"), ('\u{200b}', "U+200B"), ('\u{1b}', "U+001B")] {
        assert!(!card.contains(trick) && card.contains(name), "{name}: {card}");
    }
    house.deny(&held.id, "a trick").await.unwrap();
    assert!(ended(psql).await.1.contains("a trick"));
}
