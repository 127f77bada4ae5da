//! From the body of a server's message to its view: every field in order, to the last byte.

use super::backend::{
    Authentication, Backend, CommandComplete, CopyResponse, DataRow, Field, Fields, RowDescription,
};
use super::{CodecError, Format, RawMessage, Reader, TransactionStatus};

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
