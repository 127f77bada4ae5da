//! COPY FROM STDIN that needs approval: its data waits with it, is signed by its digest, and is what runs.

use crate::copies::{begun, data, done};
use crate::shared::raw::extended::{SYNC, bind, cells, describe, execute, parse, query, tags};
use crate::shared::raw::{Message, Raw, message, sqlstate, text};
use crate::shared::{house, own_house, shown};
use countersign_sim::house::{Held, House};
use std::process::Command;

const COPY: &str = "COPY products FROM STDIN";
/// A word that stands in data and nowhere else.
const WORD: &str = "walnut-desk-4711";

/// A line of a product.
fn product(id: u32) -> String {
    format!("{id}\tsku-{id}\t{WORD}\t100\n")
}

async fn products(house: &House, id: u32) -> String {
    house.truth(&format!("SELECT count(*) FROM products WHERE id = {id}")).await.unwrap()
}

/// A COPY whose data is sent; it waits for people.
async fn copied(raw: &mut Raw, rows: &str) -> Held {
    let said = begun(raw, COPY).await;
    assert_eq!(said.body, [0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0], "what the server would say");
    raw.send(&[data(rows), done()].concat()).await;
    raw.held().await
}

fn copied_rows(said: &[Message]) -> &[u8] {
    &said.iter().find(|message| message.tag == b'C').expect("a tag").body
}

/// Nothing of the data is in the store, in the operator's log or in what was said.
fn assert_nowhere(house: &House, said: &str) {
    assert!(!said.contains(WORD), "{said}");
    let files = [house.folder().join("data"), house.folder().join("serve.log")];
    let found = Command::new("grep").args(["-rlF", WORD]).args(files).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[tokio::test]
async fn data_that_people_approved_is_written_and_shown_to_nobody() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let rows = format!("{}{}", product(8_001), product(8_002));
    let held = copied(&mut raw, &rows).await;
    assert_eq!(products(&house, 8_001).await, "0", "nothing is written before");
    let card = shown(&house, &held.id).await;
    assert!(card.contains(&format!("STDIN = 2 lines, {} bytes, sha256 ", rows.len())), "{card}");
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!((tags(&said).as_str(), copied_rows(&said)), ("CZ", &b"COPY 2\0"[..]), "{said:?}");
    assert_eq!((products(&house, 8_001).await, products(&house, 8_002).await), ("1".into(), "1".into()));
    house.shown_as(&held.id, "committed").await.unwrap();
    assert_nowhere(&house, &shown(&house, &held.id).await);
    // A no is an ordinary error, and the data is gone.
    let held = copied(&mut raw, &product(8_003)).await;
    house.deny(&held.id, "not these").await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42501"));
    assert_eq!(products(&house, 8_003).await, "0");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    // So is what the server says of it, as of any other.
    let held = copied(&mut raw, &format!("{}no number\n", product(8_004))).await;
    house.approve(&held.id).await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("22P02"));
    house.shown_as(&held.id, "rolled back").await.unwrap();
    assert_eq!(products(&house, 8_004).await, "0");
}

#[tokio::test]
async fn a_copy_of_a_pipeline_waits_with_its_data_and_its_last_sync_is_answered() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let first =
        [parse("s", COPY), bind("", "s"), describe(b'S', "s"), describe(b'P', ""), execute("", 0)].concat();
    for (id, yes) in [(8_101, true), (8_102, false)] {
        raw.send(&[&first[..], &SYNC].concat()).await;
        assert_eq!(tags(&raw.until(b'G').await), "12tnnG");
        raw.send(&[data(&product(id)), SYNC.to_vec(), done(), SYNC.to_vec()].concat()).await;
        let held = raw.held().await;
        if yes {
            house.approve(&held.id).await.unwrap();
        } else {
            house.deny(&held.id, "not this").await.unwrap();
        }
        let said = raw.until(b'Z').await;
        assert_eq!(tags(&said), if yes { "CZ" } else { "EZ" }, "{said:?}");
        assert_eq!(products(&house, id).await, if yes { "1" } else { "0" });
        raw.ask(&[&crate::shared::raw::extended::close(b'S', "s"), &SYNC]).await;
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"], "in step");
    }
}

#[tokio::test]
async fn a_copy_in_a_transaction_that_has_only_read_is_a_part_of_it() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("SELECT 1")]).await;
    let held = copied(&mut raw, &product(8_201)).await;
    house.approve(&held.id).await.unwrap();
    assert_eq!(raw.until(b'Z').await.last().unwrap().body, b"T");
    assert_eq!(products(&house, 8_201).await, "0", "not before COMMIT");
    // Where something was done already, the client is told before it sends anything.
    let said = raw.ask(&[&query(COPY)]).await;
    assert_eq!((sqlstate(&said).as_deref(), tags(&said).as_str()), (Some("42501"), "EZ"));
    raw.ask(&[&query("ROLLBACK")]).await;
    house.shown_as(&held.id, "rolled back").await.unwrap();
    assert_eq!(products(&house, 8_201).await, "0");
}

#[tokio::test]
async fn the_server_s_own_form_is_counted_by_rows_and_what_is_not_it_asks_nobody() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let sql = "COPY products (id, sku, name, price_cents) FROM STDIN (FORMAT 'binary')";
    let head = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
    let (id, word) = ([&[0, 0, 0, 8][..], &8_301i64.to_be_bytes()].concat(), [0, 0, 0, 2, b'o', b'k']);
    let tuple = [&[0, 4][..], &id, &word, &word, &[0, 0, 0, 8], &1i64.to_be_bytes()].concat();
    let said = begun(&mut raw, sql).await;
    assert_eq!(said.body[..5], [1, 0, 4, 0, 1]);
    raw.send(&[message(b'd', &[&head[..], &tuple, &[0xff; 2]].concat()), done()].concat()).await;
    let held = raw.held().await;
    assert!(shown(&house, &held.id).await.contains("STDIN = 1 rows"), "{}", shown(&house, &held.id).await);
    house.approve(&held.id).await.unwrap();
    assert_eq!(copied_rows(&raw.until(b'Z').await), b"COPY 1\0");
    assert_eq!(house.truth("SELECT name FROM products WHERE id = 8301").await.unwrap(), "ok");
    begun(&mut raw, sql).await;
    let said = raw.ask(&[&data("text"), &done()]).await;
    assert_eq!(tags(&said), "EZ", "{said:?}");
}

#[tokio::test]
async fn whoever_gives_up_a_copy_asks_nobody() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    begun(&mut raw, COPY).await;
    let said = raw.ask(&[&data(&product(8_401)), &message(b'f', &text("not now"))]).await;
    assert_eq!(tags(&said), "EZ");
    let error = said.iter().find(|message| message.tag == b'E').unwrap();
    assert_eq!(error.field(b'M').as_deref(), Some("COPY from stdin failed: not now"));
    // While it waits, a cancel withdraws it.
    let held = copied(&mut raw, &product(8_402)).await;
    raw.cancel(&house).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("57014"));
    house.shown_as(&held.id, "withdrawn").await.unwrap();
    // Beside other statements nobody could say which of them people sign.
    let said = raw.ask(&[&query(&format!("SELECT 1; {COPY}"))]).await;
    assert_eq!((sqlstate(&said).as_deref(), tags(&said).as_str()), (Some("0A000"), "EZ"), "{said:?}");
}

#[tokio::test]
async fn more_data_than_may_wait_is_read_to_its_end_and_refused_in_words() {
    let limits = "\n[limits]\ncopy_in_bytes_max = 1000\ncopies_in_bytes_max = 1500\n";
    let house = own_house(limits).await;
    let mut raw = Raw::login(&house).await;
    let long = product(8_501).repeat(1_000);
    for extended in [false, true] {
        let first = [parse("", COPY), bind("", ""), execute("", 0), SYNC.to_vec()].concat();
        raw.send(&if extended { first } else { query(COPY) }).await;
        raw.until(b'G').await;
        let last: &[u8] = if extended { &SYNC } else { b"" };
        let said = raw.ask(&[&data(&long), &data(&long), &done(), last]).await;
        let error = said.iter().find(|message| message.tag == b'E').expect("an error");
        assert!(error.field(b'D').unwrap().contains("copy_in_bytes_max"), "{error:?}");
        assert_eq!((tags(&said).as_str(), error.field(b'C').unwrap().as_str()), ("EZ", "42501"));
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    }
    // What waits for another counts too, until it is over.
    let mut other = Raw::login(&house).await;
    let most = product(8_502).repeat(900 / product(8_502).len());
    let held = copied(&mut other, &most).await;
    begun(&mut raw, COPY).await;
    let said = raw.ask(&[&data(&most), &done()]).await;
    let error = said.iter().find(|message| message.tag == b'E').expect("an error");
    assert!(error.field(b'D').unwrap().contains("copies_in_bytes_max"), "{error:?}");
    house.deny(&held.id, "over").await.unwrap();
    other.until(b'Z').await;
    let held = copied(&mut raw, &product(8_503)).await;
    house.approve(&held.id).await.unwrap();
    assert_eq!(tags(&raw.until(b'Z').await), "CZ");
}

#[tokio::test]
async fn the_same_data_finds_its_approval_again_and_other_data_is_another_request() {
    let mut house = own_house("").await;
    let mut first = Raw::login(&house).await;
    let held = copied(&mut first, &product(8_601)).await;
    // The gate stops, the request is parked, a person approves it.
    house.stop().await.unwrap();
    house.serve().await.unwrap();
    house.approve(&held.id).await.unwrap();
    let mut other = Raw::login(&house).await;
    let again = copied(&mut other, &product(8_602)).await;
    assert_ne!(again.id, held.id, "other data");
    house.deny(&again.id, "not that").await.unwrap();
    other.until(b'Z').await;
    let mut same = Raw::login(&house).await;
    begun(&mut same, COPY).await;
    // However it is cut.
    let row = product(8_601);
    let (first, second) = row.split_at(9);
    let said = same.ask(&[&data(first), &data(second), &done()]).await;
    assert_eq!(tags(&said), "CZ", "{said:?}");
    assert_eq!((products(&house, 8_601).await, products(&house, 8_602).await), ("1".into(), "0".into()));
    house.shown_as(&held.id, "committed").await.unwrap();
}

#[tokio::test]
async fn what_the_server_does_not_expect_any_more_is_never_sent_to_it() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    let held = copied(&mut raw, &product(8_701)).await;
    house.change("ALTER TABLE products ADD COLUMN weight int").await.unwrap();
    house.approve(&held.id).await.unwrap();
    // Held again, since the table is another; whoever approves that too finds that the data does not fit.
    let again = raw.held().await;
    assert_ne!(again.id, held.id);
    house.approve(&again.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(sqlstate(&said).as_deref(), Some("57014"), "{said:?}");
    house.shown_as(&again.id, "rolled back").await.unwrap();
    assert_eq!(products(&house, 8_701).await, "0");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
}

#[tokio::test]
async fn a_copy_that_the_server_refuses_before_it_reads_leaves_everybody_in_step() {
    let house = own_house("").await;
    let freeze = "COPY products FROM STDIN (FREEZE)";
    for (id, within) in [(8_901, false), (8_902, true)] {
        let mut raw = Raw::login(&house).await;
        if within {
            raw.ask(&[&query("BEGIN")]).await;
        }
        raw.send(&[parse("", freeze), bind("", ""), execute("", 0), SYNC.to_vec()].concat()).await;
        raw.until(b'G').await;
        // All that follows is there before the answer is.
        let ahead = [query("ROLLBACK"), query("SELECT 7"), query("SELECT 8")].concat();
        raw.send(&[&data(&product(id))[..], &done(), &SYNC, &ahead].concat()).await;
        let held = raw.held().await;
        house.approve(&held.id).await.unwrap();
        let said = raw.until(b'Z').await;
        assert_eq!((sqlstate(&said).as_deref(), tags(&said).as_str()), (Some("55000"), "EZ"), "{said:?}");
        assert_eq!(said.last().unwrap().body, if within { b"E" } else { b"I" });
        assert_eq!(raw.until(b'Z').await.last().unwrap().body, b"I");
        assert_eq!(cells(&raw.until(b'Z').await), ["7"]);
        assert_eq!(cells(&raw.until(b'Z').await), ["8"]);
        house.shown_as(&held.id, "rolled back").await.unwrap();
        assert_eq!(products(&house, id).await, "0");
    }
}
