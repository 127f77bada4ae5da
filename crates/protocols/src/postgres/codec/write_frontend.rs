//! What the gate says to a server in a client's place. Text with a zero byte is refused: cut short it
//! would be another statement than the one that was judged.

use bytes::{BufMut, BytesMut};

use super::frontend::Named;
use super::write::{frame, put_value, sized};
use super::{CodecError, Format, MESSAGE_BYTES_MAX};

/// The code of an SSLRequest.
pub const SSL_REQUEST_CODE: u32 = 80_877_103;
/// The code of a GSSENCRequest.
pub const GSS_ENC_REQUEST_CODE: u32 = 80_877_104;
/// The code of a CancelRequest.
pub const CANCEL_REQUEST_CODE: u32 = 80_877_102;
/// Protocol 3.0.
pub const PROTOCOL_3_0: u32 = 0x0003_0000;

/// Writes a Query.
///
/// # Errors
/// When the text holds a zero byte or is too long.
pub fn query(out: &mut BytesMut, sql: &str) -> Result<(), CodecError> {
    check("Query", &[sql])?;
    frame(out, b'Q', |out| cstr(out, sql));
    Ok(())
}

/// Writes a Parse.
///
/// # Errors
/// When a text holds a zero byte or is too long, or there are too many types.
pub fn parse(out: &mut BytesMut, name: &str, sql: &str, param_types: &[u32]) -> Result<(), CodecError> {
    check("Parse", &[name, sql])?;
    let count = count("Parse", param_types.len())?;
    frame(out, b'P', |out| {
        cstr(out, name);
        cstr(out, sql);
        out.put_u16(count);
        param_types.iter().for_each(|oid| out.put_u32(*oid));
    });
    Ok(())
}

/// Writes a Bind.
///
/// # Errors
/// When a name holds a zero byte, or there are too many or too long values.
pub fn bind(
    out: &mut BytesMut,
    portal: &str,
    statement: &str,
    param_formats: &[Format],
    params: &[Option<&[u8]>],
    result_formats: &[Format],
) -> Result<(), CodecError> {
    check("Bind", &[portal, statement])?;
    let (formats, values) = (count("Bind", param_formats.len())?, count("Bind", params.len())?);
    let results = count("Bind", result_formats.len())?;
    length(params.iter().flatten().map(|value| value.len()).sum())?;
    frame(out, b'B', |out| {
        cstr(out, portal);
        cstr(out, statement);
        out.put_u16(formats);
        param_formats.iter().for_each(|format| out.put_u16(format.code()));
        out.put_u16(values);
        params.iter().for_each(|value| put_value(out, *value));
        out.put_u16(results);
        result_formats.iter().for_each(|format| out.put_u16(format.code()));
    });
    Ok(())
}

/// Writes a Describe.
///
/// # Errors
/// When the name holds a zero byte or is too long.
pub fn describe(out: &mut BytesMut, named: Named<'_>) -> Result<(), CodecError> {
    named_message(out, b'D', "Describe", named)
}

/// Writes a Close.
///
/// # Errors
/// When the name holds a zero byte or is too long.
pub fn close(out: &mut BytesMut, named: Named<'_>) -> Result<(), CodecError> {
    named_message(out, b'C', "Close", named)
}

fn named_message(
    out: &mut BytesMut,
    tag: u8,
    message: &'static str,
    named: Named<'_>,
) -> Result<(), CodecError> {
    let (kind, name) = match named {
        Named::Statement(name) => (b'S', name),
        Named::Portal(name) => (b'P', name),
    };
    check(message, &[name])?;
    frame(out, tag, |out| {
        out.put_u8(kind);
        cstr(out, name);
    });
    Ok(())
}

/// Writes an Execute; `max_rows` 0 means all.
///
/// # Errors
/// When the name holds a zero byte or is too long.
pub fn execute(out: &mut BytesMut, portal: &str, max_rows: i32) -> Result<(), CodecError> {
    check("Execute", &[portal])?;
    frame(out, b'E', |out| {
        cstr(out, portal);
        out.put_i32(max_rows);
    });
    Ok(())
}

/// Writes a Sync.
pub fn sync(out: &mut BytesMut) {
    frame(out, b'S', |_| ());
}

/// Writes a Flush.
pub fn flush(out: &mut BytesMut) {
    frame(out, b'H', |_| ());
}

/// Writes a CopyData.
///
/// # Errors
/// When the data is too long.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) -> Result<(), CodecError> {
    length(data.len())?;
    frame(out, b'd', |out| out.put_slice(data));
    Ok(())
}

/// Writes a CopyDone.
pub fn copy_done(out: &mut BytesMut) {
    frame(out, b'c', |_| ());
}

/// Writes a CopyFail.
///
/// # Errors
/// When the reason holds a zero byte or is too long.
pub fn copy_fail(out: &mut BytesMut, why: &str) -> Result<(), CodecError> {
    check("CopyFail", &[why])?;
    frame(out, b'f', |out| cstr(out, why));
    Ok(())
}

/// Writes a Terminate.
pub fn terminate(out: &mut BytesMut) {
    frame(out, b'X', |_| ());
}

/// Writes a PasswordMessage, in clear or as an md5 hash.
///
/// # Errors
/// When the password holds a zero byte or is too long.
pub fn password(out: &mut BytesMut, password: &str) -> Result<(), CodecError> {
    check("PasswordMessage", &[password])?;
    frame(out, b'p', |out| cstr(out, password));
    Ok(())
}

/// Writes a SASLInitialResponse.
///
/// # Errors
/// When the mechanism holds a zero byte or the response is too long.
pub fn sasl_initial_response(out: &mut BytesMut, mechanism: &str, response: &[u8]) -> Result<(), CodecError> {
    check("SASLInitialResponse", &[mechanism])?;
    length(response.len())?;
    frame(out, b'p', |out| {
        cstr(out, mechanism);
        put_value(out, Some(response));
    });
    Ok(())
}

/// Writes a SASLResponse.
///
/// # Errors
/// When the response is too long.
pub fn sasl_response(out: &mut BytesMut, response: &[u8]) -> Result<(), CodecError> {
    length(response.len())?;
    frame(out, b'p', |out| out.put_slice(response));
    Ok(())
}

/// Writes a CancelRequest.
pub fn cancel(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    sized(out, |out| {
        out.put_u32(CANCEL_REQUEST_CODE);
        out.put_i32(pid);
        out.put_slice(secret);
    });
}

/// Writes an SSLRequest.
pub fn ssl_request(out: &mut BytesMut) {
    sized(out, |out| out.put_u32(SSL_REQUEST_CODE));
}

/// Writes a StartupMessage of the given version, for example [`PROTOCOL_3_0`].
///
/// # Errors
/// When a name or value holds a zero byte or is too long.
pub fn startup(out: &mut BytesMut, version: u32, params: &[(&str, &str)]) -> Result<(), CodecError> {
    for (name, value) in params {
        check("StartupMessage", &[name, value])?;
    }
    sized(out, |out| {
        out.put_u32(version);
        for (name, value) in params {
            cstr(out, name);
            cstr(out, value);
        }
        out.put_u8(0);
    });
    Ok(())
}

fn check(message: &'static str, texts: &[&str]) -> Result<(), CodecError> {
    if texts.iter().any(|text| text.bytes().any(|byte| byte == 0)) {
        return Err(CodecError::ZeroByte { message });
    }
    length(texts.iter().map(|text| text.len()).sum())
}

const fn length(length: usize) -> Result<(), CodecError> {
    if length > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLong { length, limit: MESSAGE_BYTES_MAX });
    }
    Ok(())
}

fn count(message: &'static str, items: usize) -> Result<u16, CodecError> {
    u16::try_from(items).map_err(|_| CodecError::Malformed { message, expected: "at most 65,535 items" })
}

fn cstr(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}
