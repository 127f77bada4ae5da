//! What a client sends after its startup packet. Views borrow from the frame; nothing is copied, nothing
//! is judged.

use bytes::BytesMut;

use super::{CodecError, Format, Limits, RawMessage, Reader, TagSet};

const TAGS: TagSet = TagSet::of(b"QPBEDCSHXdcfFp");

/// Takes the next whole client message out of `buffer`.
///
/// # Errors
/// When the tag is unknown or the length is impossible or over the limit.
pub fn next_message(buffer: &mut BytesMut, limits: Limits) -> Result<Option<RawMessage>, CodecError> {
    super::next_frame(buffer, TAGS, limits)
}

/// A client message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend<'a> {
    /// Statements in the simple protocol.
    Query(&'a str),
    /// Prepare a statement.
    Parse(Parse<'a>),
    /// Bind values to a prepared statement.
    Bind(Bind<'a>),
    /// Run a portal.
    Execute(Execute<'a>),
    /// Ask what a statement or portal returns.
    Describe(Named<'a>),
    /// Forget a statement or portal.
    Close(Named<'a>),
    /// The end of a pipeline.
    Sync,
    /// Send what is ready, without an end.
    Flush,
    /// Goodbye.
    Terminate,
    /// Bytes of a COPY in.
    CopyData(Payload<'a>),
    /// The end of a COPY in.
    CopyDone,
    /// A COPY in given up by the client, and why.
    CopyFail(&'a str),
    /// The old fast-path call of a function, by its OID.
    FunctionCall {
        /// OID of the function.
        function_oid: u32,
    },
    /// An answer to an authentication request.
    Password(Password<'a>),
}

/// The longest name of a statement or portal, in bytes. The server keeps no more of a name than this (NAMEDATALEN - 1):
/// two longer names that begin alike are one and the same to it.
pub const NAME_BYTES_MAX: usize = 63;

impl Frontend<'_> {
    /// Whether it names a statement or a portal by a name that the server would cut short.
    pub fn has_long_name(&self) -> bool {
        let names: [&str; 2] = match self {
            Self::Parse(parse) => [parse.name, ""],
            Self::Bind(bind) => [bind.portal, bind.statement],
            Self::Execute(execute) => [execute.portal, ""],
            Self::Describe(Named::Statement(name) | Named::Portal(name))
            | Self::Close(Named::Statement(name) | Named::Portal(name)) => [name, ""],
            Self::Query(_)
            | Self::Sync
            | Self::Flush
            | Self::Terminate
            | Self::CopyData(_)
            | Self::CopyDone
            | Self::CopyFail(_)
            | Self::FunctionCall { .. }
            | Self::Password(_) => ["", ""],
        };
        names.iter().any(|name| name.len() > NAME_BYTES_MAX)
    }
}

/// Bytes that no log may show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a>(pub &'a [u8]);

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Body of a Parse message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the statement; empty for the unnamed one.
    pub name: &'a str,
    /// Its text.
    pub sql: &'a str,
    /// OIDs of the parameters' types, as far as the client names them (0 = the server decides).
    pub param_types: Vec<u32>,
}

/// Body of a Bind message.
#[derive(Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Name of the portal to be made; empty for the unnamed one.
    pub portal: &'a str,
    /// Name of the prepared statement.
    pub statement: &'a str,
    /// Invariant: none, one (for all) or as many as `params`.
    pub param_formats: Vec<Format>,
    /// The values; `None` is NULL.
    pub params: Vec<Option<&'a [u8]>>,
    /// None (all text), one (for all) or one for each column.
    pub result_formats: Vec<Format>,
}

impl Bind<'_> {
    /// The format of parameter `index` (from 0).
    #[must_use]
    pub fn param_format(&self, index: usize) -> Format {
        format_at(&self.param_formats, index)
    }

    /// The format asked for result column `index` (from 0).
    #[must_use]
    pub fn result_format(&self, index: usize) -> Format {
        format_at(&self.result_formats, index)
    }
}

fn format_at(formats: &[Format], index: usize) -> Format {
    match formats {
        [] => Format::Text,
        [one] => *one,
        each => each.get(index).copied().unwrap_or(Format::Text),
    }
}

impl std::fmt::Debug for Bind<'_> {
    /// Shows no values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bind")
            .field("portal", &self.portal)
            .field("statement", &self.statement)
            .field("params", &self.params.len())
            .finish_non_exhaustive()
    }
}

/// Body of an Execute message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Name of the portal.
    pub portal: &'a str,
    /// Rows wanted before the portal is suspended; 0 or less means all.
    pub max_rows: i32,
}

/// What Describe and Close point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

/// Body of a `p` message, whose meaning the authentication request before it decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(&'a [u8]);

impl<'a> Password<'a> {
    /// The answer to a request for a password in clear text.
    ///
    /// # Errors
    /// When it is not one text.
    pub fn cleartext(self) -> Result<&'a str, CodecError> {
        let mut reader = Reader::new("PasswordMessage", self.0);
        let text = reader.text()?;
        reader.finish()?;
        Ok(text)
    }

    /// The answer to an offer of SASL mechanisms: the one that is chosen, and the first words in it.
    ///
    /// # Errors
    /// When it is not those two, or says nothing yet.
    pub fn sasl_initial(self) -> Result<(&'a str, &'a [u8]), CodecError> {
        let mut reader = Reader::new("SASLInitialResponse", self.0);
        let mechanism = reader.text()?;
        let Some(response) = reader.value()? else {
            return Err(reader.malformed("a first message beside the mechanism"));
        };
        reader.finish()?;
        Ok((mechanism, response))
    }

    /// The body as it came, for what follows in SASL.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl std::fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Understands one client message.
///
/// # Errors
/// When the body does not have the shape of its message, to the last byte.
pub fn parse(message: &RawMessage) -> Result<Frontend<'_>, CodecError> {
    parse_body(message.tag, message.body())
}

/// Understands the body of a client message with the given tag.
///
/// # Errors
/// As [`parse`].
pub fn parse_body(tag: u8, body: &[u8]) -> Result<Frontend<'_>, CodecError> {
    let mut reader = Reader::new(name(tag), body);
    let message = match tag {
        b'Q' => Frontend::Query(reader.text()?),
        b'P' => Frontend::Parse(parse_parse(&mut reader)?),
        b'B' => Frontend::Bind(parse_bind(&mut reader)?),
        b'E' => Frontend::Execute(Execute { portal: reader.text()?, max_rows: reader.i32()? }),
        b'D' => Frontend::Describe(parse_named(&mut reader)?),
        b'C' => Frontend::Close(parse_named(&mut reader)?),
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData(Payload(reader.take_rest())),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(reader.text()?),
        b'F' => {
            let function_oid = reader.u32()?;
            // The gate refuses every function call, so its arguments are not looked at.
            reader.take_rest();
            Frontend::FunctionCall { function_oid }
        }
        b'p' => Frontend::Password(Password(reader.take_rest())),
        tag => return Err(CodecError::UnknownTag { tag }),
    };
    reader.finish()?;
    Ok(message)
}

const fn name(tag: u8) -> &'static str {
    match tag {
        b'Q' => "Query",
        b'P' => "Parse",
        b'B' => "Bind",
        b'E' => "Execute",
        b'D' => "Describe",
        b'C' => "Close",
        b'S' => "Sync",
        b'H' => "Flush",
        b'X' => "Terminate",
        b'd' => "CopyData",
        b'c' => "CopyDone",
        b'f' => "CopyFail",
        b'F' => "FunctionCall",
        b'p' => "PasswordMessage",
        _ => "(unknown)",
    }
}

fn parse_parse<'a>(reader: &mut Reader<'a>) -> Result<Parse<'a>, CodecError> {
    let (name, sql) = (reader.text()?, reader.text()?);
    let count = reader.count(4)?;
    let param_types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    Ok(Parse { name, sql, param_types })
}

fn parse_bind<'a>(reader: &mut Reader<'a>) -> Result<Bind<'a>, CodecError> {
    let (portal, statement) = (reader.text()?, reader.text()?);
    let param_formats = parse_formats(reader)?;
    let count = reader.count(4)?;
    let params = (0..count).map(|_| reader.value()).collect::<Result<Vec<_>, _>>()?;
    if param_formats.len() > 1 && param_formats.len() != params.len() {
        return Err(reader.malformed("no format, one, or one for each parameter"));
    }
    let result_formats = parse_formats(reader)?;
    Ok(Bind { portal, statement, param_formats, params, result_formats })
}

fn parse_formats(reader: &mut Reader<'_>) -> Result<Vec<Format>, CodecError> {
    let count = reader.count(2)?;
    (0..count).map(|_| Format::from_code(reader.u16()?, "Bind")).collect()
}

fn parse_named<'a>(reader: &mut Reader<'a>) -> Result<Named<'a>, CodecError> {
    match reader.u8()? {
        b'S' => reader.text().map(Named::Statement),
        b'P' => reader.text().map(Named::Portal),
        _ => Err(reader.malformed("S for a statement or P for a portal")),
    }
}
