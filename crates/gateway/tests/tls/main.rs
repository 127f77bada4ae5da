//! TLS on both sides, and on the pages: every side shows who it is, or nothing is said to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod certificates;
mod keys;
mod middle;
#[path = "../shared/mod.rs"]
mod shared;

use countersign_sim::clients;
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::psql::Psql;
use countersign_sim::scratch_pg::Options;
use countersign_sim::tls::{Authority, Issued};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use shared::raw::extended::{cells, query};
use shared::raw::{Raw, SSL_REQUEST, sqlstate, startup_of};
use shared::{WITHIN, ended};
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A house whose server, gate and pages have certificates of one authority; another authority lies beside it.
async fn house_with_tls() -> House {
    let authority = Authority::new("the house's").unwrap();
    let of_server = authority.issue(&["db.house.invalid"]).unwrap();
    let options = Options { tls: Some(of_server), ..Options::default() };
    let mut house = House::open_with(options, "").await.unwrap();
    house.stop().await.unwrap();
    let write = |name: &str, text: &str| fs::write(house.folder().join(name), text).unwrap();
    write("ca.pem", &authority.certificate_pem());
    write("other-ca.pem", &Authority::new("another").unwrap().certificate_pem());
    let Issued { certificate_pem, key_pem } = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    write("gate.pem", &certificate_pem);
    write("gate.key", &key_pem);
    let Issued { certificate_pem, key_pem } = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    write("middle.pem", &certificate_pem);
    write("middle.key", &key_pem);
    configure(&house, "tls = \"disable\"", "tls = { ca = \"ca.pem\", server_name = \"db.house.invalid\" }");
    configure(
        &house,
        "\nenv = \"prod\"",
        "\nenv = \"prod\"\nclient_tls = { cert = \"gate.pem\", key = \"gate.key\" }",
    );
    configure(&house, "rp_id =", "tls = { cert = \"gate.pem\", key = \"gate.key\" }\nrp_id =");
    configure(&house, "public_url = \"http:", "public_url = \"https:");
    house
}

fn configure(house: &House, from: &str, to: &str) {
    let file = house.folder().join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "`{from}` in {text}");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

fn psql(house: &House, parameters: &str) -> Psql {
    let url = format!("postgresql://{AGENT}@127.0.0.1:{}/shop?{parameters}", house.ports.gate);
    Psql::new(&url, &house.token).unwrap().option("-At")
}

fn verified_by(house: &House, authority: &str) -> Psql {
    let file = house.folder().join(authority);
    psql(house, &format!("sslmode=verify-full&sslrootcert={}", file.display()))
}

#[tokio::test]
async fn both_sides_are_encrypted_and_each_proves_itself_to_the_other() {
    let mut house = house_with_tls().await;
    house.serve().await.unwrap();
    // A client that demands to know the gate, and one that trusts somebody else.
    let info = "\\conninfo\nSELECT 'read ' || count(*) FROM products;\n";
    let said = verified_by(&house, "ca.pem").run(info).await.unwrap().success().unwrap();
    assert!(said.stdout.contains("TLSv1.3") && said.stdout.contains("read 200"), "{said:?}");
    let said = verified_by(&house, "other-ca.pem").run(info).await.unwrap();
    assert!(said.code == Some(2) && said.stderr.contains("certificate verify failed"), "{said:?}");
    // The gate's own connections to the server.
    let own = "SELECT bool_and(ssl) AND count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
               WHERE usename IN ('reporting_ro', 'shop_rw')";
    let waiting = verified_by(&house, "ca.pem")
        .start_script("DELETE FROM order_items WHERE id = 3 RETURNING 'gone ' || id;")
        .unwrap();
    let held = Held::seen_by(&waiting).await.unwrap();
    assert!(held.link.starts_with("https://"), "{held:?}");
    assert_eq!(house.truth(own).await.unwrap(), "t");
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(waiting).await;
    assert!(out.contains("gone 3"), "{out} {err}");
    // Ctrl-C reaches a statement that waits.
    let mut waiting =
        verified_by(&house, "ca.pem").start_script("DELETE FROM order_items WHERE id = 4;").unwrap();
    Held::seen_by(&waiting).await.unwrap();
    waiting.signal("INT").unwrap();
    waiting.ended(WITHIN).await.unwrap();
    assert!(waiting.said().contains("canceling statement due to user request"), "{}", waiting.said());
}

/// Speaks TLS with the gate, at once or after asking for it, and names these protocols. None where the gate refuses.
async fn speak_tls(house: &House, at_once: bool, protocols: &[&str]) -> Option<Raw> {
    let mut tls = dial_tls(house, at_once, protocols).await?;
    // In TLS 1.3 the client is done before it can hear that it is refused.
    tls.write_all(&startup_of(AGENT, 2, &[])).await.ok()?;
    match tls.read_u8().await {
        Ok(first) => {
            assert_eq!(first, b'R', "asks for the token");
            let mut rest = [0; 8];
            tls.read_exact(&mut rest).await.unwrap();
            Some(Raw::over(tls))
        }
        Err(_) => None,
    }
}

#[tokio::test]
async fn tls_is_spoken_at_once_by_its_name_or_after_asking_for_it_and_cancels_go_either_way() {
    let mut house = house_with_tls().await;
    house.serve().await.unwrap();
    for (at_once, protocols, opens) in [
        (true, vec!["postgresql"], true),
        (true, vec!["h2", "postgresql"], true),
        (true, vec![], false),
        (true, vec!["http/1.1"], false),
        (false, vec![], true),
        (false, vec!["postgresql"], true),
        (false, vec!["http/1.1"], false),
    ] {
        let raw = speak_tls(&house, at_once, &protocols).await;
        assert_eq!(raw.is_some(), opens, "at once: {at_once}, {protocols:?}");
        let Some(mut raw) = raw else { continue };
        raw.login_with(&[], &house).await;
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
        // A cancel request comes over TLS of either kind, and in clear.
        for way in [Some(true), Some(false), None] {
            raw.send(&query("DELETE FROM order_items WHERE id = 5")).await;
            raw.held().await;
            let other = match way {
                None => Raw::dial(&house).await,
                Some(at_once) => Raw::over(dial_tls(&house, at_once, &["postgresql"]).await.unwrap()),
            };
            raw.canceller().cancel_over(other).await;
            let said = raw.until(b'Z').await;
            assert_eq!(sqlstate(&said).as_deref(), Some("57014"), "{way:?}: {said:?}");
        }
    }
}

/// TLS of a client that trusts the house's authority.
fn client_of(house: &House) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(house.folder().join("ca.pem")).unwrap()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// TLS over which nothing is said yet.
async fn dial_tls(house: &House, at_once: bool, protocols: &[&str]) -> Option<TlsStream<TcpStream>> {
    let mut config = ClientConfig::clone(&client_of(house));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, house.ports.gate)).await.unwrap();
    if !at_once {
        stream.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'S');
    }
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()
}

/// PostgreSQL's own client library of version 18, which asks for no less than protocol 3.2, speaks TLS at once, and sends
/// its cancel requests over TLS.
const NEWEST_LIBRARY: &str = "
import psycopg, threading
assert psycopg.pq.version() >= 180000
held = threading.Event()
with psycopg.connect(autocommit=True) as conn:
    print(conn.execute('SELECT count(*) FROM products').fetchone()[0])
    conn.add_notice_handler(lambda notice: held.set())
    watch = threading.Thread(target=lambda: (held.wait(60), conn.cancel_safe()))
    watch.start()
    try:
        conn.execute('DELETE FROM order_items WHERE id = 6')
    except psycopg.errors.QueryCanceled:
        print('cancelled')
    watch.join()
";

#[tokio::test]
async fn the_newest_client_library_is_spoken_to_in_its_newest_ways() {
    let mut house = house_with_tls().await;
    house.serve().await.unwrap();
    for negotiation in ["direct", "postgres"] {
        let url = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user={AGENT} dbname=shop sslmode=verify-full \
             sslnegotiation={negotiation} min_protocol_version=3.2 max_protocol_version=latest",
            house.ports.gate
        );
        let program = NEWEST_LIBRARY.replace("connect(", &format!("connect({url:?}, "));
        let mut python = Command::new(clients::python().unwrap());
        python.args(["-c", &program]).env("PGPASSWORD", &house.token);
        let done = python.env("PGSSLROOTCERT", house.folder().join("ca.pem")).output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        assert_eq!(out, "200\ncancelled\n", "{negotiation}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test]
async fn a_server_that_cannot_show_its_name_gets_no_credential() {
    for (from, to) in [
        ("ca = \"ca.pem\"", "ca = \"other-ca.pem\""),
        ("server_name = \"db.house.invalid\"", "server_name = \"db.other.invalid\""),
    ] {
        let house = house_with_tls().await;
        configure(&house, from, to);
        let served = house.countersign.run(&["serve"]).await.unwrap();
        assert_ne!(served.code, Some(0), "{served:?}");
        let why = served.stderr.to_lowercase();
        assert!(why.contains("certificate"), "{to}: {served:?}");
        let used = "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('reporting_ro', 'shop_rw')";
        assert_eq!(house.truth(used).await.unwrap(), "0");
    }
}

#[tokio::test]
async fn the_pages_are_served_over_tls() {
    let mut house = house_with_tls().await;
    house.serve().await.unwrap();
    let url = format!("https://localhost:{}/", house.ports.web);
    let ask = |authority: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sSL", "--cacert"]).arg(house.folder().join(authority)).arg(&url).output().unwrap()
    };
    let good = ask("ca.pem");
    assert!(good.status.success() && !good.stdout.is_empty(), "{good:?}");
    assert!(!ask("other-ca.pem").status.success());
    let plan = house.folder().join("plan.json");
    fs::write(&plan, a_plan_of_the_docs()).unwrap();
    let propose = |more: &[&str], url: &str| {
        let token = format!("Authorization: Bearer {}", house.token);
        // As docs/clients.md writes it.
        let plan = format!("@{}", plan.display());
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", &token, "--json", &plan]).args(more);
        String::from_utf8(curl.arg(format!("{url}api/v1/targets/shop/plans")).output().unwrap().stdout)
            .unwrap()
    };
    let ca = house.folder().join("ca.pem").display().to_string();
    let said = propose(&["--cacert", &ca], &url);
    assert!(said.contains(r#""state":"pending""#), "{said}");
    // A proxy that encrypts anew, and says that its own client did not.
    let said = propose(&["--cacert", &ca, "-H", "X-Forwarded-Proto: http"], &url);
    assert!(said.contains(r#""status":403"#) && said.contains("over TLS only"), "{said}");
    assert_eq!(propose(&[], &url.replace("https", "http")), "");
    let clear = Command::new("curl").args(["-sS", &url.replace("https", "http")]).output().unwrap();
    assert!(!clear.status.success(), "{clear:?}");
}

fn a_plan_of_the_docs() -> String {
    let page = countersign_sim::scratch::work_tree().join("docs/clients.md");
    let page = fs::read_to_string(page).unwrap();
    let plan = page.split("cat > plan.json <<'END'\n").nth(1).and_then(|rest| rest.split("\nEND\n").next());
    plan.expect("an example").to_owned()
}
