//! Named limits of the desk, and the count of holds against them.

use countersign_core::id::AgentName;
use countersign_core::refusal::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What the desk takes at most. The names are those of the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests that wait at once, for people or for their client, whether somebody is connected or not.
    pub holds_max: u64,
    /// Requests of one agent that wait at once.
    pub holds_per_agent_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { holds_max: 10_000, holds_per_agent_max: 2_000 }
    }
}

/// How many requests wait now.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    by_agent: Arc<Mutex<HashMap<AgentName, u64>>>,
}

/// One counted hold; uncounted when dropped.
#[derive(Debug)]
pub(crate) struct CountedHold {
    agent: AgentName,
    by_agent: Arc<Mutex<HashMap<AgentName, u64>>>,
}

impl Holds {
    pub(crate) fn count(&self, agent: &AgentName, limits: &Limits) -> Result<CountedHold, Refusal> {
        let mut by_agent =
            self.by_agent.lock().map_err(|_| Refusal::Unavailable { what: "holds cannot be counted" })?;
        if by_agent.values().sum::<u64>() >= limits.holds_max {
            return Err(Refusal::Limit { name: "holds_max", value: limits.holds_max });
        }
        let own = by_agent.entry(agent.clone()).or_default();
        if *own >= limits.holds_per_agent_max {
            return Err(Refusal::Limit { name: "holds_per_agent_max", value: limits.holds_per_agent_max });
        }
        *own += 1;
        Ok(CountedHold { agent: agent.clone(), by_agent: Arc::clone(&self.by_agent) })
    }

    /// Counts one that is there already, whatever the limits say.
    pub(crate) fn count_anyway(&self, agent: &AgentName) -> Option<CountedHold> {
        *self.by_agent.lock().ok()?.entry(agent.clone()).or_default() += 1;
        Some(CountedHold { agent: agent.clone(), by_agent: Arc::clone(&self.by_agent) })
    }
}

impl Drop for CountedHold {
    fn drop(&mut self) {
        if let Ok(mut by_agent) = self.by_agent.lock() {
            if let Some(own) = by_agent.get_mut(&self.agent) {
                *own = own.saturating_sub(1);
                if *own == 0 {
                    by_agent.remove(&self.agent);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_over_the_limit_is_refused_by_the_limits_name() {
        let holds = Holds::default();
        let limits = Limits { holds_max: 3, holds_per_agent_max: 2 };
        let (a, b) = (AgentName::parse("a").expect("a name"), AgentName::parse("b").expect("a name"));
        let first = holds.count(&a, &limits).expect("first");
        let _second = holds.count(&a, &limits).expect("second");
        let own = holds.count(&a, &limits).expect_err("third of one agent");
        assert_eq!(own, Refusal::Limit { name: "holds_per_agent_max", value: 2 });
        let _third = holds.count(&b, &limits).expect("third");
        let all = holds.count(&b, &limits).expect_err("fourth of all");
        assert_eq!(all, Refusal::Limit { name: "holds_max", value: 3 });
        drop(first);
        assert!(holds.count(&b, &limits).is_ok());
    }
}
