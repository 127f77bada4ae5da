//! Agents with client certificates: whoever shows one of an authority that is believed, with the agent's own name in it,
//! is let in, and nobody else.

use crate::shared::{OTHER_AGENT, WITHIN, ended, issue};
use crate::{configure, house_with_tls};
use countersign_sim::configured::add;
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::process::Finished;
use countersign_sim::psql::Psql;
use countersign_sim::running::Output;
use countersign_sim::scratch::write_private;
use countersign_sim::tls::Authority;
use std::fs;

const READS: &str = "SELECT 'read ' || count(*) FROM products;\n";
const REFUSED: &str = "this agent is let in by its client certificate over TLS";
const URI: &str = "spiffe://house.invalid/etl";
const HOST: &str = "report.house.invalid";
/// An agent that shows tokens.
const TOKENS: &str = "token-agent";

/// A house that believes an authority of clients; the agents above and one with tokens.
async fn house_with_certificates() -> (House, Authority) {
    let house = house_with_tls().await;
    let authority = Authority::new("of clients").unwrap();
    fs::write(house.folder().join("clients.pem"), authority.certificate_pem()).unwrap();
    let key = "client_tls = { cert = \"gate.pem\", key = \"gate.key\"";
    configure(&house, key, &format!("{key}, client_authorities = \"clients.pem\""));
    let role = "default_role = { role = \"shop_rw\", password = { file = \"secrets/shop_rw\" } }";
    configure(&house, "\nenv = \"prod\"", &format!("\nenv = \"prod\"\n{role}"));
    let pipeline = "pipeline = \"nightly-features\"\n";
    configure(&house, pipeline, &format!("{pipeline}certificate = \"{URI}\"\n"));
    let agent = |name: &str, more: &str| {
        format!("[[agents]]\nname = \"{name}\"\ngroups = [\"agents\"]\nowner = \"grace\"\n{more}\n")
    };
    let of_host = format!("certificate = \"{HOST}\"\n");
    add(house.folder(), &[agent(OTHER_AGENT, &of_host), agent(TOKENS, "")].concat()).unwrap();
    (house, authority)
}

/// Writes a certificate and its key; the file's name stands for both.
fn write(house: &House, authority: &Authority, name: &str, names: &[&str], days: (i64, i64)) -> String {
    let issued = authority.issue_to_client(names, days).unwrap();
    let path = house.folder().join(name);
    fs::write(path.with_extension("pem"), issued.certificate_pem).unwrap();
    write_private(&path.with_extension("key"), &issued.key_pem).unwrap();
    path.display().to_string()
}

fn psql_with(house: &House, agent: &str, shown: Option<&str>, secret: &str) -> Psql {
    let own = match shown {
        Some(file) => format!("&sslcert={file}.pem&sslkey={file}.key"),
        None => "&sslcert=/nowhere".to_owned(),
    };
    let url = format!(
        "postgresql://{agent}@127.0.0.1:{}/shop?sslmode=verify-full&sslrootcert={}{own}",
        house.ports.gate,
        house.folder().join("ca.pem").display()
    );
    Psql::new(&url, secret).unwrap().option("-At")
}

async fn read_as(house: &House, agent: &str, shown: Option<&str>, secret: &str) -> Finished {
    psql_with(house, agent, shown, secret).run(READS).await.unwrap()
}

fn is_in(said: &Finished) -> bool {
    said.code == Some(0) && said.stdout.contains("read 200")
}

#[tokio::test]
async fn a_certificate_lets_its_agent_in_and_nothing_else_does() {
    let (mut house, authority) = house_with_certificates().await;
    house.serve().await.unwrap();
    let etl = write(&house, &authority, "etl", &[URI], (-1, 30));
    let report = write(&house, &authority, "report", &[HOST, "other.house.invalid"], (-1, 30));
    for (agent, file) in [(AGENT, &etl), (OTHER_AGENT, &report)] {
        let said = read_as(&house, agent, Some(file), "").await;
        assert!(is_in(&said), "{agent}: {said:?}");
    }
    // Nothing, a token from before, another agent's certificate, one that lives too long.
    let long = write(&house, &authority, "long", &[URI], (-1, 500));
    let several = write(&house, &authority, "several", &[URI, "spiffe://house.invalid/x"], (-1, 30));
    let wild = write(&house, &authority, "wild", &["*.house.invalid"], (-1, 30));
    for (agent, shown, why) in [
        (AGENT, None, "expected a client certificate, found none"),
        (AGENT, Some(&report), "does not hold the name of `etl-agent`"),
        (AGENT, Some(&several), "SPIFFE has one"),
        (AGENT, Some(&long), "no revocation is kept for so long"),
        (OTHER_AGENT, Some(&etl), "does not hold the name of `report-agent`"),
        (OTHER_AGENT, Some(&wild), "does not hold the name of `report-agent`"),
    ] {
        let said = read_as(&house, agent, shown.map(String::as_str), &house.token).await;
        assert!(said.code == Some(2) && said.stderr.contains(REFUSED), "{agent} {shown:?}: {said:?}");
        let told = |line: &str| line.contains(why);
        house.gate().unwrap().line(Output::Err, WITHIN, told).await.expect(why);
    }
    // Of another authority, or over: it is not even spoken to.
    let another = Authority::new("of clients").unwrap();
    let forged = write(&house, &another, "forged", &[URI], (-1, 30));
    let over = write(&house, &authority, "over", &[URI], (-30, -1));
    for shown in [&forged, &over] {
        let said = read_as(&house, AGENT, Some(shown), "").await;
        assert!(said.code == Some(2) && !said.stderr.contains(REFUSED), "{shown}: {said:?}");
    }
    let clear = format!("postgresql://{AGENT}@127.0.0.1:{}/shop?sslmode=disable", house.ports.gate);
    let said = Psql::new(&clear, &house.token).unwrap().run(READS).await.unwrap();
    assert!(said.stderr.contains(REFUSED), "{said:?}");
    // A certificate gives nobody the name of an agent that has none, and takes no token away.
    let (token, _) = issue(&house, &["--agent", TOKENS]).await;
    for shown in [None, Some(etl.as_str())] {
        assert!(is_in(&read_as(&house, TOKENS, shown, &token).await), "{shown:?}");
        assert!(!is_in(&read_as(&house, TOKENS, shown, "none").await), "{shown:?}");
    }
    let refused = house.countersign.run(&["token", "issue", "--agent", AGENT]).await.unwrap();
    assert!(refused.code != Some(0) && refused.stderr.contains("shows no tokens"), "{refused:?}");
    // What it asks for is held and approved as of anybody.
    let psql = psql_with(&house, AGENT, Some(&etl), "");
    let waiting = psql.start_script("DELETE FROM order_items WHERE id = 8 RETURNING 'gone ' || id;").unwrap();
    let held = Held::seen_by(&waiting).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(waiting).await;
    assert!(out.contains("gone 8"), "{out} {err}");
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_session_and_the_next_of_the_same_name_is_good() {
    let (mut house, authority) = house_with_certificates().await;
    house.serve().await.unwrap();
    let old = write(&house, &authority, "old", &[URI], (-1, 30));
    let next = write(&house, &authority, "next", &[URI], (-1, 30));
    let mut psql = psql_with(&house, AGENT, Some(&old), "").start().unwrap();
    psql.write("SELECT 'in';\n").unwrap();
    psql.line(Output::Out, WITHIN, |line| line == "in").await.expect("in");
    let said = house.command(&["token", "revoke", "--certificate", &format!("{old}.pem")]).await.unwrap();
    // The id is the one in the gate's own messages.
    let id = said.split_whitespace().find(|word| word.starts_with("tok_")).expect(&said);
    assert!(house.gate().unwrap().said().contains(id.trim_end_matches('.')), "{said}");
    psql.write("SELECT 'still in';\n").unwrap();
    psql.close_stdin();
    let (out, err) = ended(psql).await;
    assert!(!out.contains("still in") && err.contains("has expired or was revoked"), "{out} {err}");
    let refused = read_as(&house, AGENT, Some(&old), "").await;
    assert!(refused.stderr.contains(REFUSED), "{refused:?}");
    assert!(is_in(&read_as(&house, AGENT, Some(&next), "").await));
}

#[tokio::test]
async fn what_the_authority_has_revoked_is_refused_and_an_agent_shows_one_thing() {
    let (mut house, authority) = house_with_certificates().await;
    let good = write(&house, &authority, "good", &[URI], (-1, 30));
    let listed = write(&house, &authority, "listed", &[URI, "listed.invalid"], (-1, 30));
    let list = authority.revocations_pem(&[&[URI, "listed.invalid"]]).unwrap();
    fs::write(house.folder().join("revoked.pem"), list).unwrap();
    let before = "client_authorities = \"clients.pem\"";
    configure(&house, before, &format!("{before}, client_revocations = \"revoked.pem\""));
    house.serve().await.unwrap();
    assert!(is_in(&read_as(&house, AGENT, Some(&good), "").await));
    let said = read_as(&house, AGENT, Some(&listed), "").await;
    assert!(said.code == Some(2) && !said.stderr.contains(REFUSED), "{said:?}");

    let file = house.folder().join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    let check = async |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let said = house.countersign.run(&["check"]).await.unwrap();
        assert_ne!(said.code, Some(0), "{to}: {said:?}");
        said.stderr
    };
    let own = format!("certificate = \"{URI}\"");
    let wild = check(&text, &own, "certificate = \"*.house.invalid\"").await;
    assert!(wild.contains("without wildcards"), "{wild}");
    let twice = check(&text, &own, &format!("certificate = \"{HOST}\"")).await;
    assert!(twice.contains("is that of two agents"), "{twice}");
    let none = check(&text, "\"revoked.pem\"", "\"clients.pem\"").await;
    assert!(none.contains("expected lists of revoked certificates"), "{none}");
    let both = ", client_authorities = \"clients.pem\", client_revocations = \"revoked.pem\"";
    let nobody = check(&text, both, "").await;
    assert!(nobody.contains("say whose certificates are believed"), "{nobody}");
    let without = text.replace(&format!("{own}\n"), "").replace(&format!("certificate = \"{HOST}\"\n"), "");
    let whose = check(&without, "client_authorities = \"clients.pem\", ", "").await;
    assert!(whose.contains("client_revocations without client_authorities"), "{whose}");
    fs::write(&file, &text).unwrap();
    let made = house.countersign.run(&["token", "key", "--agent", AGENT]).await.unwrap();
    let line = made.stderr.lines().find(|line| line.starts_with("key = {")).expect("a line");
    let two = check(&text, &own, &format!("{own}\n{line}")).await;
    assert!(two.contains("an agent shows one of them"), "{two}");
}
