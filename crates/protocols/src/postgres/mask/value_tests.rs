//! Promises of masked values: what a method cannot speak of becomes NULL, what comes out is a value of its type.

use super::*;

const FORMATS: [Format; 2] = [Format::Text, Format::Binary];

fn token() -> WireMask {
    WireMask::Token { class: "pii.email".into(), domain: "d".into(), key: TokenKey::new(&[7; 32]) }
}

fn shown(mask: &WireMask, oid: u32, format: Format, value: &[u8]) -> Option<String> {
    match mask_value(mask, oid, format, value) {
        Masked::Keep => panic!("kept"),
        Masked::Null => None,
        Masked::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
    }
}

#[test]
fn a_method_that_cannot_speak_of_a_type_gives_null() {
    let masks = [token(), WireMask::Fixed, WireMask::Partial { style: PartialStyle::Auto }];
    let years = [WireMask::Bucket(Bucket::Year), WireMask::Bucket(Bucket::Width(10))];
    // bool, bytea, "char", numbers, dates, bit, money, inet, arrays, ranges, records, what a user made.
    for oid in [
        16, 17, 18, 20, 21, 23, 26, 700, 701, 790, 869, 1082, 1114, 1184, 1560, 1700, 1009, 2249, 3904,
        90_000,
    ] {
        for format in FORMATS {
            for mask in &masks {
                assert!(mask_value(mask, oid, format, b"12345678") == Masked::Null, "{mask:?} {oid}");
            }
        }
    }
    for oid in [16, 17, 18, 19, 25, 26, 114, 790, 869, 1042, 1043, 1083, 1186, 1560, 2950, 3802, 1009, 90_000]
    {
        for mask in &years {
            for format in FORMATS {
                assert!(mask_value(mask, oid, format, b"2024-01-01") == Masked::Null, "{mask:?} {oid}");
            }
        }
    }
}

#[test]
fn a_text_has_the_same_token_whatever_its_type_and_its_format() {
    let expected = shown(&token(), TEXT_OID, Format::Text, b"ab").unwrap();
    for oid in [TEXT_OID, VARCHAR_OID, BPCHAR_OID, NAME_OID] {
        for format in FORMATS {
            assert_eq!(shown(&token(), oid, format, b"ab").as_deref(), Some(expected.as_str()));
        }
    }
    assert_eq!(
        shown(&token(), BPCHAR_OID, Format::Text, b"ab  "),
        Some(expected.clone()),
        "padding is no part of it"
    );
    assert_ne!(shown(&token(), TEXT_OID, Format::Text, b"ab  "), Some(expected));
}

#[test]
fn masked_json_is_json() {
    for mask in [token(), WireMask::Fixed, WireMask::Partial { style: PartialStyle::Last(4) }] {
        let json = br#"{"ssn":"123-45-6789"}"#;
        let text = shown(&mask, JSON_OID, Format::Text, json).unwrap();
        assert!(serde_json::from_str::<String>(&text).is_ok() && !text.contains("6789"), "{text}");
        assert_eq!(shown(&mask, JSON_OID, Format::Binary, json), Some(text.clone()));
        assert_eq!(shown(&mask, JSONB_OID, Format::Text, json), Some(text.clone()));
        let binary = [&[1][..], json].concat();
        assert_eq!(shown(&mask, JSONB_OID, Format::Binary, &binary), Some(format!("\u{1}{text}")));
    }
}

#[test]
fn a_name_that_gets_too_long_shows_nothing() {
    let partial = WireMask::Partial { style: PartialStyle::Email };
    let longest = format!("ab@{}.de", "c".repeat(57));
    assert_eq!(longest.len(), NAME_BYTES_MAX);
    assert_eq!(shown(&partial, NAME_OID, Format::Text, longest.as_bytes()).as_deref(), Some(STARS));
    assert!(shown(&partial, TEXT_OID, Format::Text, longest.as_bytes()).unwrap().starts_with("a***@"));
    let class = "pii.".to_owned() + &"x".repeat(60);
    let token = WireMask::Token { class: class.into(), domain: "d".into(), key: TokenKey::new(&[7; 32]) };
    assert_eq!(shown(&token, NAME_OID, Format::Text, b"x"), None);
}

#[test]
fn every_fixed_value_is_the_same() {
    for value in [&b""[..], b"jane@example.org", b"\xff\xfe"] {
        assert_eq!(shown(&WireMask::Fixed, TEXT_OID, Format::Binary, value).as_deref(), Some(FIXED));
    }
}
