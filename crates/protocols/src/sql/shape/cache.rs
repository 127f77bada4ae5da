//! Analyses that need not be made again: by shape where the literals do not matter, else by the exact text. Keys are
//! compared as they are and never by a digest, so that no two texts can be mistaken for one another.

use super::write_shape;
use crate::sql::analyse::Analysis;
use crate::sql::session::SessionState;
use countersign_core::id::AgentName;
use std::collections::HashMap;
use std::sync::Arc;

/// The most analyses that are kept.
pub const CACHE_ENTRIES_MAX: usize = 4096;
/// The longest text whose analysis is kept.
pub const CACHE_TEXT_BYTES_MAX: usize = 8 << 10;
/// The most session states that are told apart at once.
const STATES_MAX: usize = 4096;

/// A session state, an agent and a version of what is known, told apart from every other such three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateId(u64);

/// An analysis that was kept.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The analysis. By shape it has no segments, no ranges and no queries: whoever needs those analyses afresh.
    pub analysis: Arc<Analysis>,
    /// It was made for a text of the same shape, perhaps with other literals.
    pub by_shape: bool,
}

type Key = (StateId, Box<[u8]>);

/// Analyses by shape and by text. Belongs to one worker; nothing here locks.
#[derive(Debug, Default)]
pub struct AnalysisCache {
    states: HashMap<(SessionState, AgentName, u64), StateId>,
    next_state: u64,
    young: HashMap<StateId, HashMap<Box<[u8]>, Arc<Analysis>>>,
    old: HashMap<StateId, HashMap<Box<[u8]>, Arc<Analysis>>>,
    young_count: usize,
    buffer: Vec<u8>,
}

const BY_SHAPE: u8 = b's';
const BY_TEXT: u8 = b't';

impl AnalysisCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of a state. Asked once whenever the state changes. `epoch` changes with the facts or the catalogue.
    pub fn state(&mut self, session: &SessionState, agent: &AgentName, epoch: u64) -> StateId {
        let key = (session.clone(), agent.clone(), epoch);
        if let Some(id) = self.states.get(&key) {
            return *id;
        }
        if self.states.len() >= STATES_MAX {
            // Ids are never used twice: a state that comes back gets another and fills its own part anew.
            self.states.clear();
        }
        let id = StateId(self.next_state);
        self.next_state = self.next_state.wrapping_add(1);
        self.states.insert(key, id);
        id
    }

    /// The analysis of a text, if one was kept that holds for it.
    pub fn find(&mut self, state: StateId, sql: &str) -> Option<Hit> {
        if sql.len() > CACHE_TEXT_BYTES_MAX {
            return None;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.push(BY_SHAPE);
        let shaped = write_shape(sql, &mut buffer).then(|| self.look_up(state, &buffer)).flatten();
        let hit = match shaped {
            Some(analysis) => Some(Hit { analysis, by_shape: true }),
            None => {
                buffer.clear();
                buffer.push(BY_TEXT);
                buffer.extend_from_slice(sql.as_bytes());
                self.look_up(state, &buffer).map(|analysis| Hit { analysis, by_shape: false })
            }
        };
        self.buffer = buffer;
        hit
    }

    /// Keeps the analysis of a text, and gives what is kept: by shape it lacks what belongs to one text, now as later.
    pub fn keep(&mut self, state: StateId, sql: &str, analysis: Analysis) -> Arc<Analysis> {
        if sql.len() > CACHE_TEXT_BYTES_MAX {
            return Arc::new(analysis);
        }
        let mut key = vec![BY_SHAPE];
        if analysis.literals_listed && write_shape(sql, &mut key) {
            let shaped = Arc::new(analysis.without_literals());
            self.insert((state, key.into()), Arc::clone(&shaped));
            return shaped;
        }
        let analysis = Arc::new(analysis);
        let key = [&[BY_TEXT], sql.as_bytes()].concat();
        self.insert((state, key.into()), Arc::clone(&analysis));
        analysis
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_count = 0;
    }

    fn look_up(&mut self, state: StateId, key: &[u8]) -> Option<Arc<Analysis>> {
        if let Some(analysis) = self.young.get(&state).and_then(|entries| entries.get(key)) {
            return Some(Arc::clone(analysis));
        }
        let (key, analysis) = self.old.get_mut(&state)?.remove_entry(key)?;
        self.insert((state, key), Arc::clone(&analysis));
        Some(analysis)
    }

    /// Puts an entry among the young; when those are many, the old ones go and the young become old.
    fn insert(&mut self, (state, key): Key, analysis: Arc<Analysis>) {
        if self.young_count >= CACHE_ENTRIES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_count = 0;
        }
        if self.young.entry(state).or_default().insert(key, analysis).is_none() {
            self.young_count += 1;
        }
    }
}
