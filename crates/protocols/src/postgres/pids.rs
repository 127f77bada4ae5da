//! Which process id a client was told for a session that the server knows by another: a notification names its sender,
//! and clients know each other, and themselves, by what they were told. Knows no socket.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Sessions that are over and still known: what they sent may reach a listener after their end.
const ENDED_MAX: usize = 1024;

/// The sessions of one gate that have a connection to its server, and the last that had.
#[derive(Debug, Default)]
pub struct Pids {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    /// The server's, and what the client was told.
    told: HashMap<i32, i32>,
    /// Those that are over, the first first.
    ended: VecDeque<(i32, i32)>,
}

impl Pids {
    /// A session has this connection from now on.
    pub fn begin(&self, server: i32, told: i32) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.told.insert(server, told);
        // It may have had the same one before.
        all.ended.retain(|ended| *ended != (server, told));
    }

    /// It has not any more. What another session has got since stays.
    pub fn end(&self, server: i32, told: i32) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.ended.push_back((server, told));
        if all.ended.len() > ENDED_MAX
            && let Some((server, told)) = all.ended.pop_front()
            && all.told.get(&server) == Some(&told)
        {
            all.told.remove(&server);
        }
    }

    /// What the client of that session was told; none where it is no session of this gate and none of the last that were.
    /// Whoever got the number of one of those past the gate is taken for it.
    pub fn told(&self, server: i32) -> Option<i32> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).told.get(&server).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{ENDED_MAX, Pids};

    /// So many other sessions come and go, each with a number of its own.
    fn others(pids: &Pids, from: i32, count: usize) {
        for other in (from..).take(count) {
            pids.begin(other, -other);
            pids.end(other, -other);
        }
    }

    #[test]
    fn a_session_is_known_for_a_while_after_its_end_and_not_for_ever() {
        let pids = Pids::default();
        pids.begin(7, 100);
        pids.end(7, 100);
        others(&pids, 1000, ENDED_MAX - 1);
        assert_eq!((pids.told(7), pids.told(8)), (Some(100), None));
        others(&pids, 9000, 1);
        assert_eq!(pids.told(7), None);
    }

    #[test]
    fn a_number_that_the_server_gave_again_is_not_forgotten_with_its_first_session() {
        let pids = Pids::default();
        pids.begin(7, 100);
        pids.begin(7, 200);
        pids.end(7, 100);
        others(&pids, 1000, ENDED_MAX);
        assert_eq!(pids.told(7), Some(200));
    }
}
