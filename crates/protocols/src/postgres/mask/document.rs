//! Parts of JSON documents under masks of their own. What stands elsewhere in the document is passed on as it was, to the
//! last digit of a number; members keep their order, and of members of one name each is masked.

use super::super::codec::Format;
use super::value::{FIXED, Masked, NUMERIC_OID, TEXT_OID, WireMask, mask_value};
use countersign_core::key_path::{KeyPath, Step};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A masked document has at most so many bytes.
const MASKED_BYTES_MAX: usize = 256 << 20;

/// A place within documents, and what becomes of what stands there.
#[derive(Debug, Clone)]
pub struct Part {
    /// The place.
    pub path: KeyPath,
    /// The mask.
    pub mask: WireMask,
}

/// What of a part is still ahead.
type Ahead<'a> = (&'a [Step], &'a WireMask);

/// The document with its parts masked; none where it is no document, so that nobody can say where they are, or where it
/// would get too long.
pub(super) fn masked(parts: &[Part], document: &[u8]) -> Option<Vec<u8>> {
    masked_within(MASKED_BYTES_MAX, parts, document)
}

fn masked_within(bytes_max: usize, parts: &[Part], document: &[u8]) -> Option<Vec<u8>> {
    let document: &RawValue = serde_json::from_slice(document).ok()?;
    let ahead: Vec<Ahead<'_>> = parts.iter().map(|part| (part.path.steps(), &part.mask)).collect();
    let mut out = Written { text: String::with_capacity(document.get().len().min(bytes_max)), bytes_max };
    put(&ahead, document, &mut out)?;
    Some(out.text.into_bytes())
}

/// What is written so far, and how much it may become.
struct Written {
    text: String,
    bytes_max: usize,
}

impl Written {
    fn push(&mut self, text: &str) -> Option<()> {
        self.text.push_str(text);
        (self.text.len() <= self.bytes_max).then_some(())
    }
}

fn put(ahead: &[Ahead<'_>], value: &RawValue, out: &mut Written) -> Option<()> {
    let mut here = ahead.iter().filter(|(steps, _)| steps.is_empty()).map(|(_, mask)| *mask);
    match (here.next(), here.next()) {
        (Some(mask), None) => out.push(&leaf(mask, value)),
        // Two masks for one place: neither speaks for the other.
        (Some(_), Some(_)) => out.push("null"),
        (None, _) if ahead.is_empty() => out.push(value.get()),
        (None, _) => within(ahead, value, out),
    }
}

fn within(ahead: &[Ahead<'_>], value: &RawValue, out: &mut Written) -> Option<()> {
    if !value.get().starts_with(['{', '[']) {
        return out.push(value.get());
    }
    let mut document = serde_json::Deserializer::from_str(value.get());
    document.deserialize_any(Within { ahead, out }).ok()
}

/// Writes the members or elements one by one as they are read, also those of one name.
struct Within<'a> {
    ahead: &'a [Ahead<'a>],
    out: &'a mut Written,
}

impl Within<'_> {
    fn put<E: de::Error>(&mut self, name: &str, value: &RawValue) -> Result<(), E> {
        let done = put(&below(self.ahead, name), value, self.out);
        done.ok_or_else(|| E::custom("it gets too long, or is no document"))
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut between = "{";
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            self.out.text.push_str(between);
            self.out.text.push_str(&text(&name));
            self.out.text.push_str(": ");
            self.put(&name, value)?;
            between = ", ";
        }
        self.out.text.push_str(if between == "{" { "{}" } else { "}" });
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut between = "[";
        let mut at = 0_usize;
        while let Some(value) = elements.next_element::<&RawValue>()? {
            self.out.text.push_str(between);
            self.put(&at.to_string(), value)?;
            between = ", ";
            at += 1;
        }
        self.out.text.push_str(if between == "[" { "[]" } else { "]" });
        Ok(())
    }
}

/// What is still ahead within the member or element of this name.
fn below<'a>(ahead: &[Ahead<'a>], name: &str) -> Vec<Ahead<'a>> {
    let enters = |(steps, mask): &Ahead<'a>| {
        let (first, rest) = steps.split_first()?;
        let named = match first {
            Step::Every => true,
            Step::Named(wanted) => wanted == name,
        };
        named.then_some((rest, *mask))
    };
    ahead.iter().filter_map(enters).collect()
}

/// What stands in the place of a masked part. Of objects and arrays nothing is shown.
fn leaf(mask: &WireMask, value: &RawValue) -> String {
    let raw = value.get();
    let masked = match (raw.as_bytes().first(), mask) {
        (Some(b'n'), _) => None,
        (_, WireMask::Clear) => return raw.to_owned(),
        (_, WireMask::Fixed) => Some(text(FIXED)),
        (Some(b'"'), _) => serde_json::from_str::<String>(raw).ok().and_then(|value| {
            match mask_value(mask, TEXT_OID, Format::Text, value.as_bytes()) {
                Masked::Bytes(bytes) => String::from_utf8(bytes).ok().map(|masked| text(&masked)),
                Masked::Keep | Masked::Null => None,
            }
        }),
        (Some(b'-' | b'0'..=b'9'), WireMask::Bucket(_)) => {
            match mask_value(mask, NUMERIC_OID, Format::Text, raw.as_bytes()) {
                Masked::Bytes(bytes) => String::from_utf8(bytes).ok().filter(|masked| is_number(masked)),
                Masked::Keep | Masked::Null => None,
            }
        }
        _ => None,
    };
    masked.unwrap_or_else(|| "null".to_owned())
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{PartialStyle, TokenKey};
    use super::*;
    use countersign_core::mask::Bucket;
    use proptest::prelude::*;

    fn part(path: &str, mask: WireMask) -> Part {
        Part { path: KeyPath::parse(path).unwrap(), mask }
    }

    fn token() -> WireMask {
        WireMask::Token { class: "pii.email".into(), domain: "d".into(), key: TokenKey::new(&[7; 32]) }
    }

    fn shown(parts: &[Part], document: &str) -> String {
        String::from_utf8(masked(parts, document.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn only_what_stands_at_a_path_is_masked_and_the_rest_stays_to_the_last_digit() {
        let parts = [part("/email", WireMask::Fixed), part("/c/*/p", WireMask::Null)];
        let document = r#"{"a": 1.00000000000000000000000001e2, "email": "j@x.org", "c": [{"p": "1", "k": true}, {"p": 2}, 3], "z": {"email": "other"}}"#;
        let expected = r#"{"a": 1.00000000000000000000000001e2, "email": "[masked]", "c": [{"p": null, "k": true}, {"p": null}, 3], "z": {"email": "other"}}"#;
        assert_eq!(shown(&parts, document), expected);
    }

    #[test]
    fn a_name_is_known_however_it_is_written_and_as_often_as_it_stands_there() {
        let parts = [part("/email", WireMask::Fixed)];
        let document = r#"{"e\u006dail": "a@x", "email": "b@x", "email": {"c": "d@x"}}"#;
        assert_eq!(
            shown(&parts, document),
            r#"{"email": "[masked]", "email": "[masked]", "email": "[masked]"}"#
        );
    }

    #[test]
    fn each_method_speaks_of_what_it_can_and_the_rest_is_null() {
        let one = |mask, value: &str| shown(&[part("/0", mask)], &format!("[{value}]"));
        assert_eq!(
            one(WireMask::Partial { style: PartialStyle::Last(4) }, "\"4111111111111111\""),
            r#"["****1111"]"#
        );
        assert!(one(token(), "\"a@x\"").starts_with(r#"["tok_pii_email_"#));
        assert_eq!(one(token(), "17"), "[null]");
        assert_eq!(one(token(), "{\"a\": \"b@x\"}"), "[null]");
        assert_eq!(one(WireMask::Bucket(Bucket::Width(100)), "317.5"), "[300]");
        assert_eq!(one(WireMask::Bucket(Bucket::Width(100)), "\"317\""), "[null]");
        assert_eq!(one(WireMask::Fixed, "null"), "[null]");
        assert_eq!(one(WireMask::Fixed, "false"), r#"["[masked]"]"#);
    }

    #[test]
    fn what_gets_too_long_by_its_masks_is_no_document() {
        let (document, elsewhere) = (b"[1, 1, 1]", [part("/email", WireMask::Null)]);
        assert!(masked_within(document.len(), &elsewhere, document).is_some());
        assert_eq!(masked_within(document.len() - 2, &elsewhere, document), None);
        assert_eq!(masked_within(30, &[part("/*", WireMask::Fixed)], document), None);
        assert_eq!(
            shown(&[part("/*", WireMask::Fixed)], "{\"a\": [], \"b\": {}}"),
            r#"{"a": "[masked]", "b": "[masked]"}"#
        );
        assert_eq!(shown(&[part("/*/*", WireMask::Fixed)], "[[], {}]"), "[[], {}]");
    }

    #[test]
    fn of_two_masks_for_one_place_neither_counts() {
        let partial = WireMask::Partial { style: PartialStyle::Last(4) };
        let parts = [part("/*", partial), part("/email", WireMask::Fixed)];
        assert_eq!(shown(&parts, r#"{"email": "jane@example.org"}"#), r#"{"email": null}"#);
        let parts = [part("/a", WireMask::Null), part("/a/b", WireMask::Fixed)];
        assert_eq!(shown(&parts, r#"{"a": {"b": "c"}}"#), r#"{"a": null}"#);
    }

    #[test]
    fn what_is_no_document_has_no_parts() {
        for broken in
            ["", "{", "{\"email\": \"a@x\"", "{\"email\": \"a@x\"} x", "{\"a\": \"\u{7}\"}", "{email: 1}"]
        {
            assert_eq!(masked(&[part("/email", WireMask::Fixed)], broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(masked(&[part("/email", WireMask::Fixed)], b"{\"email\": \"\xff\"}"), None);
    }

    fn documents() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let name = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), "\\PC{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map(name, inner, 0..4)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    /// The same by another way: through the tree of values.
    fn expected(value: &serde_json::Value, steps: &[&str]) -> serde_json::Value {
        use serde_json::Value;
        let Some((first, rest)) = steps.split_first() else {
            return if value.is_null() { Value::Null } else { FIXED.into() };
        };
        match value {
            Value::Object(members) => {
                let each = |(name, value): (&String, &Value)| {
                    let value =
                        if *first == "*" || first == name { expected(value, rest) } else { value.clone() };
                    (name.clone(), value)
                };
                Value::Object(members.iter().map(each).collect())
            }
            Value::Array(elements) => {
                let each = |(at, value): (usize, &Value)| {
                    if *first == "*" || *first == at.to_string() {
                        expected(value, rest)
                    } else {
                        value.clone()
                    }
                };
                Value::Array(elements.iter().enumerate().map(each).collect())
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_document_is_masked_where_the_path_leads_and_nowhere_else(
            document in documents(),
            steps in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "0"]), 1..4),
        ) {
            let parts = [part(&format!("/{}", steps.join("/")), WireMask::Fixed)];
            let out: serde_json::Value = serde_json::from_str(&shown(&parts, &document.to_string())).unwrap();
            prop_assert_eq!(out, expected(&document, &steps));
        }
    }
}
