//! Our own cancel keys: what a client must show to cancel. Knows no server's key and no socket; draws no
//! randomness (bytes come in as an argument).

use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Bytes of randomness that [`CancelKeys::mint`] takes: four for the process id, the rest is secret.
pub const RANDOM_BYTES: usize = 4 + SECRET_BYTES_LONG;
/// Bytes of a secret in protocol 3.0.
pub const SECRET_BYTES_SHORT: usize = 4;
/// Bytes of a secret from protocol 3.2 on.
pub const SECRET_BYTES_LONG: usize = 32;
/// Most sessions that can hold a key at once.
pub const SESSIONS_MAX: usize = 65_536;

/// Why a key could not be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// All keys are taken.
    #[error("expected fewer than {sessions_max} sessions with a cancel key, found as many; close some")]
    Full {
        /// The limit.
        sessions_max: usize,
    },
}

/// A session, as the registry's owner names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionHandle(pub u64);

/// How long a secret the client's protocol version allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretLength {
    /// Protocol 3.0.
    Short,
    /// Protocol 3.2 and later.
    Long,
}

/// What a client is told in BackendKeyData.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// A process id, invented; always positive.
    pub pid: i32,
    /// The secret.
    pub secret: Box<[u8]>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// All keys that are out.
#[derive(Debug)]
pub struct CancelKeys {
    /// Invariant: at most `sessions_max` entries.
    by_pid: HashMap<i32, (CancelKey, SessionHandle)>,
    sessions_max: usize,
}

impl Default for CancelKeys {
    fn default() -> Self {
        Self::new(SESSIONS_MAX)
    }
}

impl CancelKeys {
    /// An empty registry for at most `sessions_max` sessions (and never more than [`SESSIONS_MAX`]).
    #[must_use]
    pub fn new(sessions_max: usize) -> Self {
        Self { by_pid: HashMap::new(), sessions_max: sessions_max.min(SESSIONS_MAX) }
    }

    /// Makes a key for a session from fresh random bytes.
    ///
    /// # Errors
    /// When as many sessions as allowed hold one.
    pub fn mint(
        &mut self,
        random: &[u8; RANDOM_BYTES],
        length: SecretLength,
        session: SessionHandle,
    ) -> Result<CancelKey, MintError> {
        if self.by_pid.len() >= self.sessions_max {
            return Err(MintError::Full { sessions_max: self.sessions_max });
        }
        let [a, b, c, d, long @ ..] = random;
        let secret: &[u8] = match length {
            SecretLength::Long => long,
            SecretLength::Short => {
                let [a, b, c, d, ..] = long;
                &[*a, *b, *c, *d]
            }
        };
        let mut pid = (i32::from_be_bytes([*a, *b, *c, *d]) & i32::MAX).max(1);
        // Ends within `sessions_max` steps, for there are far more process ids than entries.
        while self.by_pid.contains_key(&pid) {
            pid = if pid == i32::MAX { 1 } else { pid + 1 };
        }
        let key = CancelKey { pid, secret: secret.into() };
        self.by_pid.insert(pid, (key.clone(), session));
        Ok(key)
    }

    /// The session that a cancel request points at, if it shows the whole secret.
    #[must_use]
    pub fn find(&self, pid: i32, secret: &[u8]) -> Option<SessionHandle> {
        let (key, session) = self.by_pid.get(&pid)?;
        verify_slices_are_equal(&key.secret, secret).ok().map(|()| *session)
    }

    /// Forgets the key of a session that has ended.
    pub fn forget(&mut self, key: &CancelKey) {
        if self.by_pid.get(&key.pid).is_some_and(|(found, _)| found == key) {
            self.by_pid.remove(&key.pid);
        }
    }

    /// How many keys are out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether no key is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_finds_a_session() {
        let mut keys = CancelKeys::default();
        for (length, bytes) in [(SecretLength::Short, 4), (SecretLength::Long, 32)] {
            let key = keys.mint(&[9; RANDOM_BYTES], length, SessionHandle(1)).unwrap();
            assert_eq!(key.secret.len(), bytes);
            assert_eq!(keys.find(key.pid, &key.secret), Some(SessionHandle(1)));
            assert_eq!(keys.find(key.pid, &key.secret[1..]), None);
            assert_eq!(keys.find(key.pid, &[]), None);
            let mut wrong = key.secret.to_vec();
            wrong[0] ^= 1;
            assert_eq!(keys.find(key.pid, &wrong), None);
            assert_eq!(keys.find(key.pid + 5, &key.secret), None);
        }
    }

    #[test]
    fn two_sessions_never_share_a_process_id() {
        let mut keys = CancelKeys::default();
        for random in [[0xff; RANDOM_BYTES], [0; RANDOM_BYTES]] {
            let one = keys.mint(&random, SecretLength::Short, SessionHandle(1)).unwrap();
            let two = keys.mint(&random, SecretLength::Short, SessionHandle(2)).unwrap();
            assert!(one.pid > 0 && two.pid > 0 && one.pid != two.pid);
            assert_eq!(keys.find(two.pid, &two.secret), Some(SessionHandle(2)));
        }
    }

    #[test]
    fn the_registry_is_bounded_and_forgets() {
        let mut keys = CancelKeys::new(1);
        let key = keys.mint(&[1; RANDOM_BYTES], SecretLength::Short, SessionHandle(1)).unwrap();
        let full = keys.mint(&[2; RANDOM_BYTES], SecretLength::Short, SessionHandle(2));
        assert_eq!(full, Err(MintError::Full { sessions_max: 1 }));
        let stale = CancelKey { pid: key.pid, secret: [0; 4].into() };
        keys.forget(&stale);
        assert_eq!(keys.find(key.pid, &key.secret), Some(SessionHandle(1)));
        keys.forget(&key);
        assert_eq!((keys.find(key.pid, &key.secret), keys.is_empty()), (None, true));
    }
}
