//! Canonical JSON (RFC 8785) over integers, strings, booleans, null, arrays and objects. Refuses fractions:
//! nothing that is hashed here may depend on how a number prints.

mod writer;

use serde::Serialize;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or beyond 2^53 - 1, where readers of JSON may disagree.
    #[error("expected whole numbers of at most 53 bits in what is hashed, found `{0}`")]
    Number(String),
    /// The value does not serialise to JSON.
    #[error("cannot be written as JSON: {0}")]
    Shape(String),
}

const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The canonical bytes of anything that serialises.
///
/// # Errors
/// A number that is not a whole one of at most 53 bits, or a type that JSON cannot hold.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut writer = writer::Writer::default();
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[test]
    fn members_are_ordered_by_utf_16_units() {
        // The example of RFC 8785 §3.2.3.
        let value: Value = serde_json::from_str(
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
        )
        .expect("the RFC's example parses");
        let text = String::from_utf8(to_bytes(&value).expect("canonical")).expect("utf-8");
        let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let places: Vec<_> = order.iter().map(|name| text.find(name).expect(name)).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn fractions_and_large_numbers_are_refused() {
        for value in [json!(0.5), json!(1e300), json!(9_007_199_254_740_992u64), json!([{"a": -0.1}])] {
            assert!(to_bytes(&value).is_err(), "{value}");
        }
        assert_eq!(to_bytes(&json!(-42)).expect("whole"), b"-42");
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_as_the_same_value(text in ".*", number in -9_000_000_000i64..9_000_000_000) {
            let value = json!({ "b": text, "a": [number, null, true], "": {} });
            let bytes = to_bytes(&value).expect("canonical");
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("valid JSON"), value);
        }
    }

    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Struct { b: u8, a: Option<&'static str> },
    }

    #[derive(Serialize)]
    enum Plain {
        Unit,
        New(i8),
        Tuple(u8, bool),
        Struct { z: u8, y: u8 },
    }

    #[derive(Serialize)]
    struct Flat {
        z: u8,
        #[serde(flatten)]
        more: BTreeMap<&'static str, u8>,
    }

    #[test]
    fn every_form_of_a_type_is_written_as_its_value_would_be() {
        let flat = |name| Flat { z: 1, more: BTreeMap::from([(name, 2)]) };
        let all = (
            Tagged::Struct { b: 1, a: None },
            [Plain::Unit, Plain::New(-1), Plain::Tuple(1, true), Plain::Struct { z: 1, y: 2 }],
            flat("a"),
            ((), 'x', [0u8; 0], BTreeMap::from([("k", i64::from(i32::MIN))])),
        );
        let mut expected = String::new();
        write_value(&serde_json::to_value(&all).expect("JSON"), &mut expected).expect("canonical");
        assert_eq!(String::from_utf8(to_bytes(&all).expect("canonical")).expect("utf-8"), expected);
        // One of two members of a name would be lost, and nobody could say which.
        assert!(to_bytes(&flat("z")).is_err());
        assert!(to_bytes(&BTreeMap::from([(1, 2)])).is_err(), "a name that is no string");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let integer = -9_007_199_254_740_991i64..=9_007_199_254_740_991;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            integer.prop_map(Value::from),
            "\\PC{0,6}|[\\x00-\\x7f]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            let name = "\\PC{0,3}|[\\x00-\\x7f]{0,3}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_at_once_is_what_a_tree_of_values_gives(value in any_value()) {
            let mut expected = String::new();
            write_value(&value, &mut expected).expect("canonical");
            prop_assert_eq!(to_bytes(&value).expect("canonical"), expected.into_bytes());
        }
    }

    // The plain way: a tree of values, written member by member.
    fn write_value(value: &Value, out: &mut String) -> Result<(), CanonicalError> {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => {
                let whole = number.as_u64().map_or_else(|| number.as_i64().map(i64::unsigned_abs), Some);
                if whole.is_none_or(|n| n > INTEGER_MAX) {
                    return Err(CanonicalError::Number(number.to_string()));
                }
                out.push_str(&number.to_string());
            }
            Value::String(text) => write_string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_value(item, out)?;
                }
                out.push(']');
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                // RFC 8785 §3.2.3: names are ordered by their UTF-16 code units.
                members.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
                out.push('{');
                for (at, (name, member)) in members.into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    write_value(member, out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    // RFC 8785 §3.2.2.2: the short escapes, \u00xx for other controls, everything else as it is.
    fn write_string(text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}
