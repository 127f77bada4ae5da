//! From when to when a certificate is good (RFC 5280 §4.1.2.5). Reads just enough DER to find it; whether the certificate
//! is to be trusted is the matter of TLS, which has read all of it before.

use countersign_core::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a DER certificate begins and ends to be valid; none where it does not say so as RFC 5280 has it.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (body, _) = element(body, SEQUENCE)?;
    let (_version, rest) = element(body, VERSION)?;
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, rest) = time(rest)?;
    rest.is_empty().then_some((not_before, not_after))
}

/// What the authority has signed; none where that cannot be found. What is around it may be written otherwise: of an ECDSA
/// signature anybody can make another one that is as good.
pub(super) fn signed_part(certificate: &[u8]) -> Option<&[u8]> {
    let (body, _) = element(certificate, SEQUENCE)?;
    element(body, SEQUENCE).map(|(signed, _)| signed)
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, century) = match element(der, UTC_TIME) {
        Some((text, rest)) => (text, rest, Some(if text.first()? >= &b'5' { "19" } else { "20" })),
        None => element(der, GENERALIZED_TIME).map(|(text, rest)| (text, rest, None))?,
    };
    let text = format!("{}{}", century.unwrap_or_default(), std::str::from_utf8(text).ok()?);
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let part = |from: usize, to: usize| digits.get(from..to);
    if digits.len() != 14 {
        return None;
    }
    let (date, hours) = (
        format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?),
        format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?),
    );
    Some((Timestamp::parse(&format!("{date}T{hours}Z")).ok()?, rest))
}

/// The content of the DER element at the front, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if bytes.len() > 4 {
                return None;
            }
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}
