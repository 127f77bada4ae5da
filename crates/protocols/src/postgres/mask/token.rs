//! Keyed pseudonyms: equal for equal values of one column, and known again by the key that made them.
//!
//! A text becomes `tok_CLASS_` and 24 hex digits: 16 of HMAC-SHA-256 over the column and the value, 8 of HMAC-SHA-256
//! over what stands before them. A UUID becomes a UUID of version 8 whose halves are made in the same way.

use std::sync::Arc;

use aws_lc_rs::hmac;

use super::super::codec::Format;

/// What every token begins with.
pub(super) const PREFIX: &str = "tok_";
/// Bytes of the HMAC over the value that a token shows (twice as many hex digits).
const VALUE_BYTES: usize = 8;
/// Bytes of the HMAC over the token itself.
const CHECK_BYTES: usize = 4;
/// Hex digits at the end of a token.
pub(super) const HEX_DIGITS: usize = 2 * (VALUE_BYTES + CHECK_BYTES);

/// The key under which tokens are made. The same value of the same column has the same token under it.
#[derive(Clone)]
pub struct TokenKey {
    key: Arc<hmac::Key>,
    target: Arc<str>,
}

impl TokenKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)), target: "".into() }
    }

    /// The same key where it makes tokens for one target: it knows those of the others, and makes none like them.
    #[must_use]
    pub fn of_target(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }

    /// The token of a value. No two domains differ only by what stands behind a zero byte in one of them.
    pub(super) fn text(&self, class: &str, domain: &str, value: &[u8]) -> String {
        let mut token = String::with_capacity(PREFIX.len() + class.len() + 1 + HEX_DIGITS);
        token.push_str(PREFIX);
        token.extend(class.chars().map(|char| if char == '.' { '_' } else { char }));
        token.push('_');
        push_hex(&mut token, &self.half::<VALUE_BYTES>(b"text", &self.of_column(domain, value)));
        let check = self.half::<CHECK_BYTES>(b"text check", &[token.as_bytes()]);
        push_hex(&mut token, &check);
        token
    }

    /// Whether this key made a token.
    pub(super) fn made(&self, token: &str) -> bool {
        let Some((body, check)) =
            token.len().checked_sub(2 * CHECK_BYTES).and_then(|at| token.split_at_checked(at))
        else {
            return false;
        };
        let mut expected = String::with_capacity(check.len());
        push_hex(&mut expected, &self.half::<CHECK_BYTES>(b"text check", &[body.as_bytes()]));
        expected == check
    }

    /// Whether this key made a UUID.
    pub(super) fn made_uuid(&self, uuid: [u8; 16]) -> bool {
        let (value, _) = halves(uuid);
        uuid == self.whole_uuid(value)
    }

    fn uuid(&self, domain: &str, value: [u8; 16]) -> [u8; 16] {
        let mut half = self.half::<VALUE_BYTES>(b"uuid", &self.of_column(domain, &value));
        half[6] = (half[6] & 0x0f) | 0x80;
        self.whole_uuid(half)
    }

    fn whole_uuid(&self, half: [u8; 8]) -> [u8; 16] {
        let mut check = self.half::<VALUE_BYTES>(b"uuid check", &[&half]);
        check[0] = (check[0] & 0x3f) | 0x80;
        u128::to_be_bytes(
            (u128::from(u64::from_be_bytes(half)) << 64) | u128::from(u64::from_be_bytes(check)),
        )
    }

    fn of_column<'a>(&'a self, domain: &'a str, value: &'a [u8]) -> [&'a [u8]; 5] {
        [self.target.as_bytes(), &[0], domain.as_bytes(), &[0], value]
    }

    // The first bytes of the HMAC over the parts, for one use of the key alone.
    fn half<const BYTES: usize>(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
        context.update(&[0]);
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().first_chunk().copied().unwrap_or([0; BYTES])
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// The token of a UUID; none where the value is none.
pub(super) fn of_uuid(key: &TokenKey, domain: &str, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    match format {
        Format::Binary => Some(key.uuid(domain, value.try_into().ok()?).to_vec()),
        Format::Text => {
            let uuid = key.uuid(domain, parse_uuid(std::str::from_utf8(value).ok()?)?);
            Some(uuid_text(uuid).into_bytes())
        }
    }
}

/// A UUID as the server writes it, or with other letters.
pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let hyphens = text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    if text.len() != 36 || !hyphens {
        return None;
    }
    let digits: String = text.chars().filter(|char| *char != '-').collect();
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(&digits, 16).ok().filter(|_| plain).map(u128::to_be_bytes)
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push_hex(&mut text, &[*byte]);
    }
    text
}

fn halves(uuid: [u8; 16]) -> ([u8; 8], [u8; 8]) {
    let whole = u128::from_be_bytes(uuid);
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default().to_be_bytes();
    (half(whole >> 64), half(whole))
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0x0f] {
            out.extend(char::from_digit(u32::from(digit), 16));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32])
    }

    fn hex(input: &[u8], digits: usize) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), input);
        let all: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        all[..digits].to_owned()
    }

    #[test]
    fn a_token_is_the_hmac_of_its_column_and_the_value_with_a_check_behind() {
        let body = format!("tok_pii_email_{}", hex(b"text\0shop\0customers.email\0jane@example.org", 16));
        let expected = format!("{body}{}", hex(format!("text check\0{body}").as_bytes(), 8));
        let of = |key: TokenKey, domain, value: &str| key.text("pii.email", domain, value.as_bytes());
        let shop = || key().of_target("shop");
        assert_eq!(of(shop(), "customers.email", "jane@example.org"), expected);
        for other in [
            of(key().of_target("shop2"), "customers.email", "jane@example.org"),
            of(shop(), "customers.name", "jane@example.org"),
            of(shop(), "customers.email", "john@example.org"),
        ] {
            assert_ne!(other, expected);
            assert!(shop().made(&other), "of whichever target");
        }
    }

    #[test]
    fn a_key_knows_its_own_tokens_and_no_others() {
        let token = key().text("pii.email", "d", b"x");
        assert!(key().made(&token));
        assert!(!TokenKey::new(&[8; 32]).made(&token));
        for at in 0..token.len() {
            let other = if &token[at..=at] == "0" { "1" } else { "0" };
            assert!(!key().made(&[&token[..at], other, &token[at + 1..]].concat()), "{at}");
        }
        for text in ["", "tok_", "tok_pii_email_", "ü"] {
            assert!(!key().made(text), "{text}");
        }
    }

    #[test]
    fn a_uuid_becomes_a_uuid_of_version_8_that_its_key_knows() {
        let text = "12345678-9abc-4def-8123-456789abcdef";
        let raw = parse_uuid(text).unwrap();
        let binary = of_uuid(&key(), "d", Format::Binary, &raw).unwrap();
        let written = of_uuid(&key(), "d", Format::Text, text.as_bytes()).unwrap();
        let written = std::str::from_utf8(&written).unwrap();
        assert_eq!(parse_uuid(written).unwrap().as_slice(), binary);
        assert_eq!((&written[14..15], u8::from_str_radix(&written[19..20], 16).unwrap() >> 2), ("8", 2));
        assert!(key().made_uuid(binary.clone().try_into().unwrap()) && !key().made_uuid(raw));
        assert_ne!(of_uuid(&key(), "e", Format::Binary, &raw).unwrap(), binary);
        for no_uuid in [&b""[..], b"12345678", &raw[..15], b"{12345678-9abc-4def-8123-456789abcdef}"] {
            assert_eq!(of_uuid(&key(), "d", Format::Text, no_uuid), None);
        }
        assert_eq!(of_uuid(&key(), "d", Format::Binary, &raw[..15]), None);
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", TokenKey::new(&[42; 32])), "TokenKey(…)");
    }
}
