//! What a server sends. Views borrow from the frame; rows are walked, never copied.

use std::borrow::Cow;

use bytes::BytesMut;

pub use super::backend_parse::{parse, parse_body};
use super::{CodecError, Format, Limits, RawMessage, Reader, TagSet, TransactionStatus};

/// Every tag that a server of protocol 3 sends.
pub const TAGS: TagSet = TagSet::of(b"RKSZTDCEINAtns123cdGHWvV");

/// Takes the next whole server message out of `buffer`.
///
/// # Errors
/// When the tag is unknown or the length is impossible or over the limit.
pub fn next_message(buffer: &mut BytesMut, limits: Limits) -> Result<Option<RawMessage>, CodecError> {
    super::next_frame(buffer, TAGS, limits)
}

/// A server message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend<'a> {
    /// A step of authentication.
    Authentication(Authentication<'a>),
    /// The key for cancelling.
    BackendKeyData {
        /// Process id.
        pid: i32,
        /// Its secret: 4 bytes, up to 256 from protocol 3.2.
        secret: &'a [u8],
    },
    /// A setting that the server reports.
    ParameterStatus {
        /// Name of the setting.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// The server waits.
    ReadyForQuery(TransactionStatus),
    /// The columns of the rows that follow.
    RowDescription(RowDescription<'a>),
    /// One row.
    DataRow(DataRow<'a>),
    /// A statement has run.
    CommandComplete(CommandComplete<'a>),
    /// The statement was empty.
    EmptyQueryResponse,
    /// A statement has failed.
    ErrorResponse(Fields<'a>),
    /// Something to tell, no failure.
    NoticeResponse(Fields<'a>),
    /// A message from NOTIFY.
    NotificationResponse {
        /// Who notified.
        pid: i32,
        /// The channel.
        channel: &'a str,
        /// The payload.
        payload: &'a str,
    },
    /// OIDs of a statement's parameter types.
    ParameterDescription(Vec<u32>),
    /// The statement returns no rows.
    NoData,
    /// Parse is done.
    ParseComplete,
    /// Bind is done.
    BindComplete,
    /// Close is done.
    CloseComplete,
    /// Execute stopped at its row limit.
    PortalSuspended,
    /// COPY from the client begins.
    CopyInResponse(CopyResponse),
    /// COPY to the client begins.
    CopyOutResponse(CopyResponse),
    /// Streaming replication begins.
    CopyBothResponse(CopyResponse),
    /// Bytes of a COPY.
    CopyData(&'a [u8]),
    /// The end of a COPY.
    CopyDone,
    /// The answer to a fast-path call.
    FunctionCallResponse,
    /// The server speaks an older minor version or does not know some options.
    NegotiateProtocolVersion {
        /// Newest version that it speaks.
        newest: u32,
        /// Options that it does not know.
        unrecognised: Vec<&'a str>,
    },
}

/// A step of authentication that the server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Authentication is over.
    Ok,
    /// Wants the password as it is.
    CleartextPassword,
    /// Wants the password hashed with this salt.
    Md5Password([u8; 4]),
    /// Wants one of these SASL mechanisms.
    Sasl(Vec<&'a str>),
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The last SASL message.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSS, SSPI or later: not spoken here.
    Other(u32),
}

/// One column of a RowDescription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column's name in this result.
    pub name: &'a str,
    /// OID of the base relation, 0 if it is not a plain column.
    pub table_oid: u32,
    /// Number of the base column, 0 if it is not a plain column.
    pub attnum: i16,
    /// OID of the type.
    pub type_oid: u32,
    /// `pg_type.typlen`.
    pub type_len: i16,
    /// `pg_attribute.atttypmod`.
    pub type_mod: i32,
    /// How values are written; after Describe of a statement it is not yet known and always text.
    pub format: Format,
}

/// The columns of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDescription<'a> {
    /// In order.
    pub fields: Vec<Field<'a>>,
}

/// One row, not yet walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataRow<'a> {
    count: usize,
    body: &'a [u8],
}

impl<'a> DataRow<'a> {
    /// Reads the number of columns.
    ///
    /// # Errors
    /// When the body cannot hold as many.
    pub fn parse(body: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new("DataRow", body);
        let count = reader.count(4)?;
        Ok(Self { count, body: reader.take_rest() })
    }

    /// How many columns there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there is no column.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The values in order, `None` for NULL. The last item is an error if the row is malformed.
    #[must_use]
    pub const fn columns(self) -> Columns<'a> {
        Columns { left: self.count, reader: Reader::new("DataRow", self.body), done: false }
    }
}

impl std::fmt::Debug for DataRow<'_> {
    /// Shows no values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataRow({} columns)", self.count)
    }
}

/// Walks the values of a row.
pub struct Columns<'a> {
    left: usize,
    reader: Reader<'a>,
    done: bool,
}

impl<'a> Iterator for Columns<'a> {
    type Item = Result<Option<&'a [u8]>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.left == 0 {
            self.done = true;
            return self.reader.finish().err().map(Err);
        }
        self.left -= 1;
        let value = self.reader.value();
        self.done = value.is_err();
        Some(value)
    }
}

/// The tag of a finished statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// For example `INSERT 0 5`.
    pub tag: &'a str,
}

impl CommandComplete<'_> {
    /// The number of rows, where the tag has one.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        let last = self.tag.rsplit(' ').next()?;
        if last.is_empty() || !last.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        last.parse().ok()
    }
}

/// The fields of an error or a notice. Its text may be in the server's own encoding.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields<'a>(pub(super) Vec<(u8, &'a [u8])>);

impl<'a> Fields<'a> {
    /// The field with this code (`S V C M D H P W s t c n F L R`), as readable text.
    #[must_use]
    pub fn text(&self, code: u8) -> Option<Cow<'a, str>> {
        let (_, value) = self.0.iter().find(|(found, _)| *found == code)?;
        Some(String::from_utf8_lossy(value))
    }

    /// The five characters of SQLSTATE, or `XX000` where they are missing.
    #[must_use]
    pub fn sqlstate(&self) -> Cow<'a, str> {
        self.text(b'C').unwrap_or(Cow::Borrowed("XX000"))
    }

    /// The severity that is never translated, or the translated one of old servers.
    #[must_use]
    pub fn severity(&self) -> Cow<'a, str> {
        self.text(b'V').or_else(|| self.text(b'S')).unwrap_or(Cow::Borrowed("ERROR"))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + '_ {
        self.0.iter().copied()
    }
}

impl std::fmt::Debug for Fields<'_> {
    /// Shows the SQLSTATE only: messages and details quote values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fields({})", self.sqlstate())
    }
}

/// The formats of a COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyResponse {
    /// Format of the whole.
    pub format: Format,
    /// Format of each column.
    pub columns: Vec<Format>,
}
