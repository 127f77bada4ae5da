//! Who is measured side by side: the server itself, PgBouncer before it, and the gate. Measures nothing.

use anyhow::Result;
use countersign_sim::house::House;
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::shop;

/// Somebody who answers on a port of 127.0.0.1.
pub(super) struct Peer {
    /// As it is shown.
    pub(super) name: &'static str,
    /// A connection URL without the password.
    pub(super) url: String,
    /// The password or token.
    pub(super) password: String,
    /// The process between client and server, where there is one.
    pub(super) between: Option<u32>,
}

/// The first two are what the ratios are to.
pub(super) fn peers(house: &House, bouncer: &PgBouncer) -> Result<Vec<Peer>> {
    let peer = |name, port, between| Peer {
        name,
        url: format!("postgresql://{}@127.0.0.1:{port}/{}", shop::WRITER, shop::DATABASE),
        password: house.shop.writer_password.clone(),
        between,
    };
    Ok(vec![
        peer("direct", house.server.port(), None),
        peer("PgBouncer", bouncer.port(), Some(bouncer.running().pid())),
        Peer {
            name: "Countersign",
            url: house.url(),
            password: house.token.clone(),
            between: Some(house.gate()?.pid()),
        },
    ])
}
