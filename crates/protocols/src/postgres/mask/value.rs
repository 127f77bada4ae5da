//! One value and its mask. Types of which the masked text would not be a value become NULL, which every
//! driver can read.

use std::sync::Arc;

use aws_lc_rs::hmac;

/// Shortest value of which a partial mask shows anything, in characters.
pub const PARTIAL_CHARS_MIN: usize = 8;
/// Characters that a partial mask shows at the end.
pub const PARTIAL_TAIL_CHARS: usize = 4;
/// Stars that stand for what is hidden: always as many, so that they tell no length.
const STARS: &str = "****";
/// Bytes of the HMAC that a token shows (twice as many hex digits).
const TOKEN_BYTES: usize = 8;

const NAME_OID: u32 = 19;
const TEXT_OID: u32 = 25;
const JSON_OID: u32 = 114;
const BPCHAR_OID: u32 = 1042;
const VARCHAR_OID: u32 = 1043;

/// The key under which tokens are made. The same value of the same class has the same token under it.
#[derive(Clone)]
pub struct TokenKey(Arc<hmac::Key>);

impl TokenKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// What happens to a column's values.
#[derive(Debug, Clone)]
pub enum WireMask {
    /// Passes as it is.
    Clear,
    /// Becomes NULL.
    Null,
    /// Becomes a token that is the same for the same value: `tok_<class>_<16 hex digits>`.
    Token {
        /// Label of the column, for example `pii.email`.
        class: Arc<str>,
        /// The key.
        key: TokenKey,
    },
    /// Shows a part.
    Partial {
        /// Which part.
        style: PartialStyle,
    },
}

impl WireMask {
    /// Whether values pass as they are.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        matches!(self, Self::Clear)
    }
}

/// Which part of a value a partial mask shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialStyle {
    /// As [`Self::Email`] where there is an `@`, else as [`Self::Tail`].
    Auto,
    /// The first character and the domain.
    Email,
    /// The last four characters.
    Tail,
}

/// A value after its mask.
#[derive(Clone, PartialEq, Eq)]
pub enum Masked {
    /// The value as it was.
    Keep,
    /// NULL.
    Null,
    /// This text in its place.
    Text(String),
}

/// Whether a type's values are the same text in both formats and any text is a value of it. JSON is one,
/// for its masks are JSON strings.
#[must_use]
pub const fn is_text_like(type_oid: u32) -> bool {
    matches!(type_oid, NAME_OID | TEXT_OID | JSON_OID | BPCHAR_OID | VARCHAR_OID)
}

/// Masks one value that is not NULL.
#[must_use]
pub fn mask_value(mask: &WireMask, type_oid: u32, value: &[u8]) -> Masked {
    let text = match mask {
        WireMask::Clear => return Masked::Keep,
        WireMask::Null => return Masked::Null,
        WireMask::Token { .. } | WireMask::Partial { .. } if !is_text_like(type_oid) => return Masked::Null,
        WireMask::Token { class, key } => token(class, key, without_padding(type_oid, value)),
        // No part of a JSON document is harmless by its place.
        WireMask::Partial { .. } if type_oid == JSON_OID => STARS.to_owned(),
        WireMask::Partial { style } => partial(*style, without_padding(type_oid, value)),
    };
    if type_oid == JSON_OID { Masked::Text(json_string(&text)) } else { Masked::Text(text) }
}

/// The blanks that fill up a `char(n)` are no part of its value.
fn without_padding(type_oid: u32, value: &[u8]) -> &[u8] {
    let mut value = value;
    while let (BPCHAR_OID, [head @ .., b' ']) = (type_oid, value) {
        value = head;
    }
    value
}

fn token(class: &str, key: &TokenKey, value: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&key.0);
    context.update(class.as_bytes());
    context.update(&[0]);
    context.update(value);
    let mut token = String::with_capacity("tok__".len() + class.len() + 2 * TOKEN_BYTES);
    token.push_str("tok_");
    token.extend(class.chars().map(|char| if char == '.' { '_' } else { char }));
    token.push('_');
    for byte in context.sign().as_ref().iter().take(TOKEN_BYTES) {
        for digit in [byte >> 4, byte & 0x0f] {
            token.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    token
}

fn partial(style: PartialStyle, value: &[u8]) -> String {
    // What is not UTF-8 has no last four characters.
    let Ok(value) = std::str::from_utf8(value) else { return STARS.to_owned() };
    if value.chars().count() < PARTIAL_CHARS_MIN {
        return STARS.to_owned();
    }
    match style {
        PartialStyle::Email => email(value),
        PartialStyle::Tail => tail(value),
        PartialStyle::Auto if value.contains('@') => email(value),
        PartialStyle::Auto => tail(value),
    }
}

/// `jane@example.org` as `j***@example.org`. Where there is not exactly one `@`, or a domain that is not
/// one, nothing is shown: the column may hold something else than addresses.
fn email(value: &str) -> String {
    let parts = value.split_once('@').filter(|(_, domain)| {
        domain.contains('.') && domain.chars().all(|char| char.is_alphanumeric() || matches!(char, '.' | '-'))
    });
    let Some((local, domain)) = parts else { return STARS.to_owned() };
    let mut chars = local.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(_)) => format!("{first}***@{domain}"),
        // One character is all there is of the name.
        _ => format!("***@{domain}"),
    }
}

fn tail(value: &str) -> String {
    let hidden = value.chars().count().saturating_sub(PARTIAL_TAIL_CHARS);
    STARS.chars().chain(value.chars().skip(hidden)).collect()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32])
    }

    fn token_of(class: &str, oid: u32, value: &str) -> Masked {
        mask_value(&WireMask::Token { class: class.into(), key: key() }, oid, value.as_bytes())
    }

    fn partial_of(style: PartialStyle, value: &str) -> String {
        partial(style, value.as_bytes())
    }

    #[test]
    fn a_token_is_the_hmac_of_class_and_value() {
        let input = b"pii.email\0jane@example.org".to_vec();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &input);
        let hex: String = tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = Masked::Text(format!("tok_pii_email_{hex}"));
        assert!(token_of("pii.email", TEXT_OID, "jane@example.org") == expected);
        assert!(token_of("pii.email", VARCHAR_OID, "jane@example.org") == expected);
        assert!(token_of("pii.name", TEXT_OID, "jane@example.org") != expected);
        assert!(token_of("pii.email", TEXT_OID, "john@example.org") != expected);
    }

    #[test]
    fn padding_is_no_part_of_a_value() {
        assert!(token_of("c", BPCHAR_OID, "ab  ") == token_of("c", TEXT_OID, "ab"));
        assert!(token_of("c", TEXT_OID, "ab  ") != token_of("c", TEXT_OID, "ab"));
    }

    #[test]
    fn a_type_that_text_would_break_becomes_null() {
        for oid in [16, 17, 18, 20, 21, 23, 700, 701, 705, 1082, 1114, 1184, 1700, 2950, 3802, 1009, 90_000] {
            assert!(token_of("c", oid, "12345678") == Masked::Null, "{oid}");
            let partial = WireMask::Partial { style: PartialStyle::Auto };
            assert!(mask_value(&partial, oid, b"12345678") == Masked::Null, "{oid}");
        }
    }

    #[test]
    fn masked_json_is_json() {
        let Masked::Text(text) = token_of("c", JSON_OID, r#"{"a":1}"#) else { panic!("not text") };
        assert!(serde_json::from_str::<String>(&text).unwrap().starts_with("tok_c_"));
        let partial = WireMask::Partial { style: PartialStyle::Tail };
        assert!(mask_value(&partial, JSON_OID, br#"{"ssn":"123-45"}"#) == Masked::Text("\"****\"".into()));
    }

    #[test]
    fn a_partial_mask_shows_its_part_only() {
        let cases = [
            (PartialStyle::Auto, "jane@example.org", "j***@example.org"),
            (PartialStyle::Email, "j@example.org", "***@example.org"),
            (PartialStyle::Email, "4111111111111111", "****"),
            (PartialStyle::Email, "a@b.c d, x@example.org", "****"),
            (PartialStyle::Tail, "jane@example.org", "****.org"),
            (PartialStyle::Auto, "4111111111111234", "****1234"),
            (PartialStyle::Auto, "1234567", "****"),
            (PartialStyle::Auto, "a@b.org", "****"),
            (PartialStyle::Auto, "", "****"),
            (PartialStyle::Tail, "Grüße an Änne", "****Änne"),
        ];
        for (style, value, expected) in cases {
            assert_eq!(partial_of(style, value), expected, "{value}");
        }
        assert_eq!(partial(PartialStyle::Tail, b"\xff\xfe12345678"), "****");
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", TokenKey::new(&[42; 32])), "TokenKey(…)");
    }
}
