//! Another way into a gate than its socket, for what listens elsewhere in this process and speaks PostgreSQL's protocol to
//! it: the same limits, the same handshake, the same session. It opens no port.

use std::net::SocketAddr;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Those who have come in this way and are not taken up yet.
const VISITS_MAX: usize = 64;
/// Bytes on their way, for each direction.
const BUFFER_BYTES: usize = 32 << 10;

/// Who comes in this way.
pub(super) struct Visit {
    pub(super) stream: DuplexStream,
    pub(super) peer: SocketAddr,
}

/// The outer side. Whoever holds it has seen to it that tokens reach this process encrypted, or from this machine.
#[derive(Debug, Clone)]
pub struct Door {
    visits: mpsc::Sender<Visit>,
}

pub(super) fn door() -> (Door, mpsc::Receiver<Visit>) {
    let (visits, taken) = mpsc::channel(VISITS_MAX);
    (Door { visits }, taken)
}

impl Door {
    /// A connection in the name of a client at this address; none where too many wait, or the gate stops.
    pub fn enter(&self, peer: SocketAddr) -> Option<DuplexStream> {
        let (outer, stream) = tokio::io::duplex(BUFFER_BYTES);
        self.visits.try_send(Visit { stream, peer }).ok()?;
        Some(outer)
    }
}
