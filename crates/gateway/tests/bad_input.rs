//! Bad input of every kind: a clear error, nothing lost, nothing allowed, the process alive. After each a good client
//! works at the same gate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod shared;

use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::process::Finished;
use countersign_sim::psql::Psql;
use shared::raw::{Message, Raw, message, packet, sqlstate, startup, text};
use shared::{
    Driver, OTHER_AGENT, WITHIN, assert_the_log_verifies, ended, house, issue, psql_as, reached, until,
};
use std::fs;

/// The longest text that the gate reads.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The gate that was mistreated serves a good client, and says that it is well.
async fn assert_all_is_well(house: &House, after: &str) {
    let read = house.run("SELECT count(*) FROM products").await.unwrap();
    assert!(read.stdout.contains("200"), "after {after}: {read:?}");
    let (status, _) = countersign_sim::process::http_get(house.ports.ops, "/readyz").await.unwrap();
    assert_eq!(status, 200, "after {after}");
}

#[tokio::test]
async fn what_is_no_opening_is_cut_off_and_opens_nothing() {
    let house = house().await;
    let version = |major: u16| packet(&[major.to_be_bytes(), [0, 0]].concat());
    let twice = [&[0, 3, 0, 0][..], b"user\0a\0user\0b\0\0"].concat();
    let replication = [&[0, 3, 0, 0][..], b"user\0etl-agent\0replication\0database\0\0"].concat();
    for (what, bytes) in [
        ("garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a length below itself", vec![0, 0, 0, 3, 0, 3, 0, 0]),
        ("a negative length", vec![0xff; 64]),
        ("a length over the limit", [&[0, 1, 0, 0][..], &[0; 256]].concat()),
        ("protocol 2", version(2)),
        ("protocol 4", version(4)),
        ("a parameter named twice", packet(&twice)),
        ("no end of the parameters", packet(&[&[0, 3, 0, 0][..], b"user\0etl-agent"].concat())),
        ("replication", packet(&replication)),
        ("a cancel request without a secret", packet(&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1])),
        ("a cancel request for nobody", packet(&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 9, 9, 9, 9])),
        ("bytes behind a request for TLS", [&packet(&[0x04, 0xd2, 0x16, 0x2f])[..], b"sneaked in"].concat()),
        ("a query in place of the password", [startup(AGENT), message(b'Q', &text("SELECT 1"))].concat()),
        ("an oversized password", [startup(AGENT), vec![b'p', 0, 1, 0, 0], vec![b'x'; 9_000]].concat()),
        ("a password that is no text", [startup(AGENT), message(b'p', b"\xff\xfe\0")].concat()),
        ("half a startup packet", startup(AGENT)[..9].to_vec()),
        ("half a password", [startup(AGENT), vec![b'p', 0, 0, 0, 99, b'c']].concat()),
        ("nothing", Vec::new()),
    ] {
        let mut raw = Raw::dial(&house).await;
        raw.send(&bytes).await;
        raw.finish().await;
        let said = raw.rest().await;
        assert!(said.iter().all(|message| message.tag != b'Z'), "{what}: {said:?}");
    }
    assert_all_is_well(&house, "openings that are none").await;
}

#[tokio::test]
async fn what_is_no_message_ends_its_own_session_and_no_other() {
    let house = house().await;
    let bystander = Driver::connect(&house).await;
    let parse = |types: u16| [text(""), text("SELECT 1 /* bad */"), types.to_be_bytes().to_vec()].concat();
    for (what, bytes) in [
        ("an unknown tag", message(b'!', b"what")),
        ("a length below itself", vec![b'Q', 0, 0, 0, 2]),
        ("a message over the limit", vec![b'Q', 0x7f, 0xff, 0xff, 0xff, b'S']),
        ("a query without its end", message(b'Q', b"SELECT 1 /* bad */")),
        ("a query with bytes behind its end", message(b'Q', b"SELECT 1 /* bad */\0; DROP TABLE orders")),
        ("a query that is no UTF-8", message(b'Q', b"SELECT '\xff\xc3' /* bad */\0")),
        ("a Parse with more types than it holds", message(b'P', &parse(u16::MAX))),
        ("a Bind with lengths that lead outside", message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff")),
        ("a second startup packet", startup(AGENT)),
        ("a password in the middle", message(b'p', &text("again"))),
    ] {
        let mut raw = Raw::login(&house).await;
        raw.send(&bytes).await;
        raw.finish().await;
        let said = raw.rest().await;
        assert!(said.iter().all(|message| message.tag != b'D'), "{what}: {said:?}");
        assert!(sqlstate(&said).is_none_or(|code| code == "08P01"), "{what}: {said:?}");
    }
    let cut = message(b'Q', &text("DELETE FROM support_tickets /* bad */"));
    let mut raw = Raw::login(&house).await;
    raw.send(&cut[..cut.len() - 9]).await;
    raw.finish().await;
    raw.rest().await;
    assert_eq!(reached(&house, "/* bad */").await, Vec::<String>::new());
    assert_eq!(bystander.client.query_one("SELECT 41 + 1", &[]).await.unwrap().get::<_, i32>(0), 42);
    assert_all_is_well(&house, "messages that are none").await;
}

#[tokio::test]
async fn what_is_refused_in_words_leaves_its_session_as_it_was() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    for (what, bytes, code) in [
        ("a function call", message(b'F', &[0, 0, 0, 99, 0, 0, 0, 0, 0, 0]), "0A000"),
        (
            "an unknown statement",
            [message(b'B', b"\0gone\0\0\0\0\0\0\0"), message(b'S', b"")].concat(),
            "26000",
        ),
        ("an unknown portal", [message(b'E', b"gone\0\0\0\0\0"), message(b'S', b"")].concat(), "34000"),
        (
            "the gate's own name",
            {
                let parse = [text("countersign gate"), text("SELECT 1"), vec![0, 0]].concat();
                [message(b'P', &parse), message(b'S', b"")].concat()
            },
            "42P05",
        ),
        ("a setting", message(b'Q', &text("SET row_security = off")), "0A000"),
        ("a zero byte by an escape", message(b'Q', &text("SELECT E'\\000'")), "22021"),
    ] {
        raw.send(&bytes).await;
        let said = raw.until(b'Z').await;
        assert_eq!(sqlstate(&said).as_deref(), Some(code), "{what}: {said:?}");
    }
    // What belongs to a COPY and to none that runs is ignored, as PostgreSQL ignores it.
    raw.send(&[message(b'd', b"1\t2\n"), message(b'c', b""), message(b'Q', &text("SELECT 7"))].concat())
        .await;
    let said = raw.until(b'Z').await;
    assert!(said.iter().any(|message: &Message| message.tag == b'D'), "{said:?}");
    assert_all_is_well(&house, "what is refused in words").await;
}

#[tokio::test]
async fn a_statement_that_is_very_long_or_very_deep_is_answered_and_the_session_goes_on() {
    let house = house().await;
    let driver = Driver::connect(&house).await;
    let frame = "SELECT length('')".len();
    let longest = format!("SELECT length('{}')", "x".repeat(TEXT_BYTES_MAX - frame));
    assert_eq!(longest.len(), TEXT_BYTES_MAX);
    assert_eq!(driver.send(&longest).await.unwrap().unwrap(), 1, "a text of exactly 1 MiB is read");
    let too_long = driver.refusal(&longest.replacen("SELECT", "SELECT ", 1)).await;
    assert_eq!(too_long.code().code(), "42501", "{too_long:?}");
    assert!(too_long.detail().unwrap_or_default().contains("1048576"), "{too_long:?}");
    for (what, sql) in [
        ("5,000 nested operators", format!("SELECT {}1", "1 + (".repeat(5_000)) + &")".repeat(5_000)),
        ("5,000 operators in a row", format!("SELECT 1{}", " + 1".repeat(5_000))),
        ("5,000 times not", format!("SELECT {}true", "NOT ".repeat(5_000))),
        ("5,000 subqueries", format!("{}SELECT 1{}", "SELECT (".repeat(5_000), ")".repeat(5_000))),
    ] {
        // Either it is read and the server answers, or somebody says what is too much of it.
        match driver.send(&sql).await.unwrap() {
            Ok(rows) => assert_eq!(rows, 1, "{what}"),
            Err(error) => {
                let error = error.as_db_error().expect(what);
                assert!(["42501", "42601", "54001"].contains(&error.code().code()), "{what}: {error:?}");
            }
        }
        assert_eq!(driver.send("SELECT 1").await.unwrap().unwrap(), 1, "after {what}");
    }
    let many = driver.refusal(&"SELECT 1;".repeat(1_001)).await;
    assert_eq!(many.code().code(), "42501", "{many:?}");
    assert_all_is_well(&house, "long and deep statements").await;
}

#[tokio::test]
async fn wrong_expired_and_revoked_tokens_and_unknown_principals_open_nothing() {
    let house = house().await;
    let agent = ["--agent", AGENT];
    let (others, _) = issue(&house, &["--agent", OTHER_AGENT]).await;
    let (revoked, id) = issue(&house, &agent).await;
    let open = Driver::connect_as(&house, &revoked).await.unwrap();
    house.command(&["token", "revoke", &id]).await.unwrap();
    let ended = open.client.simple_query("SELECT 1").await.unwrap_err();
    assert!(ended.as_db_error().is_none_or(|error| error.code().code() == "28000"), "{ended:?}");
    let (expired, _) = issue(&house, &[agent[0], agent[1], "--ttl", "1s"]).await;
    until("a token of one second ends", async || Driver::connect_as(&house, &expired).await.is_err()).await;

    let mut forged = house.token.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let good = house.token.as_str();
    for (what, user, password) in [
        ("no token", AGENT, ""),
        ("a guess", AGENT, "letmein"),
        ("an altered token", AGENT, forged.as_str()),
        ("a cut token", AGENT, &good[..good.len() - 1]),
        ("a token and more", AGENT, &format!("{good}A")),
        ("a revoked token", AGENT, revoked.as_str()),
        ("an expired token", AGENT, expired.as_str()),
        ("another agent's token", AGENT, others.as_str()),
        ("an unknown principal", "nobody", good),
        ("the server's own role", "shop_rw", house.shop.writer_password.as_str()),
    ] {
        let refused = psql_as(&house, user, password).run("SELECT 1 /* no token */").await.unwrap();
        assert_ne!(refused.code, Some(0), "{what}");
        // Whatever is wrong, a stranger is told the same.
        let same = "this token does not open this gate";
        assert!(password.is_empty() || refused.stderr.contains(same), "{what}: {}", refused.stderr);
    }
    let elsewhere = Psql::new(&house.url().replace("/shop?", "/postgres?"), good).unwrap();
    let refused = elsewhere.run("SELECT 1 /* no token */").await.unwrap();
    assert!(refused.stderr.contains("this database is not behind this gate"), "{}", refused.stderr);
    assert_eq!(reached(&house, "/* no token */").await, Vec::<String>::new());
    assert_all_is_well(&house, "bad tokens").await;
}

#[tokio::test]
async fn a_policy_or_configuration_with_an_error_is_named_by_its_line_and_serves_nothing() {
    let house = house().await;
    let folder = house.folder();
    let good = fs::read_to_string(folder.join("countersign.toml")).unwrap();
    fs::create_dir_all(folder.join("bad-policies")).unwrap();
    fs::write(
        folder.join("bad-policies/1-good.cedar"),
        "@id(\"all\")\n@reason(\"x\")\npermit (principal, action, resource);\n",
    )
    .unwrap();
    fs::write(folder.join("bad-policies/2-bad.cedar"), "@id(\"x\")\npermit (principal action resource);\n")
        .unwrap();
    for (what, text, said) in [
        ("an unknown key", format!("{good}\n[limits]\nholds_maximum = 3\n"), "holds_maximum"),
        ("an unknown section", format!("{good}\n[holds]\nmax = 3\n"), "holds"),
        ("no TOML", format!("{good}\n[[[\n"), "bad.toml:"),
        ("a policy with an error", format!("{good}\n[policy]\nfiles = [\"bad-policies\"]\n"), "2-bad.cedar"),
        ("a policy that is not there", format!("{good}\n[policy]\nfiles = [\"none\"]\n"), "none"),
        (
            "a clear secret",
            good.replace("{ file = \"secrets/shop_rw\" }", "\"hunter2-in-clear\""),
            "bad.toml:",
        ),
        ("a limit of nothing", format!("{good}\n[limits]\nhandshakes_max = 0\n"), "handshakes_max"),
    ] {
        fs::write(folder.join("bad.toml"), text).unwrap();
        for command in ["check", "serve"] {
            let done = house.countersign.run(&["--config", "bad.toml", command]).await.unwrap();
            let Finished { code, stdout, stderr } = &done;
            assert_eq!(*code, Some(1), "{what}: {done:?}");
            assert!(stderr.contains(said) && !stdout.contains("ready"), "{what}, {command}: {done:?}");
            assert!(!stderr.contains("hunter2-in-clear"), "{what}, {command}: {done:?}");
        }
    }
    assert_all_is_well(&house, "commands with a bad configuration").await;
}

#[tokio::test]
async fn a_store_is_not_opened_twice_and_the_first_goes_on() {
    let house = house().await;
    let psql = house.start("DELETE FROM support_tickets WHERE id = 1100").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    let second = house.countersign.run(&["serve"]).await.unwrap();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("open in another process"), "{second:?}");
    house.approve(&held.id).await.expect("the first still answers commands");
    assert!(ended(psql).await.0.contains("DELETE 1"), "and lost nothing of what waited");
    assert_all_is_well(&house, "a second gate on the same store").await;
    let published = async || {
        let arguments = ["verify", "data/tiles", "--vkey", "keys/log.vkey"];
        house.countersign.run(&arguments).await.is_ok_and(|done| done.code == Some(0))
    };
    tokio::time::timeout(WITHIN, until("the log verifies", published)).await.unwrap();
    assert_the_log_verifies(&house).await;
}

/// The server keeps 63 bytes of a name: two that begin alike are one to it. With longer ones a text that was judged could
/// be exchanged for another behind its name.
#[tokio::test]
async fn a_name_that_the_server_cuts_short_exchanges_nothing_behind_it() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let name = |end: &str| text(&format!("{}{end}", "n".repeat(63)));
    let parse = |end: &str, sql: &str| message(b'P', &[name(end), text(sql), vec![0, 0]].concat());
    let sync = message(b'S', b"");
    let harmless = [parse("x", "SELECT 1"), sync.clone()].concat();
    raw.send(&harmless).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42622"));
    let close = message(b'C', &[b"S".to_vec(), name("y")].concat());
    raw.send(&[close, sync.clone(), parse("z", "DELETE FROM order_items"), sync.clone()].concat()).await;
    raw.until(b'Z').await;
    raw.until(b'Z').await;
    let bind = message(b'B', &[text(""), name("x"), vec![0; 6]].concat());
    let execute = message(b'E', &[text(""), vec![0; 4]].concat());
    raw.send(&[bind, execute, sync].concat()).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42622"));
    assert!(reached(&house, "DELETE FROM order_items").await.is_empty());
    // A name of 63 bytes is a name.
    raw.send(&[parse("", "SELECT 1"), message(b'S', b"")].concat()).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await), None);
    assert_all_is_well(&house, "long names").await;
}
