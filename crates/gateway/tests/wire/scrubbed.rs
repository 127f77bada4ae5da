//! What the server says near labelled data: how serious it is and its SQLSTATE stay, its words do not.

use crate::shared::own_house;
use crate::shared::raw::extended::query;
use crate::shared::raw::{Message, Raw};
use countersign_sim::house::House;

async fn house_with_loose_tongues() -> House {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    for sql in [
        "UPDATE customers SET email = 'zz.secret@example.org' WHERE id = 20",
        "ALTER TABLE customers ADD CONSTRAINT short CHECK (length(email) < 40)",
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE NOTICE 'was %', OLD.email; RAISE WARNING 'was %', OLD.email; RAISE INFO 'was %', OLD.email; \
           RAISE LOG 'was %', OLD.email; RAISE DEBUG 'was %', OLD.email USING DETAIL = OLD.email, HINT = OLD.email; \
           PERFORM set_config('application_name', OLD.email, false); RETURN NEW; END $$",
        "CREATE TRIGGER tell BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tell()",
        "CREATE FUNCTION divide(t text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN \
           EXECUTE format('SELECT 1 / 0 AS %I', t) INTO n; RETURN n; END $$",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
    ] {
        house.change(sql).await.unwrap();
    }
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    house.serve().await.unwrap();
    house
}

/// Everything that is said once the statement was approved.
async fn approved(house: &House, gate: &mut Raw, sql: &str) -> Vec<Message> {
    gate.send(&query(sql)).await;
    let held = gate.held().await;
    house.approve(&held.id).await.unwrap();
    let said = gate.until(b'Z').await;
    for message in &said {
        assert!(!String::from_utf8_lossy(&message.body).contains("zz.secret"), "{sql}: {message:?}");
    }
    said
}

fn severity_and_state(message: &Message) -> (String, String) {
    assert_eq!(message.field(b'S'), message.field(b'V'), "{message:?}");
    (message.field(b'V').unwrap(), message.field(b'C').unwrap())
}

#[tokio::test]
async fn an_error_near_labelled_data_says_which_it_is_and_quotes_nothing() {
    let house = house_with_loose_tongues().await;
    let mut gate = Raw::login(&house).await;
    for (sql, state) in [
        ("SELECT email::int FROM customers WHERE id = 20", "22P02"),
        ("SELECT email::date FROM customers WHERE id = 20", "22007"),
        ("SELECT email::json FROM customers WHERE id = 20", "22P02"),
        ("SELECT email::regclass FROM customers WHERE id = 20", "0A000"),
        ("SELECT email::mood FROM customers WHERE id = 20", "22P02"),
        ("SELECT ('<' || email)::xml FROM customers WHERE id = 20", "2200N"),
        ("SELECT 'a' ~ ('[' || email) FROM customers WHERE id = 20", "2201B"),
        ("SELECT to_date(email, 'YYYY') FROM customers WHERE id = 20", "22007"),
        ("SELECT set_config('timezone', email, true) FROM customers WHERE id = 20", "22023"),
        ("SELECT divide(email) FROM customers WHERE id = 20", "22012"),
        ("COPY (SELECT email::int FROM customers WHERE id = 20) TO STDOUT", "22P02"),
        (
            "INSERT INTO customers SELECT -id, name, email, phone, card_last4, country, created_at, marketing_opt_in FROM customers WHERE id = 20",
            "23505",
        ),
        (
            "INSERT INTO customers SELECT -id, name, email || 'x', phone, card_last4, NULL, created_at, marketing_opt_in FROM customers WHERE id = 20",
            "23502",
        ),
        (
            "INSERT INTO customers SELECT -id, name, email || repeat('x', 40), phone, card_last4, country, created_at, marketing_opt_in FROM customers WHERE id = 20",
            "23514",
        ),
        (
            "DO $$ BEGIN RAISE EXCEPTION 'it is %', (SELECT email FROM customers WHERE id = 20) USING ERRCODE = 'XX123'; END $$",
            "XX123",
        ),
        ("DO $$ BEGIN ASSERT false, (SELECT email FROM customers WHERE id = 20); END $$", "P0004"),
    ] {
        let said = approved(&house, &mut gate, sql).await;
        let error =
            said.iter().find(|message| message.tag == b'E').unwrap_or_else(|| panic!("{sql}: {said:?}"));
        assert_eq!(severity_and_state(error), ("ERROR".to_owned(), state.to_owned()), "{sql}");
    }
}

#[tokio::test]
async fn a_notice_near_labelled_data_stays_as_serious_as_it_was() {
    let house = house_with_loose_tongues().await;
    let mut gate = Raw::login(&house).await;
    let said = gate.ask(&[&query("SET client_min_messages = debug1")]).await;
    assert!(!said.iter().any(|message| message.tag == b'E'), "{said:?}");
    let said = approved(&house, &mut gate, "UPDATE customers SET phone = '1' WHERE id = 20").await;
    let notices = said.iter().filter(|message| message.tag == b'N').map(severity_and_state);
    // Those of the gate itself, about the hold, have another SQLSTATE or stand before it was approved.
    let raised: Vec<String> = notices.map(|(severity, _)| severity).collect();
    for severity in ["NOTICE", "WARNING", "INFO", "LOG", "DEBUG"] {
        assert!(raised.iter().any(|word| word == severity), "{severity}: {raised:?}");
    }
    let told =
        said.iter().any(|message| message.tag == b'S' && message.body.starts_with(b"application_name"));
    assert!(!told, "what a trigger put into a setting is not reported: {said:?}");
}
