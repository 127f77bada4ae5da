//! The parsers of `countersign-identity`: what is no proof is an error, whatever the bytes.

use countersign_core::id::{AgentName, TokenId};
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::agent_keys::{
    AgentKey, Exchange, KEY_BYTES, NONCE_BYTES, SALT_BYTES, SCRAM_BYTES_MAX, Verifier, make,
};
use std::sync::LazyLock;

/// A parser that must not panic, whatever the bytes.
pub type Target = fn(&[u8]);

/// Each target by name.
pub const TARGETS: [(&str, Target); 1] = [("identity_scram", scram)];

static KEY: LazyLock<AgentKey> = LazyLock::new(|| {
    let verifier = make(&[7; KEY_BYTES], &[8; SALT_BYTES]).1;
    let made = Timestamp::from_micros(0);
    AgentKey::new(TokenId::from_bytes([3; 10]), verifier, None, made, made.plus(Seconds(1)))
        .unwrap_or_else(|error| panic!("{error}"))
});

/// A client's side of an exchange (mechanism, first and last text, each on a line) over either kind of channel, and
/// verifiers as the configuration holds them. Nobody guesses a proof.
pub fn scram(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (mechanism, first, last) = (next(), next(), next());
    let agent = AgentName::parse("etl").unwrap_or_else(|error| panic!("{error}"));
    for end_point in [None, Some(vec![9; 32])] {
        let exchange = Exchange::new(agent.clone(), KEY.clone(), end_point);
        let mechanism = String::from_utf8_lossy(mechanism);
        if let Ok(challenged) = exchange.challenge(&mechanism, first, &[5; NONCE_BYTES]) {
            assert!(challenged.message().len() <= 2 * SCRAM_BYTES_MAX);
            assert!(challenged.prove(last).is_err());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(verifier) = Verifier::parse(&text) {
        assert_eq!(verifier.text(), text);
    }
}
