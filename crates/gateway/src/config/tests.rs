//! What a configuration promises: nothing unknown, no secret written out, nothing in clear over a network.

use super::*;
use proptest::prelude::*;

const BASE: &str = r#"
public_url = "http://localhost:8180"
first_approver = "ada"
[log]
origin = "gate.example/log/1"
[web]
listen = "127.0.0.1:8180"
[[people]]
name = "ada"
groups = ["approvers"]
[[agents]]
name = "etl-agent"
owner = "ada"
[targets.shop]
env = "prod"
listen = "127.0.0.1:6432"
address = "127.0.0.1:5432"
tls = "disable"
databases = { shop = { catalogue = "catalogue/shop.toml" } }
catalogue_role = { role = "reader", password = { env = "READER" } }
"#;

fn parsed(text: &str) -> Result<Config, ConfigError> {
    parse(Path::new("/etc/countersign/countersign.toml"), text)
}

fn refused(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "the sample has no `{from}`");
    parsed(&BASE.replace(from, to)).expect_err("refused").to_string()
}

#[test]
fn the_sample_is_taken_and_its_paths_are_seen_from_its_folder() {
    let config = parsed(BASE).expect("a configuration");
    assert_eq!(config.data_dir, Path::new("/etc/countersign/data"));
    assert_eq!(config.rp_id, "localhost");
    let shop = config.targets.values().next().expect("a target");
    assert_eq!(shop.databases["shop"], Path::new("/etc/countersign/catalogue/shop.toml"));
    assert_eq!(config.groups().len(), 1);
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = refused("owner = \"ada\"", "owner = \"ada\"\nowners = \"ada\"");
    assert!(error.starts_with("/etc/countersign/countersign.toml:14: unknown field `owners`"), "{error}");
    assert!(refused("[web]", "[web]\nport = 1").contains("unknown field `port`"));
}

#[test]
fn a_secret_that_is_written_out_is_refused_and_not_repeated() {
    let error = refused("{ env = \"READER\" }", "\"hunter2\"");
    assert!(error.contains("found a secret written out") && error.contains("{ env = \"NAME\" }"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    assert!(error.contains(".toml:20:"), "{error}");
    assert!(refused("{ env = \"READER\" }", "{ value = \"x\" }").contains("unknown field `value`"));
    assert!(refused("{ env = \"READER\" }", "{ env = \"A\", file = \"b\" }").contains("one of env and file"));
    assert!(refused("{ env = \"READER\" }", "{ }").contains("expected env or file"));
    let pasted = "csk1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let line = format!("{{ id = \"{pasted}\", verifier = \"x\", issued_at = \"x\", expires_at = \"x\" }}");
    for written in [format!("\"{pasted}\""), line] {
        let error = refused("name = \"etl-agent\"", &format!("name = \"etl-agent\"\nkey = {written}"));
        assert!(!error.contains("csk1") && error.contains("countersign token key"), "{error}");
    }
}

#[test]
fn a_server_without_tls_is_taken_on_loopback_and_unix_sockets_only() {
    let unix = BASE.replace("\"127.0.0.1:5432\"", "{ unix = \"/run/postgresql\", port = 5432 }");
    assert!(parsed(&unix).expect("a socket").targets.values().all(|t| t.tls.is_none()));
    for near in ["localhost:5432", "[::1]:5432"] {
        assert!(parsed(&BASE.replace("127.0.0.1:5432", near)).is_ok(), "{near}");
    }
    for far in ["db.example:5432", "10.0.0.1:5432", "127.0.0.1.example:5432", "0.0.0.0:5432"] {
        assert!(refused("127.0.0.1:5432", far).contains("neither on loopback"), "{far}");
    }
    let error = refused("tls = \"disable\"", "tls = \"prefer\"");
    assert!(error.contains("`targets.shop.tls`") && error.contains("\"prefer\""), "{error}");
}

#[test]
fn nothing_listens_on_a_network_in_clear() {
    assert!(refused("listen = \"127.0.0.1:6432\"", "listen = \"0.0.0.0:6432\"").contains("client_tls"));
    assert!(refused("listen = \"127.0.0.1:8180\"", "listen = \"0.0.0.0:8180\"").contains("web.tls"));
}

#[test]
fn passkeys_need_an_address_that_browsers_trust() {
    for bad in
        ["http://gate.example", "https://", "ftp://localhost", "https://a b", "https://gate.example/inbox"]
    {
        assert!(refused("http://localhost:8180", bad).contains("public_url"), "{bad}");
    }
    let other = BASE.replace("[web]", "[web]\nrp_id = \"example.org\"");
    assert!(parsed(&other).expect_err("refused").to_string().contains("web.rp_id"));
    let parent = BASE
        .replace("http://localhost:8180", "https://gate.example.org")
        .replace("[web]", "[web]\nrp_id = \"example.org\"");
    assert_eq!(parsed(&parent).expect("a parent").rp_id, "example.org");
}

#[test]
fn the_first_approver_is_somebody() {
    assert!(
        refused("first_approver = \"ada\"", "first_approver = \"eve\"")
            .contains("`eve` is none of [[people]]")
    );
}

#[test]
fn numbers_are_bounded_and_masks_are_known() {
    assert!(refused("[web]", "[limits]\nholds_max = 0\n[web]").contains("expected 1 to"));
    assert!(
        refused("[web]", "[masks]\n\"pii.email\" = \"blur\"\n[web]")
            .contains("expected `null`, `fixed`, `token`")
    );
    assert!(refused("[web]", "[masks]\n\"PII\" = \"null\"\n[web]").contains("expected a label"));
}

#[test]
fn a_policy_file_that_is_not_there_is_missed() {
    let error = refused("[web]", "[policy]\nfiles = [\"nowhere/*.cedar\"]\n[web]");
    assert!(error.contains("policy.files") && error.contains("nowhere"), "{error}");
}

#[test]
fn what_init_writes_is_a_configuration() {
    let text =
        include_str!("../commands/init.toml").replace("APPROVER", "ada").replace("ORIGIN", "x.example/1");
    let config = parsed(&text).expect("a configuration");
    // With every line that is commented out but is one of ours, too.
    assert!(config.targets.is_empty());
    let target: String = text
        .lines()
        .skip_while(|line| !line.starts_with("# [targets.shop]"))
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .filter(|line| !line.starts_with("# "))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = parsed(&format!("{text}\n{target}")).expect("with the sample target");
    assert_eq!(config.targets.len(), 1);
}

#[test]
fn a_secret_is_read_from_its_file_without_its_line_break() {
    let path = std::env::temp_dir().join(format!("countersign-secret-{}", std::process::id()));
    std::fs::write(&path, "hunter2\r\n").expect("written");
    let read = SecretRef::File(path.clone()).read().expect("a secret");
    assert_eq!(read.expose(), "hunter2");
    std::fs::write(&path, "\n").expect("written");
    assert!(SecretRef::File(path.clone()).read().is_err());
    std::fs::remove_file(&path).expect("removed");
    assert!(SecretRef::File(path).read().is_err());
    assert!(SecretRef::Env("COUNTERSIGN_NO_SUCH_VARIABLE".to_owned()).read().is_err());
}

proptest! {
    #[test]
    fn whatever_is_written_there_is_an_error_and_no_panic(text in ".{0,200}") {
        prop_assert!(parsed(&text).is_err());
        let _ = parsed(&format!("{BASE}\n{text}"));
    }
}
