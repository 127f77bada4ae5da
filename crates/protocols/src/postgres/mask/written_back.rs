//! Values that are no values: what the gate itself has put in the place of a labelled one, known again on its way back.
//! Knows no statement; is given one value at a time.

use super::partial::{ADDRESS_STARS, PARTIAL_CHARS_MIN, is_domain};
use super::token::{HEX_DIGITS, PREFIX, TokenKey, parse_uuid};
use super::value::{FIXED, STARS};

/// Longest part that a partial mask shows, in characters.
const SHOWN_CHARS_MAX: usize = countersign_core::mask::PART_CHARS_MAX as usize;

/// What a value was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenBack {
    /// A token of this gate: certain, for it bears a check that only its key makes.
    Token,
    /// What stands under a fixed mask.
    Fixed,
    /// What a partial mask leaves: by its stars.
    Partial,
}

/// Whether a value is what a mask of this gate left, or holds a token of it. What a mask made NULL or a range is a value
/// like any other, and is not known again.
#[must_use]
pub fn written_back(key: &TokenKey, value: &[u8]) -> Option<WrittenBack> {
    if let Ok(uuid) = value.try_into()
        && key.made_uuid(uuid)
    {
        return Some(WrittenBack::Token);
    }
    // The version before binary jsonb is no part of it, nor are the quotes of a JSON string.
    let text = std::str::from_utf8(value).ok()?;
    let text = text.strip_prefix('\u{1}').unwrap_or(text).trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if parse_uuid(text).is_some_and(|uuid| key.made_uuid(uuid)) || holds_token(key, text) {
        return Some(WrittenBack::Token);
    }
    whole(text).or_else(|| in_document(text))
}

/// Whether a text is what a mask left, from its beginning to its end.
fn whole(text: &str) -> Option<WrittenBack> {
    match text {
        FIXED => Some(WrittenBack::Fixed),
        _ if is_partial(text) => Some(WrittenBack::Partial),
        _ => None,
    }
}

/// Whether one of the strings of a document is: parts of documents have masks of their own. What is read are its strings
/// and nothing else, so that neither depth nor numbers matter.
fn in_document(text: &str) -> Option<WrittenBack> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut rest = text;
    while let Some((_, from)) = rest.split_once('"') {
        let end = string_end(from)?;
        let (string, after) = (from.get(..end)?, from.get(end + 1..)?);
        rest = after;
        let is_name = after.trim_start().starts_with(':');
        if !is_name && let Some(found) = in_string(string) {
            return Some(found);
        }
    }
    None
}

/// Where the quote stands that ends a string.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn in_string(string: &str) -> Option<WrittenBack> {
    if !string.contains('\\') {
        return whole(string);
    }
    let decoded: String = serde_json::from_str(&format!("\"{string}\"")).ok()?;
    whole(&decoded)
}

/// Wherever it stands: also in the middle of a longer text, or of a document.
fn holds_token(key: &TokenKey, text: &str) -> bool {
    let begins = text.match_indices(PREFIX);
    begins.into_iter().any(|(at, _)| {
        let rest = text.get(at..).unwrap_or_default();
        let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let longest = rest.bytes().take_while(|byte| word(byte)).count();
        // Letters and digits may stand right behind it.
        let ends = (PREFIX.len() + 1 + HEX_DIGITS..=longest).take(TOKEN_ENDS_MAX);
        ends.into_iter()
            .any(|end| rest.get(..end).is_some_and(|token| looks_like_token(token) && key.made(token)))
    })
}

/// How many ends of a token are looked for behind its beginning: a label has at most a hundred characters.
const TOKEN_ENDS_MAX: usize = 110;

fn looks_like_token(text: &str) -> bool {
    let digits = text.len().checked_sub(HEX_DIGITS).and_then(|at| text.split_at_checked(at));
    digits.is_some_and(|(head, digits)| {
        head.ends_with('_') && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_partial(text: &str) -> bool {
    let short = |shown: &str| shown.chars().count() <= SHOWN_CHARS_MAX && !shown.contains('*');
    let tail = text.strip_prefix(STARS).is_some_and(short);
    let head = text.strip_suffix(STARS).is_some_and(short);
    let address = text.split_once(ADDRESS_STARS).is_some_and(|(first, rest)| {
        let domain = rest.strip_prefix('@').unwrap_or_default();
        first.chars().count() <= 1 && is_domain(domain) && text.chars().count() >= PARTIAL_CHARS_MIN
    });
    tail || head || address
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::Format;
    use super::super::partial::PartialStyle;
    use super::super::value::{Masked, WireMask, mask_value};
    use super::*;
    use proptest::prelude::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32])
    }

    fn token() -> WireMask {
        WireMask::Token { class: "pii.email_2".into(), domain: "d".into(), key: key() }
    }

    fn masked(mask: &WireMask, oid: u32, format: Format, value: &[u8]) -> Vec<u8> {
        let Masked::Bytes(masked) = mask_value(mask, oid, format, value) else { panic!("{mask:?} {oid}") };
        masked
    }

    #[test]
    fn whatever_a_mask_left_is_known_again_in_every_type_and_format() {
        let uuid = *b"0123456789abcdef";
        let partial = |style| WireMask::Partial { style };
        for format in [Format::Text, Format::Binary] {
            for oid in [25, 1043, 1042, 19, 114, 3802, 142] {
                let value: &[u8] = b"jane.doe@example.org";
                for (mask, expected) in [
                    (token(), WrittenBack::Token),
                    (WireMask::Fixed, WrittenBack::Fixed),
                    (partial(PartialStyle::Auto), WrittenBack::Partial),
                    (partial(PartialStyle::Last(8)), WrittenBack::Partial),
                    (partial(PartialStyle::First(1)), WrittenBack::Partial),
                ] {
                    let left = masked(&mask, oid, format, value);
                    assert_eq!(written_back(&key(), &left), Some(expected), "{mask:?} {oid} {left:?}");
                }
            }
        }
        assert_eq!(
            written_back(&key(), &masked(&token(), 2950, Format::Binary, &uuid)),
            Some(WrittenBack::Token)
        );
        let text = masked(&token(), 2950, Format::Text, b"30313233-3435-3637-3839-616263646566");
        assert_eq!(written_back(&key(), &text), Some(WrittenBack::Token));
        assert_eq!(written_back(&key(), text.to_ascii_uppercase().as_slice()), Some(WrittenBack::Token));
    }

    #[test]
    fn a_token_is_known_within_a_longer_text_and_that_of_another_gate_is_not() {
        let left = String::from_utf8(masked(&token(), 25, Format::Text, b"x")).unwrap();
        for around in [
            format!("dear {left}!"),
            format!("{left}abc0"),
            format!("tok_tok_{left}"),
            format!(r#"{{"a":"{left}"}}"#),
        ] {
            assert_eq!(written_back(&key(), around.as_bytes()), Some(WrittenBack::Token), "{around}");
            assert_eq!(written_back(&TokenKey::new(&[8; 32]), around.as_bytes()), None);
        }
        assert_eq!(written_back(&key(), &left.as_bytes()[..left.len() - 1]), None);
    }

    #[test]
    fn what_a_mask_left_is_known_in_every_string_of_a_document() {
        for (document, expected) in [
            (r#"{"a": {"email": "[masked]"}}"#, Some(WrittenBack::Fixed)),
            (r#"[1, {"a": ["****1111"]}]"#, Some(WrittenBack::Partial)),
            (r#"{"a": "it was [masked] there", "b": "*", "c": 1}"#, None),
            (r#"{"[masked]": 1}"#, None),
            (r#"{"a": "\u005bmasked]"}"#, Some(WrittenBack::Fixed)),
            (r#"{"a": 1e999, "a": "[masked]", "a": "b"}"#, Some(WrittenBack::Fixed)),
            (r#"{"a": "say \"hi\"", "b": "\\"}"#, None),
            (r#"{"a": "[masked]"#, None),
        ] {
            assert_eq!(written_back(&key(), document.as_bytes()), expected, "{document}");
        }
    }

    #[test]
    fn a_value_like_any_other_is_none() {
        for value in [
            "",
            "jane@example.org",
            "[masked",
            "masked",
            "a [masked] b",
            "***",
            "*****",
            "** note **",
            "5 stars ****!",
            "4****1234",
            "tok_pii_email_",
            "tok_pii_email_0123456789abcdef01234567",
            "12345678-9abc-4def-8123-456789abcdef",
            "jane***@example.org",
            "j***@",
            "(****)",
            "************",
        ] {
            assert_eq!(written_back(&key(), value.as_bytes()), None, "{value}");
        }
        assert_eq!(written_back(&key(), b"0123456789abcdef"), None);
        assert_eq!(written_back(&key(), b"\xff\xfe"), None);
    }

    proptest! {
        #[test]
        fn whatever_a_partial_mask_leaves_is_known_again(value in any::<String>(), shown in 1u8..=8) {
            for style in [PartialStyle::Auto, PartialStyle::Email, PartialStyle::Last(shown), PartialStyle::First(shown)] {
                let left = masked(&WireMask::Partial { style }, 25, Format::Text, value.as_bytes());
                let trimmed = std::str::from_utf8(&left).unwrap().trim() == std::str::from_utf8(&left).unwrap();
                if trimmed && !value.contains(['*', '"', '\u{1}']) {
                    prop_assert_eq!(written_back(&key(), &left), Some(WrittenBack::Partial));
                }
            }
        }
    }
}
