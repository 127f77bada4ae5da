//! Agents with long-lived keys: real clients prove that they hold one, bound to the gate's certificate, and nobody else
//! does.

use crate::middle::{Middle, in_between};
use crate::shared::raw::{Raw, message, sqlstate, startup, text};
use crate::shared::{Driver, WITHIN, ended, own_house, until};
use crate::{configure, house_with_tls};
use countersign_sim::clients;
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::process::Finished;
use countersign_sim::psql::Psql;
use countersign_sim::running::Output;
use std::fs;
use std::process::Command;

const READS: &str = "SELECT 'read ' || count(*) FROM products;\n";
const REFUSED: &str = "this key does not open this gate";

struct Key {
    secret: String,
    id: String,
    line: String,
}

/// Makes a key for the agent, as its operator does.
async fn make(house: &House, more: &[&str]) -> Key {
    let arguments = [&["token", "key", "--agent", AGENT], more].concat();
    let Finished { stdout, stderr, .. } = house.countersign.run(&arguments).await.unwrap().success().unwrap();
    let id = stderr.split_whitespace().nth(1).expect("an id on stderr").to_owned();
    let line = stderr.lines().find(|line| line.starts_with("key = {")).expect("a line").to_owned();
    Key { secret: stdout.trim().to_owned(), id, line }
}

/// The agent has this key from now on.
fn give(house: &House, line: &str) {
    let file = house.folder().join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("key = {")).collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();
    let pipeline = "pipeline = \"nightly-features\"\n";
    configure(house, pipeline, &format!("{pipeline}{line}\n"));
}

async fn house_with_a_key() -> (House, Key) {
    let mut house = house_with_tls().await;
    let key = make(&house, &["--target", "shop", "--ttl", "366d"]).await;
    give(&house, &key.line);
    house.serve().await.unwrap();
    (house, key)
}

fn psql_at(house: &House, port: u16, secret: &str, parameters: &str) -> Psql {
    let url = format!(
        "postgresql://{AGENT}@127.0.0.1:{port}/shop?{parameters}&sslrootcert={}",
        house.folder().join("ca.pem").display()
    );
    Psql::new(&url, secret).unwrap().option("-At")
}

async fn read_by(house: &House, secret: &str, parameters: &str) -> Finished {
    psql_at(house, house.ports.gate, secret, parameters).run(READS).await.unwrap()
}

#[tokio::test]
async fn whoever_has_the_key_comes_in_bound_or_not_and_nobody_else_does() {
    let (house, key) = house_with_a_key().await;
    for parameters in [
        "sslmode=verify-full&channel_binding=require",
        "sslmode=verify-full&channel_binding=prefer",
        "sslmode=verify-full&channel_binding=disable",
        "sslmode=disable",
    ] {
        let said = read_by(&house, &key.secret, parameters).await;
        assert!(said.stdout.contains("read 200"), "{parameters}: {said:?}");
        // Neither another key nor a token that was good before opens it.
        for wrong in [&format!("{}x", key.secret), "csk1.", &house.token] {
            let said = read_by(&house, wrong, parameters).await;
            assert!(said.code == Some(2) && said.stderr.contains(REFUSED), "{parameters}: {said:?}");
        }
    }
    let issue = house.countersign.run(&["token", "issue", "--agent", AGENT]).await.unwrap();
    assert!(issue.code != Some(0) && issue.stderr.contains("shows no tokens"), "{issue:?}");
    // What it asks for is held, approved and recorded as with a token.
    let psql = psql_at(&house, house.ports.gate, &key.secret, "sslmode=verify-full&channel_binding=require");
    let waiting = psql.start_script("DELETE FROM order_items WHERE id = 7 RETURNING 'gone ' || id;").unwrap();
    let held = Held::seen_by(&waiting).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(waiting).await;
    assert!(out.contains("gone 7"), "{out} {err}");
    // The key is nowhere in what the gate keeps or says.
    let said = house.gate().unwrap().said();
    let kept = fs::read_to_string(house.folder().join("countersign.toml")).unwrap();
    assert!(!said.contains(&key.secret) && !kept.contains(&key.secret));
}

const BOUND: &str = "
import psycopg
with psycopg.connect(channel_binding='require', autocommit=True) as conn:
    print(conn.execute('SELECT count(*) FROM products').fetchone()[0])
";

#[tokio::test]
async fn other_drivers_and_proposals_prove_a_key_too() {
    let (house, key) = house_with_a_key().await;
    let url = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={AGENT} dbname=shop sslmode=verify-full \
         require_auth=scram-sha-256",
        house.ports.gate
    );
    let program = BOUND.replace("connect(", &format!("connect({url:?}, "));
    let mut python = Command::new(clients::python().unwrap());
    python.args(["-c", &program]).env("PGPASSWORD", &key.secret);
    let done = python.env("PGSSLROOTCERT", house.folder().join("ca.pem")).output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    assert_eq!(out, "200\n", "{}", String::from_utf8_lossy(&done.stderr));
    // tokio-postgres, on loopback in clear.
    let driver = Driver::connect_as(&house, &key.secret).await.expect("in");
    assert_eq!(driver.client.query("SELECT 1 FROM products", &[]).await.unwrap().len(), 200);
    assert!(Driver::connect_as(&house, "csk1.another").await.is_err());

    let plan = house.folder().join("plan.sql").display().to_string();
    fs::write(&plan, "SELECT 1; SELECT 2").unwrap();
    let (gate, ca) = (
        format!("postgresql://{AGENT}@localhost:{}/shop", house.ports.gate),
        house.folder().join("ca.pem").display().to_string(),
    );
    for more in [&["--ca", &ca][..], &[]] {
        let arguments = [&["propose", "--gate", &gate, "--file", &plan], more].concat();
        let with = |secret: &str| house.countersign.clone().variable("COUNTERSIGN_TOKEN", secret);
        let done = with(&key.secret).run(&arguments).await.unwrap();
        assert!(done.code == Some(0) && done.stdout.contains("committed: 2"), "{more:?}: {done:?}");
        let done = with("csk1.another").run(&arguments).await.unwrap();
        assert!(done.code != Some(0) && done.stderr.contains(REFUSED), "{more:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_proposal_sends_a_key_to_nobody_who_asks_for_it_in_clear() {
    let house = own_house("").await;
    let plan = house.folder().join("plan.sql").display().to_string();
    fs::write(&plan, "SELECT 1").unwrap();
    let gate = format!("postgresql://{AGENT}@127.0.0.1:{}/shop", house.ports.gate);
    let countersign = house.countersign.clone().variable("COUNTERSIGN_TOKEN", "csk1.a-key");
    let done = countersign.run(&["propose", "--gate", &gate, "--file", &plan]).await.unwrap();
    assert!(done.code == Some(1) && done.stderr.contains("a key itself is sent nowhere"), "{done:?}");
}

#[tokio::test]
async fn somebody_in_between_with_a_certificate_that_is_trusted_gets_no_session() {
    let (house, key) = house_with_a_key().await;
    let reading = in_between(&house, Middle::Reads).await;
    let through = async |port: u16, binding: &str| {
        let parameters = format!("sslmode=verify-full&channel_binding={binding}");
        psql_at(&house, port, &key.secret, &parameters).run(READS).await.unwrap()
    };
    // Where the client does not bind, it is passed on: that is what the binding is for.
    let said = through(reading, "disable").await;
    assert!(said.stdout.contains("read 200"), "{said:?}");
    for binding in ["require", "prefer"] {
        let said = through(reading, binding).await;
        let why = "bound to another certificate than this gate's";
        assert!(said.code == Some(2) && said.stderr.contains(why), "{binding}: {said:?}");
    }
    let stripping = in_between(&house, Middle::Strips).await;
    let said = through(stripping, "require").await;
    assert!(said.code == Some(2) && said.stderr.contains("channel binding"), "{said:?}");
    let said = through(stripping, "prefer").await;
    let why = "channel binding is offered here, and this client did not see it";
    assert!(said.code == Some(2) && said.stderr.contains(why), "{said:?}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_ends_its_session_and_stays_revoked() {
    let (mut house, key) = house_with_a_key().await;
    let way = "sslmode=verify-full&channel_binding=require";
    let mut psql = psql_at(&house, house.ports.gate, &key.secret, way).start().unwrap();
    psql.write("SELECT 'in';\n").unwrap();
    psql.line(Output::Out, WITHIN, |line| line == "in").await.expect("in");
    house.command(&["token", "revoke", &key.id]).await.unwrap();
    psql.write("SELECT 'still in';\n").unwrap();
    psql.close_stdin();
    let (out, err) = ended(psql).await;
    assert!(!out.contains("still in") && err.contains("has expired or was revoked"), "{out} {err}");
    for _ in 0..2 {
        let said = read_by(&house, &key.secret, way).await;
        assert!(said.code == Some(2) && said.stderr.contains(REFUSED), "{said:?}");
        house.stop().await.unwrap();
        house.serve().await.unwrap();
    }
    // Its place is taken by the next one.
    house.stop().await.unwrap();
    let next = make(&house, &[]).await;
    give(&house, &next.line);
    house.serve().await.unwrap();
    assert!(read_by(&house, &next.secret, way).await.stdout.contains("read 200"));
    assert!(read_by(&house, &key.secret, way).await.stderr.contains(REFUSED));
}

#[tokio::test]
async fn a_key_opens_its_own_target_until_it_expires_and_a_session_does_not_outlive_it() {
    let mut house = house_with_tls().await;
    let file = house.folder().join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    let port = countersign_sim::scratch::free_port().unwrap();
    let (at, own) = (text.find("[targets.shop]").unwrap(), format!("127.0.0.1:{}", house.ports.gate));
    let other =
        text[at..].replace("[targets.shop]", "[targets.other]").replace(&own, &format!("127.0.0.1:{port}"));
    fs::write(&file, format!("{text}\n{other}")).unwrap();
    let way = "sslmode=verify-full&channel_binding=require";
    let brief = make(&house, &["--target", "shop", "--ttl", "30s"]).await;
    give(&house, &brief.line);
    house.serve().await.unwrap();
    let said = psql_at(&house, port, &brief.secret, way).run(READS).await.unwrap();
    assert!(said.stderr.contains(REFUSED), "another target: {said:?}");
    let driver = Driver::connect_as(&house, &brief.secret).await.expect("in");
    until("the session ends with its key", async || {
        let ended = driver.client.simple_query("SELECT 1").await.err();
        ended.is_some_and(|error| error.code().is_some_and(|code| code.code() == "28000"))
    })
    .await;
    let said = read_by(&house, &brief.secret, way).await;
    assert!(said.stderr.contains(REFUSED), "expired: {said:?}");
    for why in ["is for the target `shop`", "expired at"] {
        let told = |line: &str| line.contains(why);
        house.gate().unwrap().line(Output::Err, WITHIN, told).await.expect(why);
    }
    let checked = house.command(&["check"]).await.unwrap();
    assert!(checked.contains(&format!("the key {} of `{AGENT}` expired at", brief.id)), "{checked}");
    for (more, why) in [(&["--ttl", "367d"][..], "366d"), (&["--target", "else"], "no target `else`")] {
        let arguments = [&["token", "key", "--agent", AGENT], more].concat();
        let refused = house.countersign.run(&arguments).await.unwrap();
        assert!(refused.code != Some(0) && refused.stderr.contains(why), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_no_exchange_is_refused_and_the_offer_is_the_same_whatever_comes() {
    let (house, _) = house_with_a_key().await;
    let initial = |mechanism: &str, first: &[u8]| {
        let length = u32::try_from(first.len()).unwrap().to_be_bytes();
        message(b'p', &[&text(mechanism)[..], &length, first].concat())
    };
    for (answer, code) in [
        (initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"), "28000"),
        (initial("SCRAM-SHA-256", b"p=tls-server-end-point,,n=,r=abc"), "28000"),
        (initial("SCRAM-SHA-1", b"n,,n=,r=abc"), "28000"),
        (initial("SCRAM-SHA-256", b"n,a=root,n=,r=abc"), "08P01"),
        (initial("SCRAM-SHA-256", &[b'n'; 2000]), "08P01"),
        (message(b'p', &text(&house.token)), "hung up"),
        (message(b'Q', &text("SELECT 1")), "08P01"),
    ] {
        let mut raw = Raw::dial(&house).await;
        raw.send(&startup(AGENT)).await;
        let offer = raw.next().await.unwrap();
        assert_eq!((offer.tag, &offer.body[..]), (b'R', &b"\0\0\0\x0aSCRAM-SHA-256\0\0"[..]));
        raw.send(&answer).await;
        let said = raw.rest().await;
        let found = sqlstate(&said).unwrap_or_else(|| "hung up".to_owned());
        assert_eq!(found, code, "{said:?}");
    }
}
