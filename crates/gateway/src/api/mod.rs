//! The API for agents that have no client of PostgreSQL: a plan is proposed, looked after and run by plain HTTP calls, as
//! a client that does not wait (decision 0017). It is a client of the gate like any other: what it is told to do it says
//! to the gate in PostgreSQL's protocol, with the agent's own token. It cannot approve, and reads no cookies.

mod caller;
mod plans;
mod problem;
mod requests;

pub use caller::Peer;

use axum::Router;
use axum::routing::{any, get, post};
use countersign_core::id::{AgentName, TargetName};
use countersign_desk::Desk;
use countersign_protocols::postgres::serve::{Authenticator, Door};
use problem::Problem;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls with a plan at once. Each keeps its body in memory.
const CALLS_MAX: usize = 64;
/// Of one agent.
const CALLS_PER_AGENT_MAX: usize = 8;

/// What the calls need.
pub struct Api {
    desk: Desk,
    authenticator: Arc<Authenticator>,
    doors: BTreeMap<TargetName, Door>,
    public_url: String,
    places: Arc<Semaphore>,
    by_agent: Mutex<HashMap<AgentName, usize>>,
}

impl Api {
    /// The API of these gates, for an inbox that people reach at this URL.
    pub fn new(
        desk: Desk,
        authenticator: Arc<Authenticator>,
        doors: BTreeMap<TargetName, Door>,
        public_url: String,
    ) -> Self {
        let places = Arc::new(Semaphore::new(CALLS_MAX));
        Self { desk, authenticator, doors, public_url, places, by_agent: Mutex::default() }
    }

    // Whoever does not get a place is told so before anything of the body is read.
    fn place_of(self: &Arc<Self>, agent: &AgentName) -> Result<Place, Problem> {
        let all = Arc::clone(&self.places).try_acquire_owned();
        let all = all.map_err(|_| problem::busy("calls_max", CALLS_MAX))?;
        let mut by_agent = self.by_agent.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_agent.entry(agent.clone()).or_default();
        if *own >= CALLS_PER_AGENT_MAX {
            return Err(problem::busy("calls_per_agent_max", CALLS_PER_AGENT_MAX));
        }
        *own += 1;
        Ok(Place { api: Arc::clone(self), agent: agent.clone(), _all: all })
    }
}

/// One call, counted; uncounted when dropped.
struct Place {
    api: Arc<Api>,
    agent: AgentName,
    _all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_agent = self.api.by_agent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_agent.get_mut(&self.agent) {
            *own -= 1;
            if *own == 0 {
                by_agent.remove(&self.agent);
            }
        }
    }
}

/// All routes.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v1/targets/{target}/plans", post(plans::propose))
        .route("/api/v1/targets/{target}/requests/{id}", get(requests::show))
        .route("/api/{*rest}", any(problem::nothing_here))
        .with_state(api)
}
