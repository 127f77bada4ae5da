//! One connection: takes messages, waits for either side, and ends in good order.

use super::super::action::Site;
use super::super::codec::frontend::{self, Frontend};
use super::super::codec::{CodecError, Limits, RawMessage, TransactionStatus};
use super::super::reply::{Replies, ReplyError};
use super::super::session::Session;
use super::super::wording;
use super::accept::{AgentPlace, Shared};
use super::cancels::{CancelPlace, CancelSignal};
use super::client::{ClientStream, make_room, shrink};
use super::copying::Copying;
use super::exchange::UNDONE;
use super::facts::{Change, Facts, Snapshot};
use super::fate;
use super::handshake::Opened;
use super::pipeline::Pipeline;
use super::reconnect::SetByClient;
use super::server::{Parameters, Server, ServerError};
use super::walls::Walls;
use crate::sql::session::SessionState;
use crate::sql::shape::{AnalysisCache, StateId};
use crate::sql::{Analysis, NotUnderstood};
use bytes::BytesMut;
use countersign_core::action::Target;
use countersign_core::id::{ID_BYTES, SessionId};
use countersign_core::lifecycle::End;
use countersign_core::refusal::Refusal;
use countersign_core::view::SoFar;
use countersign_desk::{Kept, Lane, LaneOutcome, Report};
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes that a client may send ahead while something runs or waits.
pub(super) const AHEAD_BYTES_MAX: usize = 1 << 20;

/// A query that is longer is refused by its length, before anything of it is read.
const QUERY_BYTES_MAX: usize = crate::sql::MESSAGE_BYTES_MAX + 64;

/// What a client is told where there is no connection to the server.
pub(super) const UNREACHABLE: &str = "the server behind this gate cannot be reached";

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The client said goodbye or is gone.
    #[error("the client is gone")]
    Client,
    /// There is no connection to the server.
    #[error("the server cannot be reached: {0}")]
    Unreachable(ServerError),
    /// The server is gone.
    #[error("the server is gone")]
    Server,
    /// The gate stops.
    #[error("the gate stops")]
    Stopping,
    /// A socket failed.
    #[error("a socket failed: {0}")]
    Io(#[from] std::io::Error),
    /// The client does not speak the protocol.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The server's answer does not fit.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The identity does not count any more.
    #[error("the agent's credential has expired or was revoked")]
    Identity,
    /// A setting at the server that would make us read statements otherwise than it does.
    #[error("the server's session is in a state in which statements cannot be understood: {0}")]
    State(&'static str),
    /// The server refused a question of the gate's own that it cannot go on without.
    #[error("the server refused a question of the gate's own ({code}): {asked}")]
    Unanswered {
        /// What was asked.
        asked: &'static str,
        /// The SQLSTATE of its refusal.
        code: String,
    },
    /// Something could not be recorded.
    #[error("{}", .0.message())]
    Refused(Refusal),
}

/// One connection with both of its ends.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) client: ClientStream,
    pub(super) inbuf: BytesMut,
    pub(super) out: BytesMut,
    pub(super) server: Server,
    /// What the client was told that the server reports as a session begins.
    pub(super) told: Arc<Parameters>,
    /// What was set on a connection that was given back.
    pub(super) given_back: Option<SetByClient>,
    pub(super) upin: BytesMut,
    pub(super) upout: BytesMut,
    pub(super) replies: Replies,
    pub(super) session: Session,
    pub(super) pipeline: Pipeline,
    pub(super) identity: Arc<Authenticated<AgentIdentity>>,
    pub(super) id: SessionId,
    pub(super) target: Target,
    pub(super) role: String,
    /// The other roles that it works in.
    pub(super) walls: Walls,
    pub(super) address: String,
    pub(super) lane: Lane,
    pub(super) facts: Facts,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) cache: Arc<Mutex<AnalysisCache>>,
    /// What policy allowed it.
    pub(super) allowed: Kept<Analysis>,
    /// What is digested of the action at hand.
    pub(super) digested: Vec<u8>,
    pub(super) state_id: Option<(SessionState, u64, StateId)>,
    pub(super) so_far: SoFar,
    pub(super) signal: Arc<CancelSignal>,
    /// Which server an action was last claimed at.
    pub(super) answers_as: Option<String>,
    /// COMMIT of an approved action is on its way: from here on its end is unknown unless the server says.
    pub(super) commit_sent: bool,
    /// A change of definitions is being committed: everybody else waits for it.
    pub(super) changing: Option<Change>,
    /// The COPY from the client at hand.
    pub(super) copying: Copying,
    cancel: CancelPlace,
    // Counts it among the agent's connections as long as it lasts.
    _agent: AgentPlace,
}

/// Completes once the gate stops.
pub(super) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that whoever would say so is gone: that is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves one connection until it ends.
pub(super) async fn run(
    opened: Box<Opened>,
    shared: Arc<Shared>,
    worker: u32,
    cache: Arc<Mutex<AnalysisCache>>,
) {
    let mut random = [0u8; ID_BYTES];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return;
    }
    let id = SessionId::from_bytes(random);
    let agent = opened.identity.get().principal.agent.clone();
    tracing::info!(session = %id, %agent, target = %shared.settings.name, peer = %opened.peer, "session begins");
    let Some(mut connection) = Connection::new(opened, shared, worker, cache, id.clone()) else { return };
    let ended = connection.serve().await;
    Box::pin(connection.close(&ended)).await;
    match ended {
        Err(reason @ (Ended::Client | Ended::Stopping)) => {
            tracing::info!(session = %id, %reason, "session ends");
        }
        Err(reason) => tracing::warn!(session = %id, %reason, "session ends"),
        Ok(()) => tracing::info!(session = %id, "session ends"),
    }
}

impl Connection {
    fn new(
        opened: Box<Opened>,
        shared: Arc<Shared>,
        worker: u32,
        cache: Arc<Mutex<AnalysisCache>>,
        id: SessionId,
    ) -> Option<Box<Self>> {
        let opened = *opened;
        let facts = shared.facts.get(&opened.database)?.clone();
        let target = Target {
            name: shared.settings.name.clone(),
            env: shared.settings.env.clone(),
            database: opened.database,
        };
        let lane = match shared.desk.lane(&opened.identity, &id, &target.name, worker) {
            Ok(lane) => lane,
            Err(refusal) => {
                tracing::error!(refusal = refusal.code(), "a session could not begin");
                return None;
            }
        };
        let mut session = Session::new(SessionState::new(&opened.role));
        let mode = shared.settings.mode_of(&opened.identity.get().principal.agent);
        session.begin(mode, &opened.own_settings);
        Some(Box::new(Self {
            snapshot: facts.current(),
            replies: Replies::among(shared.cancels.pids()),
            shared,
            client: opened.client,
            inbuf: opened.inbuf,
            out: BytesMut::new(),
            server: opened.server,
            told: opened.told,
            given_back: None,
            upin: opened.leftover,
            upout: BytesMut::new(),
            session,
            pipeline: Pipeline::default(),
            identity: Arc::new(opened.identity),
            id,
            target,
            role: opened.role,
            walls: opened.walls,
            address: opened.peer.ip().to_string(),
            lane,
            facts,
            cache,
            allowed: Kept::default(),
            digested: Vec::new(),
            state_id: None,
            so_far: SoFar::default(),
            signal: Arc::clone(&opened.cancel.signal),
            answers_as: None,
            commit_sent: false,
            changing: None,
            copying: Copying::default(),
            cancel: opened.cancel,
            _agent: opened.agent,
        }))
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        let mut stop = self.shared.stop.clone();
        loop {
            // What is left of a frame in the middle of which a COPY ended belongs to no message.
            while self.copying.frames.skip(&mut self.inbuf)
                && let Some(message) = frontend::next_message(&mut self.inbuf, Limits::FRONTEND)?
            {
                let ends = matches!(message.tag, b'Q' | b'S');
                self.message(message).await?;
                if ends {
                    self.signal.forget();
                }
            }
            self.flush_client().await?;
            for buffer in [&mut self.inbuf, &mut self.upin, &mut self.out, &mut self.upout] {
                shrink(buffer);
            }
            make_room(&mut self.inbuf);
            make_room(&mut self.upin);
            tokio::select! {
                biased;
                read = self.client.read_buf(&mut self.inbuf) => {
                    if read? == 0 {
                        return Err(Ended::Client);
                    }
                    if self.pipeline.is_empty() {
                        self.signal.forget();
                    }
                }
                read = self.server.read_buf(&mut self.upin) => {
                    if read == 0 {
                        return Err(Ended::Server);
                    }
                    // Whoever only listens is told nothing any more either.
                    self.check_identity()?;
                    self.replies.take(&mut self.upin, &mut self.out)?;
                    if self.replies.fatal {
                        self.flush_client().await?;
                        return Err(Ended::Server);
                    }
                }
                () = stopped(&mut stop) => return Err(Ended::Stopping),
            }
        }
    }

    async fn message(&mut self, message: RawMessage) -> Result<(), Ended> {
        if self.pipeline.skipping && !matches!(message.tag, b'S' | b'X') {
            return Ok(());
        }
        self.check_identity()?;
        if message.tag == b'Q' && message.bytes.len() > QUERY_BYTES_MAX {
            return self.refuse_long_query(message.bytes.len()).await;
        }
        match frontend::parse(&message)? {
            Frontend::Query(text) => {
                let text: Arc<str> = text.into();
                self.simple(&text, message.bytes).await
            }
            Frontend::Parse(_)
            | Frontend::Bind(_)
            | Frontend::Execute(_)
            | Frontend::Describe(_)
            | Frontend::Close(_)
            | Frontend::Flush
            | Frontend::Sync => self.extended(message).await,
            Frontend::Terminate => Err(Ended::Client),
            // What is left of a COPY that was refused or failed: PostgreSQL ignores it too ("COPY Operations").
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::FunctionCall { .. } => {
                if !self.drain().await? {
                    return Ok(());
                }
                let refusal = Refusal::Unsupported {
                    what: "a fast-path function call".to_owned(),
                    instead: "Call the function in a SELECT, so that it can be seen and judged.".to_owned(),
                };
                self.refuse_simple(refusal).await
            }
            Frontend::Password(_) => Err(Ended::Client),
        }
    }

    async fn refuse_long_query(&mut self, found: usize) -> Result<(), Ended> {
        if !self.drain().await? {
            return Ok(());
        }
        let error = NotUnderstood::TooLong { limit: crate::sql::MESSAGE_BYTES_MAX, found };
        let refusal = Refusal::NotUnderstood { what: error.to_string() };
        self.shared.desk.refused(&self.id, &refusal);
        self.refuse_simple(refusal).await
    }

    // A revoked or expired credential ends what it allowed.
    pub(super) fn check_identity(&self) -> Result<(), Ended> {
        let identity = self.identity.get();
        let expired = identity.expires_at <= self.shared.desk.clock().read();
        if expired || self.shared.desk.store().is_revoked(&identity.credential) {
            return Err(Ended::Identity);
        }
        Ok(())
    }

    pub(super) fn site(&self) -> Site<'_> {
        Site {
            session: &self.id,
            principal: &self.identity.get().principal,
            target: &self.target,
            role: &self.role,
            address: &self.address,
        }
    }

    pub(super) async fn flush_client(&mut self) -> Result<(), Ended> {
        if !self.out.is_empty() {
            self.client.write_all(&self.out).await?;
            self.client.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn close(&mut self, ended: &Result<(), Ended>) {
        let word = match ended {
            Err(Ended::Stopping) => Some(("57P01", "the gate stops; what waits stays and can be repeated")),
            Err(Ended::Server) => Some(("08006", "the server behind this gate is gone")),
            Err(Ended::Unreachable(ServerError::Full)) => {
                Some(("53300", "too many connections to the server behind this gate"))
            }
            Err(Ended::Unreachable(_)) => Some(("08006", UNREACHABLE)),
            Err(Ended::Identity) => Some(("28000", "this credential has expired or was revoked")),
            Err(Ended::Codec(_)) => Some(("08P01", "this is not PostgreSQL's protocol")),
            Err(Ended::Reply(_)) => Some(("58000", "the server's answer cannot be passed on safely")),
            Err(Ended::State(_) | Ended::Unanswered { .. }) => {
                Some(("58000", "the session is in a state that cannot be understood"))
            }
            Err(Ended::Refused(_)) => Some(("58000", "the action cannot be recorded")),
            Err(Ended::Client | Ended::Io(_)) | Ok(()) => None,
        };
        if let Some((code, message)) = word {
            if !self.replies.fatal {
                // What went wrong behind the gate; the rest says nothing that the message does not.
                let detail = match ended {
                    Err(error @ (Ended::State(_) | Ended::Unanswered { .. })) => Some(error.to_string()),
                    _ => None,
                };
                wording::fatal(&mut self.out, code, message, detail.as_deref());
            }
            let _ = self.flush_client().await;
        }
        if !self.replies.is_settled() || self.replies.status != TransactionStatus::Idle {
            self.signal.cancel_running(&self.shared).await;
        }
        self.server.close().await;
        let _ = self.client.shutdown().await;
        self.settle_open().await;
        let _ = &self.cancel;
    }

    // What people approved and ran in a transaction that was never committed is undone by the server.
    async fn settle_open(&mut self) {
        let executions = std::mem::take(&mut self.session.transaction.executions);
        let (end, note) = match self.session.transaction.ran_as.take() {
            _ if !self.commit_sent => (End::RolledBack, "the connection ended before COMMIT"),
            Some(ran_as) if !executions.is_empty() => {
                Box::pin(fate::ask(self.server.config(), &ran_as, self.shared.stop.clone())).await
            }
            _ => (End::Unknown, "the connection was lost while it was committed"),
        };
        let undone = std::mem::take(&mut self.session.transaction.undone);
        let undone = undone.into_iter().map(|(execution, end)| (execution, end, UNDONE));
        let executions = executions.into_iter().map(|execution| (execution, end, note));
        for (execution, end, note) in undone.chain(executions) {
            let report = Report { end, note: note.to_owned() };
            if let Err(refusal) = self.shared.desk.finish(execution, report).await {
                tracing::error!(refusal = refusal.code(), "an execution could not be settled");
            }
        }
        for finished in std::mem::take(&mut self.replies.finished) {
            self.lane.finish(finished.execution, LaneOutcome::Lost);
        }
    }
}
