//! A connection to a server for commands: asks what it is told to, in simple queries, and gives rows as text. Knows no
//! session, no client and no policy.

use super::super::codec::backend::{self, Backend};
use super::super::codec::{CodecError, Limits, write_frontend};
use super::super::upstream::{self, Upstream, UpstreamConfig, UpstreamError};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long one question may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// The largest single message of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The most rows of an answer.
const ANSWER_ROWS_MAX: usize = 1_000_000;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// No connection.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Io(#[from] std::io::Error),
    /// Not PostgreSQL's protocol.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The server answered with an error.
    #[error("the server refused it ({code}): {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// Its words.
        message: String,
    },
    /// It took too long.
    #[error("expected the server's answer within {ANSWER_WAIT_MAX:?}, found silence")]
    Timeout,
    /// The answer is too long.
    #[error("expected an answer of at most {ANSWER_ROWS_MAX} rows, found more")]
    TooMany,
}

/// Rows of text.
pub type TextRows = Vec<Vec<Option<String>>>;

/// A connection that is asked.
pub struct Questions(Upstream);

impl Questions {
    /// Connects.
    ///
    /// # Errors
    /// No connection can be had.
    pub async fn open(config: &UpstreamConfig) -> Result<Self, QuestionError> {
        Ok(Self(upstream::connect(config).await?))
    }

    /// The rows that the texts of one message give, of all of them together.
    ///
    /// # Errors
    /// The server refuses, or there is no answer.
    pub async fn rows(&mut self, sql: &str) -> Result<TextRows, QuestionError> {
        tokio::time::timeout(ANSWER_WAIT_MAX, self.ask(sql)).await.map_err(|_| QuestionError::Timeout)?
    }

    async fn ask(&mut self, sql: &str) -> Result<TextRows, QuestionError> {
        let mut out = BytesMut::new();
        write_frontend::query(&mut out, sql)?;
        self.0.stream.write_all(&out).await?;
        self.0.stream.flush().await?;
        let (mut rows, mut refused) = (TextRows::new(), None);
        loop {
            let limits = Limits { message_bytes_max: ANSWER_BYTES_MAX };
            while let Some(message) = backend::next_message(&mut self.0.leftover, limits)? {
                match backend::parse(&message)? {
                    Backend::DataRow(row) => {
                        if rows.len() == ANSWER_ROWS_MAX {
                            return Err(QuestionError::TooMany);
                        }
                        let mut cells = Vec::with_capacity(row.len());
                        for cell in row.columns() {
                            cells.push(cell?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
                        }
                        rows.push(cells);
                    }
                    Backend::ErrorResponse(fields) => {
                        let message = fields.text(b'M').unwrap_or_default().into_owned();
                        refused = Some((fields.sqlstate().into_owned(), message));
                    }
                    Backend::ReadyForQuery(_) => {
                        return match refused {
                            None => Ok(rows),
                            Some((code, message)) => Err(QuestionError::Refused { code, message }),
                        };
                    }
                    _ => {}
                }
            }
            if self.0.stream.read_buf(&mut self.0.leftover).await? == 0 {
                return Err(QuestionError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
