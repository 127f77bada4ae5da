//! Speaks to a gate as an agent that proposes a plan: logs in, sends it, hears how it went. Knows neither sockets nor
//! terminals nor HTTP, and has no way around the gate. Rows that come back are passed over unread.

mod told;

pub use told::Told;

use bytes::{Buf, BytesMut};
use countersign_core::secret::Secret;
use countersign_identity::agent_keys::KEY_PREFIX;
use countersign_protocols::postgres::codec::backend::{self, Authentication, Backend};
use countersign_protocols::postgres::codec::{
    CodecError, HEADER_BYTES, Limits, RawMessage, TransactionStatus, write_frontend,
};
use countersign_protocols::postgres::upstream::{ScramSha256, UpstreamError, choose_scram};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest plan.
pub const PLAN_BYTES_MAX: usize = 1 << 20;
/// The longest message that is read; rows are not.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const LIMITS: Limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX };
/// What a COPY of a plan is told that wants data.
const NO_DATA: &str = "a plan brings no data: write it as INSERT, or send the COPY by itself";

/// Who proposes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The agent.
    pub agent: &'a str,
    /// The database.
    pub database: &'a str,
    /// What the client calls itself.
    pub application: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// The most rows that all of it may touch.
    pub rows_max: Option<u64>,
    /// It does not wait for people.
    pub parks: bool,
}

/// By what the agent shows who it is: a token, which is sent, or a key, which is not.
pub struct Shown<'a> {
    /// The token or the key.
    pub secret: &'a Secret<String>,
    /// The hash of the gate's certificate, where there is one.
    pub end_point: Option<Vec<u8>>,
}

/// Why there is no further answer.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It did not let the agent in.
    #[error("{}", .0.lines())]
    Refused(Box<Told>),
    /// It asks for something else.
    #[error("expected a gate that asks for a token or for the proof of a key")]
    NoGate,
    /// It asks for a key itself.
    #[error("expected a gate that asks for the proof of a key: a key itself is sent nowhere")]
    KeyAskedFor,
    /// The proof of a key, or the gate's own, cannot be made or does not hold.
    #[error(transparent)]
    Proof(#[from] UpstreamError),
    /// It is gone.
    #[error("the gate has hung up: if it was approved before that, see the request for what became of it")]
    HungUp,
    /// What it says is not the protocol, or what it is to be told cannot be said in it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the gate says, as far as its client cares.
#[derive(Debug)]
pub enum Answer {
    /// Something to know.
    Notice(Told),
    /// A statement has run.
    Ran(String),
    /// The plan did not run, or was undone.
    Failed(Told),
    /// It is over. Where a transaction is left open, nothing that ran in it will stand.
    Ready {
        /// The plan's own end is the end.
        settled: bool,
    },
    /// Nothing to tell.
    Other,
}

/// The gate as its client sees it.
pub struct Gate<S> {
    stream: S,
    buffer: BytesMut,
    /// Bytes of a row that are still to come.
    passed_over: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Before anything was said.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), passed_over: 0 }
    }

    /// Logs in.
    ///
    /// # Errors
    /// The gate does not let the agent in, or is gone.
    pub async fn log_in(&mut self, login: &Login<'_>, shown: &Shown<'_>) -> Result<(), GateError> {
        let rows_max = login.rows_max.map(|rows| rows.to_string());
        // Each is a parameter of its own, so that no value can be taken for another setting.
        let mut parameters = vec![
            ("user", login.agent),
            ("database", login.database),
            ("application_name", login.application),
            ("countersign.plan", "on"),
            ("countersign.mode", if login.parks { "park" } else { "hold" }),
        ];
        parameters.extend(login.reason.map(|reason| ("countersign.reason", reason)));
        parameters.extend(rows_max.as_deref().map(|rows| ("countersign.rows_max", rows)));
        let mut out = BytesMut::new();
        write_frontend::startup(&mut out, write_frontend::PROTOCOL_3_0, &parameters)?;
        self.send(&out).await?;
        let is_key = shown.secret.expose().starts_with(KEY_PREFIX);
        let mut is_proved = false;
        loop {
            let message = self.message().await?;
            match backend::parse(&message)? {
                Backend::Authentication(Authentication::CleartextPassword) => {
                    if is_key {
                        return Err(GateError::KeyAskedFor);
                    }
                    let mut out = BytesMut::new();
                    write_frontend::password(&mut out, shown.secret.expose())?;
                    self.send(&out).await?;
                }
                Backend::Authentication(Authentication::Sasl(mechanisms)) => {
                    self.prove(&mechanisms, shown).await?;
                    is_proved = true;
                }
                // A gate that knows the key says so before it lets anybody in.
                Backend::Authentication(Authentication::Ok) if is_key && !is_proved => {
                    return Err(GateError::NoGate);
                }
                Backend::Authentication(Authentication::Ok) => {}
                Backend::Authentication(_) => return Err(GateError::NoGate),
                Backend::ErrorResponse(fields) => {
                    return Err(GateError::Refused(Box::new(Told::new("refused", &fields))));
                }
                Backend::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// That the agent holds its key; and the gate, that it knows it.
    async fn prove(&mut self, mechanisms: &[&str], shown: &Shown<'_>) -> Result<(), GateError> {
        let (mechanism, binding) = choose_scram(mechanisms, shown.end_point.clone())?;
        let mut scram = ScramSha256::new(shown.secret.expose().as_bytes(), binding);
        let mut out = BytesMut::new();
        write_frontend::sasl_initial_response(&mut out, mechanism, scram.message())?;
        self.send(&out).await?;
        let message = self.message().await?;
        match backend::parse(&message)? {
            Backend::Authentication(Authentication::SaslContinue(challenge)) => scram.update(challenge)?,
            Backend::ErrorResponse(fields) => {
                return Err(GateError::Refused(Box::new(Told::new("refused", &fields))));
            }
            _ => return Err(GateError::NoGate),
        }
        let mut out = BytesMut::new();
        write_frontend::sasl_response(&mut out, scram.message())?;
        self.send(&out).await?;
        let message = self.message().await?;
        match backend::parse(&message)? {
            Backend::Authentication(Authentication::SaslFinal(proof)) => Ok(scram.finish(proof)?),
            Backend::ErrorResponse(fields) => {
                Err(GateError::Refused(Box::new(Told::new("refused", &fields))))
            }
            _ => Err(GateError::NoGate),
        }
    }

    /// Sends a plan.
    ///
    /// # Errors
    /// It cannot be said in the protocol, or the gate is gone.
    pub async fn propose(&mut self, text: &str) -> Result<(), GateError> {
        let mut out = BytesMut::new();
        write_frontend::query(&mut out, text)?;
        self.send(&out).await
    }

    /// What the gate says next.
    ///
    /// # Errors
    /// It is gone, or does not speak the protocol.
    pub async fn next(&mut self) -> Result<Answer, GateError> {
        let message = self.message().await?;
        Ok(match backend::parse(&message)? {
            Backend::NoticeResponse(fields) => Answer::Notice(Told::new("notice", &fields)),
            Backend::ErrorResponse(fields) => Answer::Failed(Told::new("error", &fields)),
            Backend::CommandComplete(complete) => Answer::Ran(complete.tag.to_owned()),
            Backend::ReadyForQuery(status) => Answer::Ready { settled: status == TransactionStatus::Idle },
            Backend::CopyInResponse(_) => {
                let mut out = BytesMut::new();
                write_frontend::copy_fail(&mut out, NO_DATA)?;
                self.send(&out).await?;
                Answer::Other
            }
            _ => Answer::Other,
        })
    }

    async fn message(&mut self) -> Result<RawMessage, GateError> {
        loop {
            self.pass_over_rows();
            if self.passed_over == 0
                && let Some(message) = backend::next_message(&mut self.buffer, LIMITS)?
            {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(GateError::HungUp);
            }
        }
    }

    // However long a row is, none of it is kept.
    fn pass_over_rows(&mut self) {
        loop {
            let gone = self.passed_over.min(self.buffer.len());
            self.buffer.advance(gone);
            self.passed_over -= gone;
            let Some([b'D' | b'd', length @ ..]) = self.buffer.first_chunk::<HEADER_BYTES>() else { return };
            self.passed_over = u32::from_be_bytes(*length) as usize + 1;
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), GateError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// Tools that write migrations put BEGIN and COMMIT around them; a plan is one transaction as it is.
pub fn without_frame(text: &str) -> &str {
    let inner =
        text.trim_start().strip_prefix("BEGIN;").and_then(|rest| rest.trim_end().strip_suffix("COMMIT;"));
    inner.filter(|inner| inner.starts_with('\n') && inner.ends_with('\n')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_protocols::postgres::codec::write;

    #[test]
    fn a_frame_of_begin_and_commit_is_left_out_and_nothing_else() {
        assert_eq!(without_frame("BEGIN;\n\nDROP TABLE t;\n\nCOMMIT;\n\n"), "\n\nDROP TABLE t;\n\n");
        for whole in
            ["DROP TABLE t", "BEGIN;\nDROP TABLE t;", "BEGIN; DROP TABLE t; COMMIT;", "-- BEGIN;\nCOMMIT;\n"]
        {
            assert_eq!(without_frame(whole), whole);
        }
    }

    #[tokio::test]
    async fn a_gate_that_does_not_show_that_it_knows_the_key_is_told_no_plan() {
        let (outer, mut inner) = tokio::io::duplex(1 << 10);
        let mut out = BytesMut::new();
        write::auth_ok(&mut out);
        write::ready_for_query(&mut out, TransactionStatus::Idle);
        inner.write_all(&out).await.unwrap();
        let login = Login {
            agent: "etl",
            database: "shop",
            application: "test",
            reason: None,
            rows_max: None,
            parks: true,
        };
        let secret = Secret::new(format!("{KEY_PREFIX}key"));
        let shown = Shown { secret: &secret, end_point: None };
        let entered = Gate::new(outer).log_in(&login, &shown).await;
        assert!(matches!(entered, Err(GateError::NoGate)), "{entered:?}");
    }

    #[tokio::test]
    async fn rows_of_any_length_are_passed_over_and_what_follows_them_is_heard() {
        let (outer, mut inner) = tokio::io::duplex(7);
        let mut gate = Gate::new(outer);
        let said = tokio::spawn(async move {
            // A row that is longer than any message may be, then a short one.
            let length = u32::try_from(MESSAGE_BYTES_MAX + 4).unwrap() * 2;
            inner.write_all(&[b"D".as_slice(), &length.to_be_bytes()].concat()).await.unwrap();
            let piece = vec![0; 1 << 20];
            let mut left = length as usize - 4;
            while left > 0 {
                let now = left.min(piece.len());
                inner.write_all(&piece[..now]).await.unwrap();
                left -= now;
            }
            inner.write_all(b"D\0\0\0\x04").await.unwrap();
            let mut out = BytesMut::new();
            write::ready_for_query(&mut out, TransactionStatus::Open);
            inner.write_all(&out).await.unwrap();
        });
        assert!(matches!(gate.next().await.unwrap(), Answer::Ready { settled: false }));
        assert!(gate.buffer.capacity() < 1 << 20, "nothing of it was kept");
        said.await.unwrap();
        assert!(matches!(gate.next().await, Err(GateError::HungUp)));
    }
}
