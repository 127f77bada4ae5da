//! Which process id a client was told for a session that the server knows by another: a notification names its sender,
//! and clients know each other, and themselves, by what they were told. Knows no socket.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The sessions of one gate that have a connection to its server.
#[derive(Debug, Default)]
pub struct Pids {
    /// The server's, and what the client was told.
    told: Mutex<HashMap<i32, i32>>,
}

impl Pids {
    /// A session has this connection from now on.
    pub fn begin(&self, server: i32, told: i32) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(server, told);
    }

    /// It has not any more. What another session has got since stays.
    pub fn end(&self, server: i32, told: i32) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&server) == Some(&told) {
            all.remove(&server);
        }
    }

    /// What the client of that session was told; none where it is no session of this gate.
    pub fn told(&self, server: i32) -> Option<i32> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(&server).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Pids;

    #[test]
    fn a_number_that_the_server_gave_again_is_not_forgotten_with_its_first_session() {
        let pids = Pids::default();
        pids.begin(7, 100);
        pids.begin(7, 200);
        pids.end(7, 100);
        assert_eq!((pids.told(7), pids.told(8)), (Some(200), None));
        pids.end(7, 200);
        assert_eq!(pids.told(7), None);
    }
}
