//! Where a request stands, for the agent that asked it.

use super::problem::{self, ALWAYS, Problem};
use super::{Api, Peer};
use crate::api::caller::Caller;
use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{Record, State as Stands};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where it stands.
pub async fn show(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((target, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = Caller::find(&api, peer, &headers, &target)?;
    let id = RequestId::parse(&id).map_err(|_| problem::missing("request"))?;
    let own = api.desk.own_record(&caller.identity, &caller.target, &id);
    let record = own.ok_or_else(|| problem::missing("request"))?;
    Ok((ALWAYS, Json(standing(&api, &record))).into_response())
}

/// A request as its agent may know it.
pub fn standing(api: &Api, record: &Record) -> Value {
    let terms = &record.terms;
    let mut value = json!({
        "state": word(&record.state),
        "request": terms.id,
        "url": url(api, &terms.id),
        "code": terms.digest().map(|digest| digest.short()).unwrap_or_default(),
        "needs": terms.requirement.groups(),
    });
    if let (Some(until), Some(members)) = (record.deadline(), value.as_object_mut()) {
        members.insert("until".to_owned(), json!(until));
    }
    value
}

/// Where people decide it.
pub fn url(api: &Api, id: &RequestId) -> String {
    format!("{}/requests/{id}", api.public_url)
}

const fn word(state: &Stands) -> &'static str {
    match state {
        Stands::Held { .. } => "pending",
        Stands::Granted { .. } => "approved",
        Stands::Claimed { .. } | Stands::Executed { .. } => "running",
        Stands::Ended { end } => end.word(),
    }
}
