//! What would end a session at its next message is refused before it is sent, and the session lives on.

use crate::shared::raw::extended::{SYNC, cells, query, run, tags};
use crate::shared::raw::{Message, Raw, sqlstate};
use crate::shared::{house, own_house};
use countersign_sim::configured;
use countersign_sim::house::House;

fn refusal(said: &[Message]) -> (String, String) {
    let error = said.iter().find(|message| message.tag == b'E').expect("an error");
    (error.field(b'C').unwrap(), error.field(b'M').unwrap())
}

/// A trigger of a user's on a table of the agent's own: nobody can say what an INSERT into it reaches.
async fn triggered(house: &House) {
    house
        .change(
            "CREATE FUNCTION features.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
             CREATE TABLE features.notes (id int, word text); GRANT ALL ON features.notes TO shop_rw; \
             CREATE TRIGGER noted BEFORE INSERT ON features.notes \
             FOR EACH ROW EXECUTE FUNCTION features.noted()",
        )
        .await
        .unwrap();
}

const COPIES: &str = "COPY (INSERT INTO features.notes VALUES (1, 'seen') RETURNING word) TO STDOUT";

#[tokio::test]
async fn a_setting_under_which_nothing_can_be_read_is_refused_and_the_session_goes_on() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    for set in [
        "SET row_security = off",
        "SET LOCAL row_security TO 'off'",
        "SET session_replication_role = replica",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'LATIN1'",
        "SET NAMES 'LATIN1'",
        "SELECT set_config('row_security', 'off', false)",
        "SELECT id, set_config('standard_conforming_strings', id::text, true) FROM orders",
    ] {
        let said = raw.ask(&[&query(set)]).await;
        assert_eq!(refusal(&said).0, "0A000", "{set}");
        assert_eq!(said.last().unwrap().body, b"I", "{set}");
        let said = raw.ask(&[&run(set), &SYNC]).await;
        assert_eq!(refusal(&said).0, "0A000", "{set}");
        // A transaction has failed, as with any other error.
        raw.ask(&[&query("BEGIN")]).await;
        assert_eq!(raw.ask(&[&query(set)]).await.last().unwrap().body, b"E", "{set}");
        raw.ask(&[&query("ROLLBACK")]).await;
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"], "{set}");
    }
    for set in ["SET row_security = on", "SET standard_conforming_strings = on", "SET NAMES 'UTF8'"] {
        assert_eq!(sqlstate(&raw.ask(&[&query(set)]).await), None, "{set}");
    }
}

#[tokio::test]
async fn a_copy_of_what_cannot_be_seen_through_is_refused_where_data_is_labelled() {
    let mut house = own_house("").await;
    triggered(&house).await;
    let mut raw = Raw::login(&house).await;
    for pipelined in [false, true] {
        let said =
            if pipelined { raw.ask(&[&run(COPIES), &SYNC]).await } else { raw.ask(&[&query(COPIES)]).await };
        let (code, words) = refusal(&said);
        assert_eq!(code, "0A000", "nobody is asked: {said:?}");
        assert!(words.contains("cannot be seen through"), "{words}");
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    }
    // Whatever policy says.
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    assert_eq!(refusal(&raw.ask(&[&query(COPIES)]).await).0, "0A000");
    let derived = "COPY (SELECT upper(email) FROM customers) TO STDOUT";
    assert_eq!(refusal(&raw.ask(&[&query(derived)]).await).0, "0A000");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    assert_eq!(house.truth("SELECT count(*) FROM features.notes").await.unwrap(), "0");
}

#[tokio::test]
async fn a_copy_of_what_cannot_be_seen_through_passes_where_nothing_is_labelled() {
    let mut house = own_house("").await;
    triggered(&house).await;
    house.stop().await.unwrap();
    let file = house.folder().join("catalogue/shop.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let line = |line: &str| match line.split_once("labels = [\"") {
        Some((before, after)) => format!("{before}labels = []{}\n", after.split_once("\"]").unwrap().1),
        None => format!("{line}\n"),
    };
    std::fs::write(&file, text.lines().map(line).collect::<String>()).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    raw.send(&query(COPIES)).await;
    house.approve(&raw.held().await.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(tags(&said), "HdcCZ", "{said:?}");
    assert!(said.iter().any(|message| message.body == b"seen\n"), "{said:?}");
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    assert_eq!(tags(&raw.ask(&[&query(COPIES)]).await), "HdcCZ");
    assert_eq!(tags(&raw.ask(&[&run(COPIES), &SYNC]).await), "12HdcCZ");
    assert_eq!(house.truth("SELECT count(*) FROM features.notes").await.unwrap(), "3");
}

#[tokio::test]
async fn what_was_prepared_before_definitions_changed_is_refused_in_words_that_say_so() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("PREPARE q AS SELECT id FROM orders WHERE id = $1")]).await;
    assert_eq!(cells(&raw.ask(&[&query("EXECUTE q(1)")]).await), ["1"]);
    house.change("CREATE TABLE newer (id int)").await.unwrap();
    // Seen as soon as a name is looked for that was not there.
    raw.ask(&[&query("SELECT 1 FROM nowhere")]).await;
    let (code, words) = refusal(&raw.ask(&[&query("EXECUTE q(1)")]).await);
    assert_eq!(code, "0A000");
    assert!(words.contains("prepared before definitions changed"), "{words}");
    raw.ask(&[&query("DEALLOCATE q")]).await;
    raw.ask(&[&query("PREPARE q AS SELECT id FROM orders WHERE id = $1")]).await;
    assert_eq!(cells(&raw.ask(&[&query("EXECUTE q(1)")]).await), ["1"]);
    let (_, words) = refusal(&raw.ask(&[&query("EXECUTE never")]).await);
    assert!(words.contains("not seen when it was prepared"), "{words}");
}

#[tokio::test]
async fn function_calls_and_replication_are_refused_in_words() {
    use crate::shared::raw::{message, startup_of, text};
    use countersign_sim::house::AGENT;
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let said = raw.ask(&[&message(b'F', &[0, 0, 0, 99, 0, 0, 0, 0, 0, 0])]).await;
    let (code, words) = refusal(&said);
    assert_eq!((code.as_str(), words.contains("function call")), ("0A000", true), "{words}");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    for value in ["database", "true", "1"] {
        let mut raw = Raw::dial(&house).await;
        raw.send(&startup_of(AGENT, 0, &[("replication", value)])).await;
        raw.send(&message(b'p', &text(&house.token))).await;
        let (code, words) = refusal(&raw.rest().await);
        assert_eq!((code.as_str(), words.as_str()), ("0A000", "replication does not pass this gate"));
    }
}
