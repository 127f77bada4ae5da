//! What a server sends. Views borrow from the frame; rows are walked, never copied.

use std::borrow::Cow;

use bytes::BytesMut;

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
pub struct Fields<'a>(Vec<(u8, &'a [u8])>);

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

/// Understands one server message.
///
/// # Errors
/// When the body does not have the shape of its message, to the last byte.
pub fn parse(message: &RawMessage) -> Result<Backend<'_>, CodecError> {
    parse_body(message.tag, message.body())
}

/// Understands the body of a server message with the given tag.
///
/// # Errors
/// As [`parse`].
pub fn parse_body(tag: u8, body: &[u8]) -> Result<Backend<'_>, CodecError> {
    let mut reader = Reader::new(name(tag), body);
    let message = match tag {
        b'R' => Backend::Authentication(parse_authentication(&mut reader)?),
        b'K' => Backend::BackendKeyData { pid: reader.i32()?, secret: parse_secret(&mut reader)? },
        b'S' => Backend::ParameterStatus { name: reader.text()?, value: reader.text()? },
        b'Z' => Backend::ReadyForQuery(TransactionStatus::from_byte(reader.u8()?)?),
        b'T' => Backend::RowDescription(parse_row_description(&mut reader)?),
        b'D' => return DataRow::parse(body).map(Backend::DataRow),
        b'C' => Backend::CommandComplete(CommandComplete { tag: reader.text()? }),
        b'I' => Backend::EmptyQueryResponse,
        b'E' => Backend::ErrorResponse(parse_fields(&mut reader)?),
        b'N' => Backend::NoticeResponse(parse_fields(&mut reader)?),
        b'A' => Backend::NotificationResponse {
            pid: reader.i32()?,
            channel: reader.text()?,
            payload: reader.text()?,
        },
        b't' => {
            let count = reader.count(4)?;
            Backend::ParameterDescription((0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?)
        }
        b'n' => Backend::NoData,
        b'1' => Backend::ParseComplete,
        b'2' => Backend::BindComplete,
        b'3' => Backend::CloseComplete,
        b's' => Backend::PortalSuspended,
        b'G' => Backend::CopyInResponse(parse_copy(&mut reader)?),
        b'H' => Backend::CopyOutResponse(parse_copy(&mut reader)?),
        b'W' => Backend::CopyBothResponse(parse_copy(&mut reader)?),
        b'd' => Backend::CopyData(reader.take_rest()),
        b'c' => Backend::CopyDone,
        b'V' => {
            reader.value()?;
            Backend::FunctionCallResponse
        }
        b'v' => parse_negotiation(&mut reader)?,
        tag => return Err(CodecError::UnknownTag { tag }),
    };
    reader.finish()?;
    Ok(message)
}

const fn name(tag: u8) -> &'static str {
    match tag {
        b'R' => "Authentication",
        b'K' => "BackendKeyData",
        b'S' => "ParameterStatus",
        b'Z' => "ReadyForQuery",
        b'T' => "RowDescription",
        b'D' => "DataRow",
        b'C' => "CommandComplete",
        b'E' => "ErrorResponse",
        b'N' => "NoticeResponse",
        b'A' => "NotificationResponse",
        b't' => "ParameterDescription",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'W' => "CopyBothResponse",
        b'V' => "FunctionCallResponse",
        b'v' => "NegotiateProtocolVersion",
        _ => "(without a body)",
    }
}

fn parse_authentication<'a>(reader: &mut Reader<'a>) -> Result<Authentication<'a>, CodecError> {
    Ok(match reader.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password(reader.u32()?.to_be_bytes()),
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                match reader.text()? {
                    "" => break Authentication::Sasl(mechanisms),
                    mechanism => mechanisms.push(mechanism),
                }
            }
        }
        11 => Authentication::SaslContinue(reader.take_rest()),
        12 => Authentication::SaslFinal(reader.take_rest()),
        other => {
            reader.take_rest();
            Authentication::Other(other)
        }
    })
}

fn parse_secret<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    match reader.remaining() {
        4..=256 => Ok(reader.take_rest()),
        _ => Err(reader.malformed("a secret of 4 to 256 bytes")),
    }
}

fn parse_row_description<'a>(reader: &mut Reader<'a>) -> Result<RowDescription<'a>, CodecError> {
    let count = reader.count(19)?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        fields.push(Field {
            name: reader.text()?,
            table_oid: reader.u32()?,
            attnum: reader.i16()?,
            type_oid: reader.u32()?,
            type_len: reader.i16()?,
            type_mod: reader.i32()?,
            format: Format::from_code(reader.u16()?, "RowDescription")?,
        });
    }
    Ok(RowDescription { fields })
}

fn parse_fields<'a>(reader: &mut Reader<'a>) -> Result<Fields<'a>, CodecError> {
    let mut fields = Vec::new();
    loop {
        match reader.u8()? {
            0 => return Ok(Fields(fields)),
            code => fields.push((code, reader.cstr()?)),
        }
    }
}

fn parse_copy(reader: &mut Reader<'_>) -> Result<CopyResponse, CodecError> {
    let format = Format::from_code(u16::from(reader.u8()?), "CopyResponse")?;
    let count = reader.count(2)?;
    let columns =
        (0..count).map(|_| Format::from_code(reader.u16()?, "CopyResponse")).collect::<Result<_, _>>()?;
    Ok(CopyResponse { format, columns })
}

fn parse_negotiation<'a>(reader: &mut Reader<'a>) -> Result<Backend<'a>, CodecError> {
    let (newest, count) = (reader.u32()?, reader.u32()?);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > reader.remaining() {
        return Err(reader.malformed("as many options as announced"));
    }
    let unrecognised = (0..count).map(|_| reader.text()).collect::<Result<_, _>>()?;
    Ok(Backend::NegotiateProtocolVersion { newest, unrecognised })
}
