//! What people are shown of what a statement would do: tried and undone where nothing of it would stay, else counted, else
//! estimated; and what they are told of a set that may move.

use crate::parked::{named, parking};
use crate::shared::raw::extended::{SYNC, query, run};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{MORE, house, shown, until};
use countersign_sim::house::House;
use countersign_sim::scratch_pg::Options;
use std::time::{Duration, Instant};

/// Keys that cascade, triggers of several kinds, a rule.
const SCHEMA: &str = "
ALTER TABLE order_items DROP CONSTRAINT order_items_order_id_fkey,
  ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
ALTER TABLE payments DROP CONSTRAINT payments_order_id_fkey,
  ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
CREATE TABLE audit (what text, item bigint);
CREATE TABLE flags (flag int);
CREATE TABLE elsewhere (item bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit VALUES (TG_OP, OLD.id);
  -- Only where somebody says so, which nobody did when it was tried.
  IF EXISTS (SELECT FROM flags) THEN
    INSERT INTO elsewhere VALUES (OLD.id);
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER noted AFTER DELETE ON orders FOR EACH ROW WHEN (OLD.id > 0) EXECUTE FUNCTION note();
CREATE TABLE numbered (id serial, item int);
CREATE TABLE t_notifies (item int);
CREATE FUNCTION notifies() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_notify('c', 'x'); RETURN NEW; END$$;
CREATE TRIGGER notifies BEFORE UPDATE ON t_notifies FOR EACH ROW EXECUTE FUNCTION notifies();
CREATE TABLE t_numbers (item int);
CREATE SEQUENCE numbers;
CREATE FUNCTION takes_numbers() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.item := nextval('numbers'); RETURN NEW; END$$;
CREATE TRIGGER takes_numbers BEFORE UPDATE ON t_numbers FOR EACH ROW EXECUTE FUNCTION takes_numbers();
CREATE TABLE t_calls (item int);
CREATE FUNCTION helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.item := helper(); RETURN NEW; END$$;
CREATE TRIGGER calls BEFORE UPDATE ON t_calls FOR EACH ROW EXECUTE FUNCTION calls();
CREATE TABLE t_dynamic (item int);
CREATE FUNCTION dynamic() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELECT nextval(''numbers'')'; RETURN NEW; END$$;
CREATE TRIGGER dynamic BEFORE UPDATE ON t_dynamic FOR EACH ROW EXECUTE FUNCTION dynamic();
CREATE TABLE t_leads (item int);
CREATE FUNCTION leads() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE t_numbers SET item = 1; RETURN NEW; END$$;
CREATE TRIGGER leads BEFORE UPDATE ON t_leads FOR EACH ROW EXECUTE FUNCTION leads();
CREATE TABLE t_logs (item int);
CREATE FUNCTION logs() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO numbered (item) VALUES (1); RETURN NEW; END$$;
CREATE TRIGGER logs BEFORE UPDATE ON t_logs FOR EACH ROW EXECUTE FUNCTION logs();
CREATE TABLE t_rule (item int);
CREATE RULE tells AS ON UPDATE TO t_rule DO ALSO NOTIFY c;
INSERT INTO t_notifies VALUES (1); INSERT INTO t_numbers VALUES (1); INSERT INTO t_calls VALUES (1);
INSERT INTO t_dynamic VALUES (1); INSERT INTO t_leads VALUES (1); INSERT INTO t_logs VALUES (1);
INSERT INTO t_rule VALUES (1);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_rw;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop_rw;
";

async fn house_that_tries(target: &str, limits: &str) -> House {
    let more = format!("preview = \"exact\"\n{target}\n{MORE}\n[limits]\n{limits}");
    let mut house = House::open_with(Options::default(), &more).await.unwrap();
    house.stop().await.unwrap();
    house.change(SCHEMA).await.unwrap();
    house.serve().await.unwrap();
    house
}

/// The card of a statement, for which nobody waits.
async fn card(house: &House, sql: &str) -> String {
    let mut raw = parking(house).await;
    let id = named(&raw.ask(&[&query(sql)]).await);
    shown(house, &id).await
}

async fn count(house: &House, of: &str) -> u64 {
    house.truth(&format!("SELECT count(*) FROM {of}")).await.unwrap().parse().unwrap()
}

async fn nothing_is_left_of_a_trial(house: &House) {
    until("the connection of the trial ends", async || {
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'countersign trial'";
        house.truth(left).await.unwrap() == "0"
    })
    .await;
}

#[tokio::test]
async fn what_cascades_and_what_triggers_do_is_counted_and_nothing_of_it_stays() {
    let house = house_that_tries("", "").await;
    let items = count(&house, "order_items WHERE order_id <= 10").await;
    let payments = count(&house, "payments WHERE order_id <= 10").await;
    let sql = "DELETE FROM orders WHERE id <= 10";
    let mut raw = Raw::login(&house).await;
    raw.send(&[run(sql), SYNC.to_vec()].concat()).await;
    let held = raw.held().await;
    let card = shown(&house, &held.id).await;
    let all = 20 + items + payments;
    assert!(card.contains(&format!("{all} rows in 4 tables (tried)")), "{card}");
    for (table, rows) in [("audit", 10), ("order_items", items), ("orders", 10), ("payments", payments)] {
        assert!(card.contains(&format!("public.{table} · {rows} rows")), "{card}");
    }
    assert!(card.contains(&format!("at most 10 rows by itself, and {all} rows in these 4 tables")), "{card}");
    assert!(card.contains("Rows as of"), "{card}");
    assert_eq!(count(&house, "orders WHERE id <= 10").await, 10, "it was undone");
    assert_eq!(count(&house, "order_items WHERE order_id <= 10").await, items);
    assert_eq!(count(&house, "audit").await, 0);
    nothing_is_left_of_a_trial(&house).await;
    let locks =
        "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND mode = 'RowExclusiveLock'";
    assert_eq!(house.truth(locks).await.unwrap(), "0", "no lock is left");

    house.approve(&held.id).await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await), None);
    assert_eq!((count(&house, "orders WHERE id <= 10").await, count(&house, "audit").await), (0, 10));
}

#[tokio::test]
async fn what_a_session_has_set_counts_for_what_is_tried() {
    let house = house_that_tries("", "").await;
    let mut raw = Raw::login(&house).await;
    // A name that no part of the server knows is not among the settings that it lists.
    for item in [21, 22] {
        raw.send(&query(&format!("SET app.item = '{item}'"))).await;
        house.approve(&raw.held().await.id).await.unwrap();
        raw.until(b'Z').await;
        raw.send(&query("DELETE FROM order_items WHERE id::text = current_setting('app.item', true)")).await;
        let held = raw.held().await;
        let card = shown(&house, &held.id).await;
        assert!(card.contains(&format!("app.item = ‹{item}›")), "{card}");
        assert!(card.contains("1 row in 1 table (tried)"), "{card}");
        house.deny(&held.id, "seen").await.unwrap();
        raw.until(b'Z').await;
    }
}

#[tokio::test]
async fn what_was_not_there_when_it_was_tried_is_beyond_the_bound() {
    let house = house_that_tries("", "").await;
    let mut raw = Raw::login(&house).await;
    // More rows of a table that was tried.
    raw.send(&query("DELETE FROM orders WHERE id = 11")).await;
    let held = raw.held().await;
    let more = "INSERT INTO order_items SELECT 9000000 + id, order_id, product_id, quantity, price_cents \
                FROM order_items WHERE order_id = 11; INSERT INTO order_items VALUES (9999999, 11, 1, 1, 1)";
    house.change(more).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    let error = said.iter().find(|m| m.tag == b'E').expect("an error").field(b'D').unwrap();
    assert!(error.contains("in other tables than were approved, or more of them"), "{error}");
    assert_eq!(count(&house, "orders WHERE id = 11").await, 1, "it was undone");
    // Rows of a table that was not. In other sessions: what code leaves in one nobody can say.
    let mut raw = Raw::login(&house).await;
    raw.send(&query("DELETE FROM orders WHERE id = 12")).await;
    let held = raw.held().await;
    let card = shown(&house, &held.id).await;
    assert!(card.contains("(tried)"), "{card}");
    house.change("INSERT INTO flags VALUES (1)").await.unwrap();
    house.approve(&held.id).await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42501"));
    assert_eq!((count(&house, "orders WHERE id = 12").await, count(&house, "elsewhere").await), (1, 0));
    // Asked again, that table is shown too, and then it runs.
    let mut raw = Raw::login(&house).await;
    raw.send(&query("DELETE FROM orders WHERE id = 12")).await;
    let held = raw.held().await;
    let card = shown(&house, &held.id).await;
    assert!(card.contains("public.elsewhere · 1 row"), "{card}");
    house.approve(&held.id).await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await), None);
    assert_eq!((count(&house, "orders WHERE id = 12").await, count(&house, "elsewhere").await), (0, 1));
}

#[tokio::test]
async fn what_a_rollback_would_not_undo_is_not_tried() {
    let house = house_that_tries("", "").await;
    let numbers = "it takes numbers of a sequence, which no rollback gives back";
    for (sql, why) in [
        ("INSERT INTO numbered (item) VALUES (1)", numbers),
        ("UPDATE numbered SET id = DEFAULT", numbers),
        ("UPDATE t_numbers SET item = 2", numbers),
        ("UPDATE t_leads SET item = 2", numbers),
        ("UPDATE t_logs SET item = 2", numbers),
        ("UPDATE t_notifies SET item = 2", "runs `public.notifies`, which may call `pg_notify`"),
        ("UPDATE t_calls SET item = 2", "runs `public.calls`, which may call `helper`"),
        ("UPDATE t_dynamic SET item = 2", "runs `public.dynamic`, which says EXECUTE"),
        ("UPDATE t_rule SET item = 2", "it cannot be seen all that it does"),
        ("UPDATE products SET name = 'x' WHERE id = helper()", "it cannot be seen all that it does"),
        (
            "UPDATE products SET price_cents = nextval('numbers') WHERE id = 1",
            "it does more than change rows",
        ),
        ("DELETE FROM flags; TRUNCATE flags", "it does more than change rows"),
        // What a trial leaves behind can be read: which rows it chose would say what is hidden.
        (
            "UPDATE flags SET flag = flag WHERE EXISTS (SELECT FROM customers WHERE email LIKE 'a%')",
            "it reads labelled values",
        ),
    ] {
        let card = card(&house, sql).await;
        assert!(
            card.contains("! It was not tried before this was shown: ") && card.contains(why),
            "{sql}: {card}"
        );
        assert!(!card.contains("(tried)"), "{sql}: {card}");
    }
    let taken = "SELECT count(*) FROM (SELECT is_called FROM numbers UNION ALL SELECT is_called FROM numbered_id_seq) s \
                 WHERE is_called";
    assert_eq!(house.truth(taken).await.unwrap(), "0", "no number was taken");
}

#[tokio::test]
async fn numbers_of_sequences_are_used_up_where_the_target_allows_that() {
    let house = house_that_tries("preview_sequences = true", "").await;
    let card = card(&house, "UPDATE t_logs SET item = 2").await;
    assert!(
        card.contains("2 rows in 2 tables (tried)") && card.contains("public.numbered · 1 row"),
        "{card}"
    );
    assert_eq!(house.truth("SELECT is_called FROM numbered_id_seq").await.unwrap(), "t");
    assert_eq!(count(&house, "numbered").await, 0);
}

#[tokio::test]
async fn a_table_that_is_too_large_is_counted_and_not_tried() {
    let house = house_that_tries("", "preview_table_bytes_max = 8192").await;
    let card = card(&house, "DELETE FROM orders WHERE id = 13").await;
    assert!(card.contains("bytes, and what is tried takes at most 8192 (preview_table_bytes_max)"), "{card}");
    assert!(!card.contains("(tried)"), "{card}");
    let card = self::card(&house, "DELETE FROM order_items WHERE product_id = 1 AND id < 0").await;
    assert!(card.contains("0 rows (counted)"), "{card}");
}

#[tokio::test]
async fn what_waits_for_a_lock_is_given_up_in_the_named_time() {
    let house = house_that_tries("", "preview_lock_millis_max = 300\npreview_millis_max = 20000").await;
    let mut other = house.server.superuser("shop").await.unwrap();
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute("UPDATE order_items SET quantity = 1 WHERE id = 14").await.unwrap();
    let begun = Instant::now();
    let card = card(&house, "DELETE FROM order_items WHERE id = 14").await;
    assert!(begun.elapsed() < Duration::from_secs(15), "long before anything else ends it");
    assert!(card.contains("others hold a lock that it needs, for longer than 300 ms"), "{card}");
    assert!(card.contains("1 row (counted)"), "{card}");
    nothing_is_left_of_a_trial(&house).await;
    transaction.rollback().await.unwrap();
    assert_eq!(count(&house, "order_items WHERE id = 14").await, 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_and_the_next_may_have_to_do_without() {
    let house = house_that_tries("", "preview_millis_max = 3000").await;
    let step = "DELETE FROM flags; UPDATE t_rule SET item = 1";
    assert!(
        card(&house, step).await.contains("it cannot be seen all"),
        "one step that is not tried is enough"
    );
    let slow =
        "DELETE FROM order_items WHERE quantity > (SELECT count(*) FROM generate_series(1, 100000000))";
    let said = card(&house, slow).await;
    assert!(said.contains("it took longer than 3000 ms (preview_millis_max)"), "{said}");
    // Nine times as long nothing is tried.
    let next = card(&house, "DELETE FROM order_items WHERE id = 15").await;
    assert!(
        next.contains("others are tried, or were just now") && next.contains("1 row (counted)"),
        "{next}"
    );
}

#[tokio::test]
async fn the_steps_of_a_plan_are_tried_one_after_the_other() {
    let house = house_that_tries("", "").await;
    let items = count(&house, "order_items WHERE order_id = 16").await;
    let card =
        card(&house, "DELETE FROM order_items WHERE order_id = 16; DELETE FROM orders WHERE id = 16").await;
    assert!(card.contains(&format!("1. DELETE  public.order_items · {items} row")), "{card}");
    assert!(card.contains("· 1 row (tried)"), "{card}");
    assert_eq!(count(&house, "orders WHERE id = 16").await, 1);
}

#[tokio::test]
async fn a_set_that_the_requester_can_move_is_named_on_the_card() {
    let house = house().await;
    let moving = "DELETE FROM order_items WHERE order_id IN (SELECT customer_id FROM features.churn)";
    let said = card(&house, moving).await;
    assert!(
        said.contains("read from features.churn, which the requester can change without anybody"),
        "{said}"
    );
    let fixed = "DELETE FROM order_items WHERE order_id IN (SELECT id FROM products)";
    assert!(!card(&house, fixed).await.contains("can change without anybody"));
    // What the server denies policy cannot give.
    let own = "DELETE FROM order_items WHERE order_id IN (SELECT customer_id FROM features.spend)";
    assert!(card(&house, own).await.contains("read from features.spend"));
    house.change("REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON features.spend FROM shop_rw").await.unwrap();
    let said = card(&house, &format!("{own} AND true")).await;
    house.change("GRANT ALL ON features.spend TO shop_rw").await.unwrap();
    assert!(!said.contains("can change without anybody"), "{said}");
}

#[tokio::test]
async fn how_long_a_predicate_over_labelled_data_takes_is_not_to_be_seen() {
    let house = house().await;
    let begun = Instant::now();
    let card = card(&house, "DELETE FROM payments WHERE iban LIKE 'no such%'").await;
    assert!(
        begun.elapsed() >= Duration::from_millis(2_500),
        "as long as the longest count: {:?}",
        begun.elapsed()
    );
    assert!(card.contains("0 rows (counted)"), "{card}");
}
