//! TLS on both sides, and on the pages: every side shows who it is, or nothing is said to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod shared;

use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::psql::Psql;
use countersign_sim::scratch_pg::Options;
use countersign_sim::tls::{Authority, Issued};
use shared::{WITHIN, ended};
use std::fs;
use std::process::Command;

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
    let clear = Command::new("curl").args(["-sS", &url.replace("https", "http")]).output().unwrap();
    assert!(!clear.status.success(), "{clear:?}");
}
