//! What a client may say before it is anybody: which protocol, which encryption, and what it is answered byte by byte.

use crate::shared::house;
use crate::shared::raw::extended::{cells, query};
use crate::shared::raw::text;
use crate::shared::raw::{GSS_ENC_REQUEST, Raw, SSL_REQUEST, message, packet, sqlstate, startup, startup_of};
use countersign_sim::house::AGENT;

const PROTOCOL_OPTION: &str = "_pq_.countersign";

#[tokio::test]
async fn each_client_gets_the_longest_key_that_its_protocol_takes_and_cancels_by_it() {
    let house = house().await;
    for (minor, bytes) in [(0, 4), (1, 4), (2, 32)] {
        let mut raw = Raw::dial(&house).await;
        let welcome = raw.login_with(&startup_of(AGENT, minor, &[]), &house).await;
        assert!(welcome.iter().all(|message| message.tag != b'v'), "3.{minor}: nothing is to be negotiated");
        let key = &welcome.iter().find(|message| message.tag == b'K').unwrap().body;
        assert_eq!(key.len(), 4 + bytes, "3.{minor}");
        raw.send(&query("DELETE FROM order_items WHERE id = 81")).await;
        raw.held().await;
        // A part of it is no key.
        let part =
            packet(&[&[0x04, 0xd2, 0x16, 0x2e], &key[..key.len() - 1], &[!key[key.len() - 1]]].concat());
        let mut other = Raw::dial(&house).await;
        other.send(&part).await;
        assert!(other.rest().await.is_empty());
        raw.cancel(&house).await;
        let said = raw.until(b'Z').await;
        assert_eq!(sqlstate(&said).as_deref(), Some("57014"), "3.{minor}: {said:?}");
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    }
    assert_eq!(crate::items(&house, 81).await, "1");
}

#[tokio::test]
async fn what_is_newer_than_the_gate_is_negotiated_away_before_anything_else() {
    let house = house().await;
    let option = (PROTOCOL_OPTION, "on");
    let version = |minor: u32| (0x0003_0000 | minor).to_be_bytes().to_vec();
    for (minor, more, spoken, unrecognised) in [
        (9999, vec![], 2, vec![]),
        (3, vec![option], 2, vec![PROTOCOL_OPTION]),
        (2, vec![option], 2, vec![PROTOCOL_OPTION]),
        (0, vec![option], 0, vec![PROTOCOL_OPTION]),
    ] {
        let mut raw = Raw::dial(&house).await;
        let welcome = raw.login_with(&startup_of(AGENT, minor, &more), &house).await;
        let count = u32::try_from(unrecognised.len()).unwrap().to_be_bytes().to_vec();
        let names = unrecognised.iter().flat_map(|name| text(name)).collect();
        assert_eq!((welcome[0].tag, &welcome[0].body), (b'v', &[version(spoken), count, names].concat()));
        assert_eq!(welcome[1].tag, b'R', "{welcome:?}");
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    }
    // Another protocol altogether is refused in words.
    let mut old = Raw::dial(&house).await;
    old.send(&packet(&[0, 2, 0, 0])).await;
    assert_eq!(sqlstate(&old.rest().await).as_deref(), Some("0A000"));
}

#[tokio::test]
async fn encryption_that_is_not_spoken_is_refused_and_the_session_goes_on_without() {
    let house = house().await;
    for requests in [
        vec![GSS_ENC_REQUEST],
        vec![SSL_REQUEST],
        vec![GSS_ENC_REQUEST, SSL_REQUEST],
        vec![SSL_REQUEST, GSS_ENC_REQUEST],
    ] {
        let mut raw = Raw::dial(&house).await;
        for request in &requests {
            raw.send(request).await;
            assert_eq!(raw.byte().await, Some(b'N'), "{requests:?}");
        }
        raw.login_with(&startup(AGENT), &house).await;
        assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    }
}

#[tokio::test]
async fn encryption_is_asked_for_once_and_nothing_is_said_ahead_of_the_answer() {
    let house = house().await;
    for request in [GSS_ENC_REQUEST, SSL_REQUEST] {
        let mut twice = Raw::dial(&house).await;
        twice.send(&request).await;
        assert_eq!(twice.byte().await, Some(b'N'));
        twice.send(&request).await;
        assert_eq!(sqlstate(&twice.rest().await).as_deref(), Some("0A000"));
        // What was slipped in behind the request is not taken for what comes after it.
        let mut ahead = Raw::dial(&house).await;
        ahead.send(&[&request[..], &startup(AGENT)].concat()).await;
        ahead.send(&message(b'p', &text(&house.token))).await;
        assert_eq!(ahead.byte().await, None);
    }
    // A gate without TLS hangs up on who speaks it at once.
    let mut direct = Raw::dial(&house).await;
    direct.send(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]).await;
    assert_eq!(direct.byte().await, None);
}
