//! A mask follows the portal that is read, whatever else bears its name or is described before it.

use crate::shared::house;
use crate::shared::raw::extended::{SYNC, bind, cells, describe, execute, parse, query, run};
use crate::shared::raw::{Message, Raw, sqlstate};

const LABELLED: &str = "SELECT email FROM customers WHERE id = 1";

fn assert_nothing_shows(said: &[Message]) {
    assert!(cells(said).iter().all(|cell| !cell.contains("@example")), "{:?}", cells(said));
}

#[tokio::test]
async fn the_name_of_a_portal_that_is_over_reads_no_cursor() {
    let house = house().await;
    let declare = "DECLARE c CURSOR FOR SELECT email, name FROM customers LIMIT 3";
    let read = [parse("x", "SELECT 1 AS a"), describe(b'S', "x"), execute("c", 3), SYNC.to_vec()].concat();
    // Its transaction has ended.
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&parse("s", "SELECT id FROM orders LIMIT 5"), &bind("c", "s"), &SYNC]).await;
    raw.ask(&[&query("COMMIT")]).await;
    raw.ask(&[&query("BEGIN")]).await;
    assert_eq!(sqlstate(&raw.ask(&[&query(declare)]).await), None);
    let said = raw.ask(&[&read]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("34000"), "{said:?}");
    assert_nothing_shows(&said);
    // It was closed and declared anew, within a pipeline and outside.
    for pipelined in [false, true] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query("BEGIN")]).await;
        raw.ask(&[&parse("s", "SELECT id FROM orders LIMIT 5"), &bind("c", "s"), &SYNC]).await;
        let anew = [run("CLOSE c"), run(declare)].concat();
        let said = if pipelined {
            raw.ask(&[&anew, &read]).await
        } else {
            raw.ask(&[&anew, &SYNC]).await;
            raw.ask(&[&read]).await
        };
        assert_eq!(sqlstate(&said).as_deref(), Some("34000"), "{said:?}");
        assert_nothing_shows(&said);
    }
}

#[tokio::test]
async fn a_portal_bound_under_other_settings_is_not_read() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&parse("s", LABELLED), &bind("c", "s"), &SYNC]).await;
    raw.ask(&[&query("SET search_path = features, public")]).await;
    let said = raw.ask(&[&parse("x", "SELECT 1 AS a"), &describe(b'S', "x"), &execute("c", 3), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert_nothing_shows(&said);
}

#[tokio::test]
async fn the_description_of_something_else_lifts_no_mask() {
    let house = house().await;
    let clear = house.truth(LABELLED).await.unwrap();
    assert!(clear.contains('@'));
    let other = [parse("x", "SELECT 'a'"), bind("px", "x")].concat();
    for (what, between) in [
        ("nothing", Vec::new()),
        ("another statement", describe(b'S', "x")),
        ("another portal", describe(b'P', "px")),
        ("its own statement", describe(b'S', "s")),
        ("its own portal", describe(b'P', "c")),
        ("its own and another", [describe(b'P', "c"), describe(b'P', "px")].concat()),
    ] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query("BEGIN")]).await;
        let own = [other.clone(), parse("s", LABELLED), bind("c", "s")].concat();
        let said = raw.ask(&[&own, &between, &execute("c", 0), &SYNC]).await;
        let shown = cells(&said);
        assert_eq!(shown.len(), 1, "{what}: {said:?}");
        assert_ne!(shown, [clear.as_str()], "{what}");
    }
}
