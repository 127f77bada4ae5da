//! A mask that is written where a value was would destroy it: known again, and refused in words before anybody is asked.

use super::methods::relabel;
use crate::copies::{begun, done};
use crate::shared::raw::extended::{SYNC, bind, bind_with, cells, execute, parse, query};
use crate::shared::raw::{Message, Raw, message, sqlstate};
use crate::shared::{own_house, reached};
use countersign_sim::house::House;

async fn cell(gate: &mut Raw, sql: &str) -> String {
    let said = gate.ask(&[&query(sql)]).await;
    cells(&said).first().unwrap_or_else(|| panic!("{said:?}")).clone()
}

async fn house_with_a_fixed_mask() -> House {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    house.change("CREATE TABLE notes (id int PRIMARY KEY, body text, uid uuid)").await.unwrap();
    house.change("INSERT INTO notes VALUES (1, 'secret', gen_random_uuid())").await.unwrap();
    house.change("GRANT ALL ON notes TO shop_rw").await.unwrap();
    let labels = [("notes".to_owned(), "m.note".to_owned())];
    relabel(&house, &labels, "\"m.note\" = \"fixed\"\n").await;
    house.serve().await.unwrap();
    house
}

fn assert_refused(said: &[Message], what: &str) {
    let error = said.iter().find(|message| message.tag == b'E').unwrap_or_else(|| panic!("{what}: {said:?}"));
    assert_eq!(error.field(b'C').as_deref(), Some("0A000"), "{what}: {error:?}");
    assert!(error.field(b'M').unwrap().contains("a masked value"), "{what}: {error:?}");
    assert!(error.field(b'D').unwrap().contains("Nothing was executed"), "{what}: {error:?}");
    assert!(error.field(b'H').unwrap().contains("countersign.reveal"), "{what}: {error:?}");
}

#[tokio::test]
async fn a_mask_is_not_written_where_a_value_was() {
    let house = house_with_a_fixed_mask().await;
    let mut gate = Raw::login(&house).await;
    let token = cell(&mut gate, "SELECT name FROM customers WHERE id = 3").await;
    let part = cell(&mut gate, "SELECT email FROM customers WHERE id = 3").await;
    let tail = cell(&mut gate, "SELECT iban FROM payments WHERE id = 3").await;
    let fixed = cell(&mut gate, "SELECT body FROM notes WHERE id = 1").await;
    assert!(token.starts_with("tok_pii_name_") && part.contains("***@") && tail.starts_with("****"));
    assert_eq!(fixed, "[masked]");
    for sql in [
        format!("UPDATE customers SET name = '{token}' WHERE id = 3"),
        format!("UPDATE customers SET name = $$dear {token}!$$ WHERE id = 3"),
        format!("UPDATE customers SET name = E'{token}' WHERE id = 3"),
        format!("UPDATE customers SET phone = '1', email = '{part}' WHERE id = 3"),
        format!("UPDATE payments SET iban = '{tail}' WHERE id = 3"),
        format!("UPDATE notes SET body = '{fixed}' WHERE id = 1"),
        format!("INSERT INTO notes (id, body) VALUES (7, 'x'), (8, '{fixed}')"),
        format!("INSERT INTO customers VALUES (-1, 'x', '{part}', '1', '1', 'DE', now(), true)"),
        format!(
            "MERGE INTO notes USING (VALUES (1)) v (id) ON notes.id = v.id WHEN MATCHED THEN UPDATE SET body = '{token}'"
        ),
    ] {
        assert_refused(&gate.ask(&[&query(&sql)]).await, &sql);
    }
    let update = parse("", "UPDATE customers SET name = $1 WHERE id = 3");
    for value in [token.as_bytes(), b"[masked]", b"****"] {
        let said = gate.ask(&[&update, &bind_with("", "", value), &execute("", 0), &SYNC]).await;
        assert_refused(&said, &String::from_utf8_lossy(value));
        assert!(said.iter().any(|m| m.field(b'M').is_some_and(|text| text.contains("$1"))), "{said:?}");
    }
    let ran = reached(&house, "SET name").await;
    let ran: Vec<_> = ran.iter().filter(|line| !line.contains(" parse <unnamed>")).collect();
    assert_eq!(ran, Vec::<&String>::new());
    // A value of one's own is put before people, and so is a mask that goes where nothing is labelled.
    for sql in [
        "UPDATE customers SET name = 'Jane * Doe' WHERE id = 3".to_owned(),
        format!("UPDATE orders SET status = '{token}' WHERE id = 3"),
    ] {
        let mut other = Raw::login(&house).await;
        other.send(&query(&sql)).await;
        other.held().await;
    }
    // And where it is the agent's own, it passes.
    let own = "INSERT INTO features.spend VALUES (1000001, 1, 1, now())";
    assert_eq!(sqlstate(&gate.ask(&[&query(own)]).await), None);
}

/// The data of a binary COPY of one row of three columns.
fn binary(values: [&[u8]; 3]) -> Vec<u8> {
    let mut row = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8], &[0, 3]].concat();
    for value in values {
        row.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        row.extend(value);
    }
    [row.as_slice(), &[0xff, 0xff]].concat()
}

#[tokio::test]
async fn a_mask_is_not_copied_in_where_a_value_was() {
    let mut house = house_with_a_fixed_mask().await;
    house.stop().await.unwrap();
    // One's own, so that policy lets it pass, and one that people decide on.
    let file = house.folder().join("catalogue/shop.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("name = \"notes\"").unwrap();
    std::fs::write(
        &file,
        [&text[..at], &text[at..].replacen("own = []", "own = [\"etl-agent\"]", 1)].concat(),
    )
    .unwrap();
    house.serve().await.unwrap();
    let mut gate = Raw::login(&house).await;
    let token = cell(&mut gate, "SELECT name FROM customers WHERE id = 3").await;
    let uuid = [1; 16];
    let rows = |value: &str| format!("901\tplain\t\\N\n902\t{value}\t\\N\n903\tplain\t\\N\n").into_bytes();
    let csv = |value: &str| format!("901,\"pla,in\",\n902,\"{value}\",\n903,plain,\n").into_bytes();
    let customers = format!("-9\tx\t{}\t1\t1\tDE\t2026-01-01\tt\n", "j***@example.org").into_bytes();
    for (copy, bytes) in [
        ("COPY notes FROM STDIN", rows("[masked]")),
        ("COPY notes FROM STDIN", rows(&format!("dear {token}"))),
        ("COPY notes FROM STDIN WITH (FORMAT csv)", csv("[masked]")),
        ("COPY notes FROM STDIN WITH (FORMAT csv)", csv(&token)),
        (
            "COPY notes (id, body, uid) FROM STDIN WITH (FORMAT binary)",
            binary([&[0, 0, 3, 132], b"[masked]", &uuid]),
        ),
        ("COPY customers FROM STDIN", customers),
    ] {
        for pieces in [1, bytes.len()] {
            let held = copy.contains("customers");
            begun(&mut gate, copy).await;
            for piece in bytes.chunks(pieces) {
                gate.send(&message(b'd', piece)).await;
            }
            gate.send(&done()).await;
            let said = gate.until(b'Z').await;
            assert_refused(&said, copy);
            let error = said.iter().find(|m| m.tag == b'E').unwrap().field(b'M').unwrap();
            assert!(
                error.contains("in the data of a COPY") && said.iter().all(|m| !held || m.tag != b'N'),
                "{error}"
            );
            assert_eq!(cell(&mut gate, "SELECT 7").await, "7", "the session goes on");
        }
    }
    // In the extended protocol, and from a client that sends on after it was told.
    gate.send(&[parse("", "COPY notes FROM STDIN"), bind("", ""), execute("", 0), SYNC.to_vec()].concat())
        .await;
    gate.until(b'G').await;
    gate.send(&message(b'd', &rows("[masked]"))).await;
    let mut said = gate.until(b'E').await;
    gate.send(&[message(b'd', b"904\tx\t\\N\n"), done(), SYNC.to_vec()].concat()).await;
    said.extend(gate.until(b'Z').await);
    assert_refused(&said, "extended");
    assert_eq!(cell(&mut gate, "SELECT 8").await, "8");
    assert_eq!(house.truth("SELECT count(*) FROM notes").await.unwrap(), "1", "nothing of it was written");
    // Values of one's own pass.
    begun(&mut gate, "COPY notes FROM STDIN").await;
    gate.send(&[message(b'd', &rows("** mine **")), done()].concat()).await;
    assert_eq!(sqlstate(&gate.until(b'Z').await), None);
    assert_eq!(house.truth("SELECT count(*) FROM notes").await.unwrap(), "4");
}
