//! What the gate itself says to a client, in the server's words. Texts are cut at a limit and lose their
//! zero bytes, so that no text can end a field early and start another.

use bytes::{BufMut, BytesMut};

use super::backend::Field;
use super::{CodecError, Format, TransactionStatus};

/// Longest text in an error, a notice or a setting; the rest is cut off.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// How serious an error or notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session is over.
    Fatal,
    /// Take care.
    Warning,
    /// For your information, shown by default.
    Notice,
    /// For your information, asked for.
    Info,
    /// For the server's own log, and shown where the client asks for it.
    Log,
    /// The same, for whoever looks for faults.
    Debug,
    /// Every session is over.
    Panic,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Log => "LOG",
            Self::Debug => "DEBUG",
            Self::Panic => "PANIC",
        }
    }
}

/// The words of an error or notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// How serious.
    pub severity: Severity,
    /// SQLSTATE.
    pub code: &'a str,
    /// The one line.
    pub message: &'a str,
    /// More.
    pub detail: Option<&'a str>,
    /// The way out.
    pub hint: Option<&'a str>,
}

/// Writes an ErrorResponse.
pub fn error_response(out: &mut BytesMut, report: &Report<'_>) {
    frame(out, b'E', |out| fields(out, report, None));
}

/// Writes an ErrorResponse that says in which of its routines it was raised.
pub fn error_response_of(out: &mut BytesMut, report: &Report<'_>, routine: &str) {
    frame(out, b'E', |out| fields(out, report, Some(routine)));
}

/// Writes a NoticeResponse.
pub fn notice_response(out: &mut BytesMut, report: &Report<'_>) {
    frame(out, b'N', |out| fields(out, report, None));
}

fn fields(out: &mut BytesMut, report: &Report<'_>, routine: Option<&str>) {
    let word = report.severity.word();
    let all = [
        (b'S', Some(word)),
        (b'V', Some(word)),
        (b'C', Some(report.code)),
        (b'M', Some(report.message)),
        (b'D', report.detail),
        (b'H', report.hint),
        (b'R', routine),
    ];
    for (code, value) in all {
        if let Some(value) = value {
            out.put_u8(code);
            text(out, value);
        }
    }
    out.put_u8(0);
}

/// Writes a ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    frame(out, b'Z', |out| out.put_u8(status.byte()));
}

/// Writes a CommandComplete, for example `SET`.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    frame(out, b'C', |out| text(out, tag));
}

/// Writes a ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    frame(out, b'S', |out| {
        text(out, name);
        text(out, value);
    });
}

/// Writes a BackendKeyData with a key of our own.
pub fn backend_key_data(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    frame(out, b'K', |out| {
        out.put_i32(pid);
        out.put_slice(secret);
    });
}

/// Writes an AuthenticationOk.
pub fn auth_ok(out: &mut BytesMut) {
    frame(out, b'R', |out| out.put_u32(0));
}

/// Writes an AuthenticationCleartextPassword.
pub fn auth_cleartext(out: &mut BytesMut) {
    frame(out, b'R', |out| out.put_u32(3));
}

/// Writes an AuthenticationSASL: what may be spoken, the best first.
pub fn auth_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    frame(out, b'R', |out| {
        out.put_u32(10);
        mechanisms.iter().for_each(|mechanism| text(out, mechanism));
        out.put_u8(0);
    });
}

/// Writes an AuthenticationSASLContinue.
pub fn auth_sasl_continue(out: &mut BytesMut, challenge: &str) {
    frame(out, b'R', |out| {
        out.put_u32(11);
        out.put_slice(challenge.as_bytes());
    });
}

/// Writes an AuthenticationSASLFinal.
pub fn auth_sasl_final(out: &mut BytesMut, proof: &str) {
    frame(out, b'R', |out| {
        out.put_u32(12);
        out.put_slice(proof.as_bytes());
    });
}

/// Writes a NegotiateProtocolVersion. `newest` is the whole version, for example `0x0003_0002`.
pub fn negotiate_protocol_version(out: &mut BytesMut, newest: u32, unrecognised: &[&str]) {
    frame(out, b'v', |out| {
        out.put_u32(newest);
        out.put_u32(u32::try_from(unrecognised.len()).unwrap_or(u32::MAX));
        for option in unrecognised {
            text(out, option);
        }
    });
}

/// Writes a CopyInResponse: all of the columns have the format of the whole.
pub fn copy_in_response(out: &mut BytesMut, columns: u16, format: Format) {
    frame(out, b'G', |out| {
        out.put_u8(u8::from(format == Format::Binary));
        out.put_u16(columns);
        (0..columns).for_each(|_| out.put_u16(format.code()));
    });
}

/// Writes one of the messages without a body: ParseComplete, BindComplete, CloseComplete, NoData,
/// EmptyQueryResponse.
pub fn bare(out: &mut BytesMut, message: Bare) {
    let tag = match message {
        Bare::ParseComplete => b'1',
        Bare::BindComplete => b'2',
        Bare::CloseComplete => b'3',
        Bare::NoData => b'n',
        Bare::EmptyQueryResponse => b'I',
    };
    frame(out, tag, |_| ());
}

/// The messages that [`bare`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Parse is done.
    ParseComplete,
    /// Bind is done.
    BindComplete,
    /// Close is done.
    CloseComplete,
    /// No rows will follow.
    NoData,
    /// The statement was empty.
    EmptyQueryResponse,
}

/// Writes a ParameterDescription.
///
/// # Errors
/// When there are more parameters than the wire can count.
pub fn parameter_description(out: &mut BytesMut, types: &[u32]) -> Result<(), CodecError> {
    let count = count(types.len(), "ParameterDescription")?;
    frame(out, b't', |out| {
        out.put_u16(count);
        types.iter().for_each(|oid| out.put_u32(*oid));
    });
    Ok(())
}

/// Writes a RowDescription for an answer that the gate gives itself.
///
/// # Errors
/// When there are more columns than the wire can count.
pub fn row_description(out: &mut BytesMut, columns: &[Field<'_>]) -> Result<(), CodecError> {
    let count = count(columns.len(), "RowDescription")?;
    frame(out, b'T', |out| {
        out.put_u16(count);
        for field in columns {
            text(out, field.name);
            out.put_u32(field.table_oid);
            out.put_i16(field.attnum);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_len);
            out.put_i32(field.type_mod);
            out.put_u16(field.format.code());
        }
    });
    Ok(())
}

/// Writes a DataRow for an answer that the gate gives itself.
///
/// # Errors
/// When there are more columns, or longer ones, than the wire can count.
pub fn data_row(out: &mut BytesMut, values: &[Option<&[u8]>]) -> Result<(), CodecError> {
    let count = count(values.len(), "DataRow")?;
    let length: usize = values.iter().flatten().map(|value| value.len() + 4).sum();
    if length > super::MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLong { length, limit: super::MESSAGE_BYTES_MAX });
    }
    frame(out, b'D', |out| {
        out.put_u16(count);
        values.iter().for_each(|value| put_value(out, *value));
    });
    Ok(())
}

/// Writes a value with its length before it.
pub(crate) fn put_value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.put_slice(value);
        }
    }
}

fn count(items: usize, message: &'static str) -> Result<u16, CodecError> {
    u16::try_from(items).map_err(|_| CodecError::Malformed { message, expected: "at most 65,535 items" })
}

/// Writes text as far as it is allowed to go, and its zero byte.
fn text(out: &mut BytesMut, value: &str) {
    let mut end = value.len().min(TEXT_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let kept = value.get(..end).unwrap_or_default();
    kept.bytes().filter(|byte| *byte != 0).for_each(|byte| out.put_u8(byte));
    out.put_u8(0);
}

/// Writes a tag, the length of what `body` writes, and that.
pub(crate) fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    sized(out, body);
}

/// Writes the length of what `body` writes (itself included), and that.
pub(crate) fn sized(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
