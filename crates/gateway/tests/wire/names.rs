//! A name means at the gate what it means at the server, at every moment of a pipeline.

use crate::items;
use crate::shared::raw::extended::{SYNC, bind, cells, close, describe, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{house, own_house, reached};

#[tokio::test]
async fn a_name_given_anew_within_a_pipeline_is_judged_by_its_new_text() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let again = run("PREPARE p AS DELETE FROM order_items WHERE id = 11");
    let said = raw
        .ask(&[&parse("p", "SELECT 1"), &run("DEALLOCATE p"), &again, &bind("", "p"), &execute("", 0), &SYNC])
        .await;
    assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{said:?}");
    assert_eq!(items(&house, 11).await, "1");
    // Also without a pipeline, and where everything is deallocated.
    for (id, forget) in [(12, "DEALLOCATE p2"), (13, "DEALLOCATE ALL"), (14, "DISCARD ALL")] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&parse("p2", "SELECT 1"), &SYNC]).await;
        raw.ask(&[&query(forget)]).await;
        raw.ask(&[&query(&format!("PREPARE p2 AS DELETE FROM order_items WHERE id = {id}"))]).await;
        let said = raw.ask(&[&bind("", "p2"), &execute("", 0), &SYNC]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{forget}: {said:?}");
        assert_eq!(items(&house, id).await, "1");
    }
}

#[tokio::test]
async fn a_query_among_pipelined_messages_waits_its_turn() {
    let house = house().await;
    let evil = |id: u32| query(&format!("PREPARE p AS DELETE FROM order_items WHERE id = {id}"));
    for (id, first) in [
        (15, [parse("", "EXECUTE p"), bind("", ""), execute("", 0)].concat()),
        (16, [bind("", "p"), execute("", 0)].concat()),
    ] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query("PREPARE p AS SELECT 'first'")]).await;
        raw.send(&[first, query("DEALLOCATE p"), evil(id)].concat()).await;
        let said = raw.until(b'Z').await;
        assert_eq!(cells(&said), ["first"], "{said:?}");
        raw.until(b'Z').await;
        raw.ask(&[&SYNC]).await;
        assert_eq!(items(&house, id).await, "1");
    }
}

#[tokio::test]
async fn the_gates_own_name_is_taken() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    for sql in
        ["PREPARE \"countersign gate\" AS SELECT 1", "DECLARE \"countersign gate\" CURSOR FOR SELECT 1"]
    {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query("BEGIN")]).await;
        let said = raw.ask(&[&query(sql)]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{said:?}");
        raw.ask(&[&query("ROLLBACK")]).await;
        // The gate's own questions still get their answers.
        raw.ask(&[&query("SET search_path = features")]).await;
        assert_eq!(cells(&raw.ask(&[&run("SELECT 7"), &SYNC]).await), ["7"]);
    }
    let said = raw.ask(&[&parse("countersign gate", "SELECT 1"), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42P05"));
}

#[tokio::test]
async fn a_bind_of_an_earlier_text_under_the_same_portal_name_is_judged_too() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let evil = parse("a", "DELETE FROM order_items WHERE id = 17 /* bound twice */");
    let said = raw
        .ask(&[&evil, &parse("b", "SELECT 1"), &bind("", "a"), &bind("", "b"), &execute("", 0), &SYNC])
        .await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    let binds = reached(&house, "/* bound twice */").await;
    assert!(binds.iter().all(|line| !line.contains(" bind ")), "{binds:?}");
    // What is only bound, described and closed does no harm.
    let said = raw
        .ask(&[&parse("", "SELECT 1"), &bind("p", ""), &describe(b'P', "p"), &close(b'P', "p"), &SYNC])
        .await;
    assert_eq!(tags(&said), "12T3Z");
}

#[tokio::test]
async fn a_text_prepared_before_its_tables_changed_is_read_again_by_the_server() {
    let house = own_house("").await;
    house.change("ALTER TABLE features.churn RENAME TO aside").await.unwrap();
    house
        .change("CREATE TABLE public.churn (LIKE features.aside); GRANT ALL ON public.churn TO shop_rw")
        .await
        .unwrap();
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("SET search_path = features, public")]).await;
    let said = raw.ask(&[&parse("p", "INSERT INTO churn VALUES (9000077, 0.5, now())"), &SYNC]).await;
    assert_eq!(tags(&said), "1Z", "{said:?}");
    house.change("ALTER TABLE features.aside RENAME TO churn").await.unwrap();
    // Whoever asks for a table that is not there has the gate read the catalogue again.
    Raw::login(&house).await.ask(&[&query("SELECT * FROM nowhere")]).await;
    let said = raw.ask(&[&bind("", "p"), &execute("", 0), &SYNC]).await;
    assert_eq!(tags(&said), "2CZ", "{said:?}");
    assert_eq!(crate::scores(&house, 9_000_077).await, "1", "what the gate judged is what was written");
    assert_eq!(house.truth("SELECT count(*) FROM public.churn").await.unwrap(), "0");
}

#[tokio::test]
async fn a_statement_outlives_a_failed_transaction_and_a_cursor_can_be_described() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&parse("p", "SELECT 'still'"), &SYNC]).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("SELECT 1/0")]).await;
    // The facts are others by now, and the server would read nothing.
    house.change("CREATE TABLE newer (id int)").await.unwrap();
    Raw::login(&house).await.ask(&[&query("SELECT * FROM nowhere")]).await;
    let said = raw.ask(&[&bind("", "p"), &execute("", 0), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("25P02"), "{said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(cells(&raw.ask(&[&bind("", "p"), &execute("", 0), &SYNC]).await), ["still"]);
    // As psycopg's server-side cursors do.
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("DECLARE c CURSOR FOR SELECT id FROM orders LIMIT 3")]).await;
    assert_eq!(tags(&raw.ask(&[&describe(b'P', "c"), &SYNC]).await), "TZ");
    assert_eq!(tags(&raw.ask(&[&query("FETCH 2 FROM c")]).await), "TDDCZ");
    let said = raw.ask(&[&describe(b'P', "nope"), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("34000"));
}

#[tokio::test]
async fn what_the_server_would_refuse_is_refused_with_its_own_code_and_words() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    for (sql, code, words) in [
        ("SELEC 1", "42601", "syntax error at or near \"SELEC\""),
        ("SELECT * FROM public.nowhere", "42P01", "relation \"public.nowhere\" does not exist"),
        // What would be held is read by the server first: nobody is asked about it.
        ("SELECT nothing FROM products", "42703", "column \"nothing\" does not exist"),
        ("DELETE FROM orders WHERE nothing = 1", "42703", "column \"nothing\" does not exist"),
    ] {
        for messages in [query(sql), [run(sql), SYNC.to_vec()].concat()] {
            let said = raw.ask(&[&messages]).await;
            let error = said.iter().find(|message| message.tag == b'E').expect(sql);
            assert_eq!(
                (error.field(b'C').as_deref(), error.field(b'M').as_deref()),
                (Some(code), Some(words))
            );
            assert_eq!(said.last().unwrap().body, b"I");
        }
    }
}
