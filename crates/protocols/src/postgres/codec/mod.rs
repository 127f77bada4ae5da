//! PostgreSQL frames and their typed views: bytes in, values or an error out. Knows nothing of sockets,
//! sessions, policy or what a message is allowed to do.
//!
//! Spec: PostgreSQL documentation, "Frontend/Backend Protocol", sections "Message Formats" and
//! "Message Flow".

use bytes::{Buf, Bytes, BytesMut};

pub mod backend;
mod backend_parse;
pub mod frontend;
mod reader;
pub mod skim;
pub mod write;
pub mod write_frontend;

pub(crate) use reader::Reader;

/// Largest message that an authenticated client may send, unless configured lower.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Largest message that a client may send before it is authenticated.
pub const PREAUTH_MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Largest message that a server may send; PostgreSQL itself stops at 1 GiB.
pub const BACKEND_MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Bytes of a message's header: the tag and the length.
pub const HEADER_BYTES: usize = 5;

/// What is wrong with foreign bytes. None of these can be repaired: the connection has lost its framing
/// or speaks something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The tag is not one of protocol 3.
    #[error("expected a message of protocol 3, found tag {tag:#04x}; close the connection")]
    UnknownTag {
        /// The byte found.
        tag: u8,
    },
    /// A length that no message can have.
    #[error("expected a message length of at least 4, found {length}; close the connection")]
    BadLength {
        /// The length found.
        length: i32,
    },
    /// The message is over its limit.
    #[error("expected a message of at most {limit} bytes, found {length}; send less or raise the limit")]
    TooLong {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The body does not have the shape of its message.
    #[error("expected {expected} in message {message}, found other bytes; close the connection")]
    Malformed {
        /// Name of the message.
        message: &'static str,
        /// What should have stood there.
        expected: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("expected UTF-8 in message {message}, found other bytes; set client_encoding to UTF8")]
    NotUtf8 {
        /// Name of the message.
        message: &'static str,
    },
    /// A major version other than 3.
    #[error("expected protocol 3, found {major}.{minor}; use a client of PostgreSQL 7.4 or later")]
    UnsupportedProtocol {
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// Text to be written holds a zero byte, which would end it early.
    #[error("expected text without a zero byte for message {message}, found one; remove it")]
    ZeroByte {
        /// Name of the message.
        message: &'static str,
    },
}

/// Bounds of one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, header included.
    pub message_bytes_max: usize,
}

impl Limits {
    /// For clients that have not yet shown who they are.
    pub const PREAUTH: Self = Self { message_bytes_max: PREAUTH_MESSAGE_BYTES_MAX };
    /// For authenticated clients, where nothing else is configured.
    pub const FRONTEND: Self = Self { message_bytes_max: MESSAGE_BYTES_MAX };
    /// For servers.
    pub const BACKEND: Self = Self { message_bytes_max: BACKEND_MESSAGE_BYTES_MAX };
}

/// One whole message as it came, header included.
#[derive(Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// The first byte of `bytes`.
    pub tag: u8,
    /// Invariant: a complete frame, at least [`HEADER_BYTES`] long.
    pub bytes: Bytes,
}

impl RawMessage {
    /// The message without its header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

impl std::fmt::Debug for RawMessage {
    /// Shows no payload: it may hold a password or a person's data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMessage")
            .field("tag", &char::from(self.tag))
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// A set of message tags (all of them are ASCII).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TagSet(u128);

impl TagSet {
    /// No tag.
    pub const EMPTY: Self = Self(0);

    /// The set of the given ASCII tags; others are left out.
    #[must_use]
    pub const fn of(mut tags: &[u8]) -> Self {
        let mut set = 0u128;
        while let [tag, rest @ ..] = tags {
            if *tag < 128 {
                set |= 1 << *tag;
            }
            tags = rest;
        }
        Self(set)
    }

    /// Whether `tag` belongs to the set.
    #[must_use]
    pub const fn contains(self, tag: u8) -> bool {
        tag < 128 && self.0 & (1 << tag) != 0
    }
}

/// How a value is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The type's text.
    Text,
    /// The type's own bytes.
    Binary,
}

impl Format {
    pub(crate) fn from_code(code: u16, message: &'static str) -> Result<Self, CodecError> {
        match code {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            _ => Err(CodecError::Malformed { message, expected: "a format code of 0 or 1" }),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// The byte of ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction is open.
    Idle,
    /// A transaction is open.
    Open,
    /// A transaction is open and has failed.
    Failed,
}

impl TransactionStatus {
    pub(crate) fn from_byte(byte: u8) -> Result<Self, CodecError> {
        match byte {
            b'I' => Ok(Self::Idle),
            b'T' => Ok(Self::Open),
            b'E' => Ok(Self::Failed),
            _ => Err(CodecError::Malformed { message: "ReadyForQuery", expected: "a status of I, T or E" }),
        }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The length of the frame that starts `bytes`, header included, once its header is there.
///
/// # Errors
/// When the tag is not in `known`, or the length is impossible or over the limit. Only the header is
/// looked at, so that an oversized message is refused before it is buffered.
pub(crate) fn frame_length(
    bytes: &[u8],
    known: TagSet,
    limits: Limits,
) -> Result<Option<(u8, usize)>, CodecError> {
    let Some(&tag) = bytes.first() else { return Ok(None) };
    if !known.contains(tag) {
        return Err(CodecError::UnknownTag { tag });
    }
    let Some(length) = bytes.get(1..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let body = usize::try_from(length).ok().filter(|length| *length >= 4);
    let Some(body) = body else { return Err(CodecError::BadLength { length }) };
    let length = body + 1;
    if length > limits.message_bytes_max {
        return Err(CodecError::TooLong { length, limit: limits.message_bytes_max });
    }
    Ok(Some((tag, length)))
}

/// Takes the next whole frame out of `buffer` without copying it.
pub(crate) fn next_frame(
    buffer: &mut BytesMut,
    known: TagSet,
    limits: Limits,
) -> Result<Option<RawMessage>, CodecError> {
    match frame_length(buffer.chunk(), known, limits)? {
        Some((tag, length)) if buffer.len() >= length => {
            Ok(Some(RawMessage { tag, bytes: buffer.split_to(length).freeze() }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
