//! The first packet of a connection, before anybody is known. Decides nothing: it says what was asked.
//!
//! Spec: PostgreSQL documentation, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest,
//! CancelRequest.

use bytes::{Bytes, BytesMut};

use super::codec::write_frontend::{CANCEL_REQUEST_CODE, GSS_ENC_REQUEST_CODE, SSL_REQUEST_CODE};
use super::codec::{CodecError, Reader};

/// Largest startup packet, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Most parameters in a startup packet.
pub const STARTUP_PARAMS_MAX: usize = 128;
/// First byte of a TLS connection that was not asked for by an SSLRequest (PostgreSQL 17).
const TLS_HANDSHAKE: u8 = 0x16;
/// The only ALPN protocol of such a connection.
pub const ALPN: &[u8] = b"postgresql";

/// What a client opens its connection with.
#[derive(Clone, PartialEq, Eq)]
pub enum Opening<'a> {
    /// Asks for TLS. Nothing may follow before the answer.
    SslRequest,
    /// Asks for GSSAPI encryption.
    GssEncRequest,
    /// Asks to cancel what another connection runs.
    Cancel {
        /// Process id that the other connection was given.
        pid: i32,
        /// Its secret.
        secret: &'a [u8],
    },
    /// Starts a session.
    Startup(Startup<'a>),
}

impl std::fmt::Debug for Opening<'_> {
    /// Shows no cancel secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SslRequest => f.write_str("SslRequest"),
            Self::GssEncRequest => f.write_str("GssEncRequest"),
            Self::Cancel { pid, .. } => f.debug_struct("Cancel").field("pid", pid).finish_non_exhaustive(),
            Self::Startup(startup) => startup.fmt(f),
        }
    }
}

/// A StartupMessage of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup<'a> {
    /// Minor version asked for.
    pub minor: u16,
    /// Invariant: no name twice.
    pub params: Vec<(&'a str, &'a str)>,
}

impl<'a> Startup<'a> {
    /// The value of a parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

/// Whether a connection starts with TLS at once, judged by its first byte.
#[must_use]
pub const fn is_direct_tls(first: u8) -> bool {
    first == TLS_HANDSHAKE
}

/// Takes the whole opening packet out of `buffer`, its length included. The caller must refuse an
/// SSLRequest or GSSENCRequest after which `buffer` is not empty.
///
/// # Errors
/// When the length is impossible or over [`STARTUP_BYTES_MAX`].
pub fn next_startup(buffer: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let Some(bytes) = usize::try_from(length).ok().filter(|bytes| *bytes >= 8) else {
        return Err(CodecError::BadLength { length });
    };
    if bytes > STARTUP_BYTES_MAX {
        return Err(CodecError::TooLong { length: bytes, limit: STARTUP_BYTES_MAX });
    }
    Ok((buffer.len() >= bytes).then(|| buffer.split_to(bytes).freeze()))
}

/// Understands an opening packet, its length included.
///
/// # Errors
/// When it is none of protocol 3, is over its limits, or names a parameter twice.
pub fn parse_startup(packet: &[u8]) -> Result<Opening<'_>, CodecError> {
    if packet.len() > STARTUP_BYTES_MAX {
        return Err(CodecError::TooLong { length: packet.len(), limit: STARTUP_BYTES_MAX });
    }
    let mut reader = Reader::new("StartupMessage", packet);
    let length = reader.i32()?;
    if usize::try_from(length) != Ok(packet.len()) {
        return Err(CodecError::BadLength { length });
    }
    let opening = match reader.u32()? {
        SSL_REQUEST_CODE => Opening::SslRequest,
        GSS_ENC_REQUEST_CODE => Opening::GssEncRequest,
        CANCEL_REQUEST_CODE => {
            let pid = reader.i32()?;
            match reader.remaining() {
                4..=256 => Opening::Cancel { pid, secret: reader.take_rest() },
                _ => return Err(reader.malformed("a secret of 4 to 256 bytes")),
            }
        }
        version => {
            let [major_high, major_low, minor_high, minor_low] = version.to_be_bytes();
            let major = u16::from_be_bytes([major_high, major_low]);
            let minor = u16::from_be_bytes([minor_high, minor_low]);
            if major != 3 {
                return Err(CodecError::UnsupportedProtocol { major, minor });
            }
            Opening::Startup(Startup { minor, params: parse_params(&mut reader)? })
        }
    };
    reader.finish()?;
    Ok(opening)
}

fn parse_params<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, &'a str)>, CodecError> {
    let mut params: Vec<(&str, &str)> = Vec::new();
    loop {
        let name = reader.text()?;
        if name.is_empty() {
            return Ok(params);
        }
        // Two values for one name would let us judge one and the server use the other.
        if params.iter().any(|(found, _)| *found == name) {
            return Err(reader.malformed("each parameter once"));
        }
        if params.len() >= STARTUP_PARAMS_MAX {
            return Err(reader.malformed("at most 128 parameters"));
        }
        params.push((name, reader.text()?));
    }
}

/// Reads the settings of the startup parameter `options` (`-c name=value`, `--name=value`), with `\`
/// before a space or `\` that belongs to a value.
///
/// # Errors
/// When there is any other switch.
pub fn parse_options(options: &str) -> Result<Vec<(String, String)>, CodecError> {
    let wrong = CodecError::Malformed { message: "StartupMessage", expected: "-c name=value in options" };
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).map(str::to_owned)
        };
        let pair = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else { return Err(wrong) };
        // As PostgreSQL does: a dash in a long switch stands for an underscore.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    let mut started = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                started = true;
                word.extend(chars.next());
            }
            char if char.is_ascii_whitespace() => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
            }
            char => {
                started = true;
                word.push(char);
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codec::write_frontend as write;
    use super::*;

    fn packet(params: &[(&str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        write::startup(&mut out, write::PROTOCOL_3_0, params).unwrap();
        out
    }

    #[test]
    fn a_startup_message_comes_back_as_it_was_written() {
        let packet = packet(&[("user", "etl"), ("database", "shop")]);
        let Opening::Startup(startup) = parse_startup(&packet).unwrap() else { panic!("not a startup") };
        assert_eq!((startup.minor, startup.param("user"), startup.param("x")), (0, Some("etl"), None));
        assert_eq!(startup.param("database"), Some("shop"));
    }

    #[test]
    fn requests_before_a_session_are_told_apart() {
        let mut ssl = BytesMut::new();
        write::ssl_request(&mut ssl);
        assert_eq!(parse_startup(&ssl), Ok(Opening::SslRequest));
        let mut cancel = BytesMut::new();
        write::cancel(&mut cancel, 7, &[1, 2, 3, 4]);
        assert_eq!(parse_startup(&cancel), Ok(Opening::Cancel { pid: 7, secret: &[1, 2, 3, 4] }));
        let gss = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
        assert_eq!(parse_startup(&gss), Ok(Opening::GssEncRequest));
        assert!(is_direct_tls(0x16) && !is_direct_tls(0));
    }

    #[test]
    fn an_oversized_packet_is_refused_by_its_length_alone() {
        let mut buffer = BytesMut::from(&10_001u32.to_be_bytes()[..]);
        assert_eq!(next_startup(&mut buffer), Err(CodecError::TooLong { length: 10_001, limit: 10_000 }));
        let mut buffer = BytesMut::from(&7u32.to_be_bytes()[..]);
        assert_eq!(next_startup(&mut buffer), Err(CodecError::BadLength { length: 7 }));
    }

    #[test]
    fn bytes_after_an_ssl_request_stay_in_the_buffer_to_be_refused() {
        let mut buffer = BytesMut::new();
        write::ssl_request(&mut buffer);
        buffer.extend_from_slice(b"smuggled");
        assert_eq!(next_startup(&mut buffer).unwrap().unwrap().len(), 8);
        assert_eq!(&buffer[..], b"smuggled");
    }

    #[test]
    fn a_parameter_named_twice_is_refused() {
        assert!(parse_startup(&packet(&[("user", "a"), ("user", "b")])).is_err());
    }

    #[test]
    fn protocol_2_is_refused() {
        let old = [0, 0, 0, 8, 0, 2, 0, 0];
        assert_eq!(parse_startup(&old), Err(CodecError::UnsupportedProtocol { major: 2, minor: 0 }));
    }

    #[test]
    fn a_cancel_secret_is_never_printed() {
        let opening = Opening::Cancel { pid: 7, secret: &[211, 212, 213, 214] };
        assert!(!format!("{opening:?}").contains("211"));
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let read = |text| parse_options(text).map_err(|_| ());
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read(r"-c countersign.mode=park --work-mem=1\ MB -ca=b"),
            Ok(vec![own("countersign.mode", "park"), own("work_mem", "1 MB"), own("a", "b")])
        );
        assert_eq!((read(""), read("-d 5"), read("-c")), (Ok(vec![]), Err(()), Err(())));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), code in 0usize..4) {
            let _ = parse_startup(&bytes);
            let codes = [write::PROTOCOL_3_0, SSL_REQUEST_CODE, CANCEL_REQUEST_CODE, GSS_ENC_REQUEST_CODE];
            let mut framed = u32::try_from(bytes.len() + 8).unwrap().to_be_bytes().to_vec();
            framed.extend_from_slice(&codes[code].to_be_bytes());
            framed.extend_from_slice(&bytes);
            let _ = parse_startup(&framed);
            let _ = next_startup(&mut BytesMut::from(&bytes[..]));
        }

        #[test]
        fn random_options_never_panic(text in "[-c=\\\\ a.]{0,40}") {
            let _ = parse_options(&text);
        }
    }
}
