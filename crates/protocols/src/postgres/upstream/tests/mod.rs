//! The connector against a real PostgreSQL, and against servers that lie.

mod cluster;
mod masks;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::codec::backend::{self, Backend};
use super::super::codec::write::frame;
use super::super::codec::{Limits, RawMessage, write_frontend as write};
use super::*;
use cluster::{Cluster, PASSWORD};

async fn receive(upstream: &mut Upstream) -> RawMessage {
    loop {
        if let Some(message) = backend::next_message(&mut upstream.leftover, Limits::BACKEND).unwrap() {
            return message;
        }
        let read = upstream.stream.read_buf(&mut upstream.leftover).await.unwrap();
        assert!(read > 0, "the server is gone");
    }
}

/// Runs a simple query and returns all messages up to ReadyForQuery.
async fn query(upstream: &mut Upstream, sql: &str) -> Vec<RawMessage> {
    let mut out = BytesMut::new();
    write::query(&mut out, sql).unwrap();
    upstream.stream.write_all(&out).await.unwrap();
    let mut messages = Vec::new();
    loop {
        let message = receive(upstream).await;
        match backend::parse(&message).unwrap() {
            Backend::ReadyForQuery(_) => return messages,
            Backend::ErrorResponse(fields) => panic!("{sql}: {:?}", fields.text(b'M')),
            _ => messages.push(message),
        }
    }
}

/// The first value of the first row.
async fn value(upstream: &mut Upstream, sql: &str) -> String {
    for message in query(upstream, sql).await {
        if let Backend::DataRow(row) = backend::parse(&message).unwrap() {
            let value = row.columns().next().unwrap().unwrap().unwrap();
            return String::from_utf8(value.to_vec()).unwrap();
        }
    }
    panic!("no row")
}

async fn with_roles(cluster: &Cluster) -> Upstream {
    let mut admin = connect(&cluster.admin()).await.unwrap();
    for sql in [
        "create role trusty login".to_owned(),
        format!("create role scrammy login password '{PASSWORD}'"),
        format!("create role cleary login password '{PASSWORD}'"),
        "set password_encryption = 'md5'".to_owned(),
        format!("create role hashy login password '{PASSWORD}'"),
    ] {
        query(&mut admin, &sql).await;
    }
    admin
}

#[tokio::test]
async fn the_right_password_is_let_in_and_no_other() {
    let cluster = Cluster::start();
    with_roles(&cluster).await;
    let login = |user, password, tls| {
        let config = cluster.config(user, password, tls);
        async move { connect(&config).await }
    };
    for tls in [TlsMode::Disable, cluster.tls()] {
        for user in ["scrammy", "hashy"] {
            let mut upstream = login(user, Some(PASSWORD), tls.clone()).await.unwrap();
            assert_eq!(value(&mut upstream, "select current_user").await, user);
            let wrong = login(user, Some("wrong"), tls.clone()).await.unwrap_err();
            assert!(matches!(&wrong, UpstreamError::Refused { code, .. } if code == "28P01"), "{wrong}");
            let none = login(user, None, tls.clone()).await.unwrap_err();
            assert!(matches!(none, UpstreamError::PasswordMissing { .. }), "{none}");
        }
        let upstream = login("trusty", None, tls.clone()).await.unwrap();
        assert!(upstream.key.is_some_and(|key| key.secret.len() == 4));
        assert!(upstream.parameters.contains(&("client_encoding".into(), "UTF8".into())));
    }
    let clear = login("cleary", Some(PASSWORD), TlsMode::Disable).await.unwrap_err();
    assert!(matches!(clear, UpstreamError::CleartextRefused), "{clear}");
    let mut upstream = login("cleary", Some(PASSWORD), cluster.tls()).await.unwrap();
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(value(&mut upstream, sql).await, "t");
}

#[tokio::test]
async fn settings_reach_the_server_and_reserved_ones_are_refused() {
    let cluster = Cluster::start();
    let mut config = cluster.admin();
    config.options = vec![("statement_timeout".to_owned(), "1234ms".to_owned())];
    let mut upstream = connect(&config).await.unwrap();
    assert_eq!(value(&mut upstream, "show statement_timeout").await, "1234ms");
    assert_eq!(value(&mut upstream, "show application_name").await, "countersign");
    for name in ["Replication", "user", "options", ""] {
        config.options = vec![(name.to_owned(), "true".to_owned())];
        let refused = connect(&config).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::Config { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_server_with_another_certificate_is_refused() {
    let cluster = Cluster::start();
    with_roles(&cluster).await;
    let TlsMode::Require { roots, server_name } = cluster.tls() else { panic!("no TLS") };
    let (other_roots, ..) = cluster::server_certificate();
    let wrong = [
        TlsMode::Require { roots: other_roots, server_name },
        TlsMode::Require { roots: Arc::clone(&roots), server_name: "other.example.test".to_owned() },
        TlsMode::Require { roots: Arc::clone(&roots), server_name: "127.0.0.1".to_owned() },
        TlsMode::Require { roots: Arc::new(RootCertStore::empty()), server_name: "db.example.test".into() },
    ];
    for tls in wrong {
        let refused = connect(&cluster.config("trusty", None, tls.clone())).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::Tls { .. }), "{refused}");
        let key = BackendKey { pid: 1, secret: vec![0; 4] };
        assert!(cancel(&cluster.tcp(), &tls, &key).await.is_err());
    }
    let tls = TlsMode::Require { roots, server_name: "not a name".to_owned() };
    let refused = connect(&cluster.config("trusty", None, tls)).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Config { .. }), "{refused}");
}

#[tokio::test]
async fn a_cancel_stops_what_runs() {
    let cluster = Cluster::start();
    for (address, tls) in [(cluster.unix(), TlsMode::Disable), (cluster.tcp(), cluster.tls())] {
        let mut upstream = connect(&cluster.admin()).await.unwrap();
        let mut out = BytesMut::new();
        let sql = "do $$ begin raise notice 'running'; perform pg_sleep(600); end $$";
        write::query(&mut out, sql).unwrap();
        upstream.stream.write_all(&out).await.unwrap();
        assert_eq!(receive(&mut upstream).await.tag, b'N');
        let key = upstream.key.clone().unwrap();
        cancel(&address, &tls, &key).await.unwrap();
        let message = receive(&mut upstream).await;
        let Backend::ErrorResponse(fields) = backend::parse(&message).unwrap() else { panic!("no error") };
        assert_eq!(fields.sqlstate(), "57014");
    }
}

/// A server that reads the startup packet and then says `script`, one part for each message it gets.
async fn lying(script: Vec<Vec<u8>>) -> UpstreamConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut got = BytesMut::with_capacity(4096);
        for part in script {
            let _ = socket.read_buf(&mut got).await;
            let _ = socket.write_all(&part).await;
        }
        // Holds the connection until the other side is done with it.
        while socket.read_buf(&mut got).await.is_ok_and(|read| read > 0) {}
    });
    UpstreamConfig {
        address: Address::Tcp { host: "127.0.0.1".to_owned(), port },
        tls: TlsMode::Disable,
        user: "etl".to_owned(),
        database: "shop".to_owned(),
        password: Some(Password::new(PASSWORD.to_owned())),
        application_name: String::new(),
        options: Vec::new(),
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame(&mut out, tag, |out| out.extend_from_slice(body));
    out.to_vec()
}

#[tokio::test]
async fn a_server_that_skips_its_own_proof_is_not_believed() {
    let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let okay = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    let at_once = connect(&lying(vec![sasl.clone(), okay.clone()]).await).await.unwrap_err();
    assert!(matches!(at_once, UpstreamError::Unexpected { .. }), "{at_once}");
    let challenge = message(b'R', b"\0\0\0\x0br=forged,s=AAAA,i=4096");
    let forged = connect(&lying(vec![sasl, challenge]).await).await.unwrap_err();
    assert!(matches!(forged, UpstreamError::Scram { .. }), "{forged}");
    let plus = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0OAUTHBEARER\0\0");
    let unknown = connect(&lying(vec![plus]).await).await.unwrap_err();
    assert!(matches!(unknown, UpstreamError::UnknownAuthentication { .. }), "{unknown}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = lying(Vec::new()).await;
    config.address =
        Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut got = BytesMut::with_capacity(4096);
        socket.read_buf(&mut got).await.unwrap();
        socket.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).await.unwrap();
        got.clear();
        socket.read_buf(&mut got).await.unwrap();
        let first = String::from_utf8_lossy(&got).into_owned();
        let nonce = first.split_once(",r=").unwrap().1;
        let challenge = format!("\0\0\0\x0br={nonce}more,s=c2FsdHNhbHQ=,i=4096");
        socket.write_all(&message(b'R', challenge.as_bytes())).await.unwrap();
        socket.read_buf(&mut got).await.unwrap();
        let proof = b"\0\0\0\x0cv=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let okay = [message(b'R', proof), message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        socket.write_all(&okay).await.unwrap();
        socket
    });
    let refused = connect(&config).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Scram { .. }), "{refused}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_or_sense_is_refused() {
    let roots = cluster::server_certificate().0;
    let tls = TlsMode::Require { roots, server_name: cluster::SERVER_NAME.to_owned() };
    let mut config = lying(vec![b"N".to_vec()]).await;
    config.tls = tls.clone();
    let refused = connect(&config).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::TlsRefused), "{refused}");
    // Bytes slipped in behind the S are taken as TLS, which they are not.
    let mut config = lying(vec![[&b"S"[..], &message(b'R', &[0; 4]), &message(b'Z', b"I")].concat()]).await;
    config.tls = tls;
    let refused = connect(&config).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Tls { .. }), "{refused}");
    let endless = message(b'N', b"\0").repeat(START_MESSAGES_MAX + 1);
    for (nonsense, tag) in [(b"HTTP/1.1 400 Bad Request\r\n".to_vec(), 'H'), (endless, 'N')] {
        let refused = connect(&lying(vec![nonsense]).await).await.unwrap_err();
        assert!(
            matches!(refused, UpstreamError::Codec(_) | UpstreamError::Unexpected { .. }),
            "{tag} {refused}"
        );
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_without_end() {
    let short = Duration::from_millis(50);
    let config = lying(Vec::new()).await;
    let late = connect_within(&config, CONNECT_WAIT_MAX, short).await.unwrap_err();
    assert!(matches!(late, UpstreamError::Timeout { what: "finish authentication", .. }), "{late}");
    let mut config = lying(Vec::new()).await;
    let roots = cluster::server_certificate().0;
    config.tls = TlsMode::Require { roots, server_name: cluster::SERVER_NAME.to_owned() };
    let late = connect_within(&config, short, AUTHENTICATION_WAIT_MAX).await.unwrap_err();
    assert!(matches!(late, UpstreamError::Timeout { what: "accept a connection", .. }), "{late}");
}

#[test]
fn only_loopback_and_unix_sockets_go_without_tls() {
    let plain = |ip: &str| may_be_plain(Some(ip.parse().unwrap())).is_ok();
    assert!(plain("127.0.0.1") && plain("::1") && plain("::ffff:127.0.0.1") && may_be_plain(None).is_ok());
    assert!(!plain("10.0.0.1") && !plain("0.0.0.0") && !plain("::ffff:10.0.0.1") && !plain("fe80::1"));
}

#[test]
fn a_password_is_never_printed() {
    assert_eq!(format!("{:?}", Password::new("hush".to_owned())), "Password(…)");
}
