//! Writes anything that serialises straight to its canonical bytes, without a tree of values in between. Refuses what
//! has no canonical form; knows no type of ours.

use super::{CanonicalError, INTEGER_MAX};
use serde::ser::{self, Serialize};
use std::cmp::Ordering;

/// The bytes so far.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
}

/// An array, or an object, or either within `{"variant": …}`.
pub(super) struct Open<'a> {
    writer: &'a mut Writer,
    /// Where its first byte stands.
    start: usize,
    members: Vec<Member>,
    close: &'static str,
}

/// A member of an object that was written, in the order in which it came.
struct Member {
    name: Name,
    /// Its bytes, name and value, without the comma before it.
    from: usize,
    to: usize,
}

enum Name {
    Static(&'static str),
    Owned(String),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(name) => name,
            Self::Owned(name) => name,
        }
    }
}

/// RFC 8785 §3.2.3: names are ordered by their UTF-16 code units.
fn order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// RFC 8785 §3.2.2.2: the short escapes, `\u00xx` for other controls, everything else as it is.
    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|b| b < b' ' || b == b'"' || b == b'\\') {
            let (plain, from) = rest.split_at(at);
            self.text(plain);
            let mut chars = from.chars();
            match chars.next() {
                Some('"') => self.text("\\\""),
                Some('\\') => self.text("\\\\"),
                Some('\u{8}') => self.text("\\b"),
                Some('\u{c}') => self.text("\\f"),
                Some('\n') => self.text("\\n"),
                Some('\r') => self.text("\\r"),
                Some('\t') => self.text("\\t"),
                Some(other) => self.text(&format!("\\u{:04x}", u32::from(other))),
                None => {}
            }
            rest = chars.as_str();
        }
        self.text(rest);
        self.out.push(b'"');
    }

    fn whole(&mut self, negative: bool, magnitude: u128) -> Result<(), CanonicalError> {
        if magnitude > u128::from(INTEGER_MAX) {
            let sign = if negative { "-" } else { "" };
            return Err(CanonicalError::Number(format!("{sign}{magnitude}")));
        }
        // Digits from the end; 2^53 has sixteen.
        let mut digits = [b'0'; 20];
        let mut rest = magnitude as u64;
        let mut used = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        if negative && magnitude > 0 {
            self.out.push(b'-');
        }
        self.out.extend(digits.iter().skip(digits.len() - used));
        Ok(())
    }

    /// Begins an array or an object; a variant with content stands in an object of its own.
    fn open(
        &mut self,
        variant: Option<&'static str>,
        begin: u8,
        close: [&'static str; 2],
        members: usize,
    ) -> Open<'_> {
        if let Some(variant) = variant {
            self.out.push(b'{');
            self.string(variant);
            self.out.push(b':');
        }
        let start = self.out.len();
        self.out.push(begin);
        let [alone, within] = close;
        let close = if variant.is_some() { within } else { alone };
        Open { writer: self, start, members: Vec::with_capacity(members), close }
    }

    fn array(&mut self, variant: Option<&'static str>) -> Open<'_> {
        self.open(variant, b'[', ["]", "]}"], 0)
    }

    fn object(&mut self, variant: Option<&'static str>, members: usize) -> Open<'_> {
        self.open(variant, b'{', ["}", "}}"], members)
    }
}

impl Open<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        self.comma();
        value.serialize(&mut *self.writer)
    }

    fn comma(&mut self) {
        if self.writer.out.len() > self.start + 1 {
            self.writer.out.push(b',');
        }
    }

    fn name(&mut self, name: Name) {
        self.comma();
        let from = self.writer.out.len();
        self.writer.string(name.as_str());
        self.writer.out.push(b':');
        self.members.push(Member { name, from, to: from });
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(&mut *self.writer)?;
        let to = self.writer.out.len();
        let last =
            self.members.last_mut().ok_or_else(|| CanonicalError::Shape("a value without a name".into()))?;
        last.to = to;
        Ok(())
    }

    fn end_array(self) -> Result<(), CanonicalError> {
        self.writer.text(self.close);
        Ok(())
    }

    fn end_object(mut self) -> Result<(), CanonicalError> {
        let sorted = self.members.is_sorted_by(|a, b| order(a.name.as_str(), b.name.as_str()).is_lt());
        if !sorted {
            self.members.sort_by(|a, b| order(a.name.as_str(), b.name.as_str()));
            let twice = self.members.windows(2).find_map(|pair| match pair {
                [a, b] if a.name.as_str() == b.name.as_str() => Some(a.name.as_str().to_owned()),
                _ => None,
            });
            if let Some(name) = twice {
                return Err(CanonicalError::Shape(format!("the name `{name}` stands twice in one object")));
            }
            self.put_in_order();
        }
        self.writer.text(self.close);
        Ok(())
    }

    fn put_in_order(&mut self) {
        let start = self.start + 1;
        let mut ordered = Vec::with_capacity(self.writer.out.len() - start);
        for (at, member) in self.members.iter().enumerate() {
            if at > 0 {
                ordered.push(b',');
            }
            ordered.extend_from_slice(self.writer.out.get(member.from..member.to).unwrap_or_default());
        }
        self.writer.out.truncate(start);
        self.writer.out.extend_from_slice(&ordered);
    }
}

impl ser::Error for CanonicalError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), CanonicalError> {
        self.text(if value { "true" } else { "false" });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<(), CanonicalError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), CanonicalError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), CanonicalError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), CanonicalError> {
        self.whole(value < 0, value.unsigned_abs().into())
    }
    fn serialize_i128(self, value: i128) -> Result<(), CanonicalError> {
        self.whole(value < 0, value.unsigned_abs())
    }
    fn serialize_u8(self, value: u8) -> Result<(), CanonicalError> {
        self.whole(false, value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), CanonicalError> {
        self.whole(false, value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), CanonicalError> {
        self.whole(false, value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), CanonicalError> {
        self.whole(false, value.into())
    }
    fn serialize_u128(self, value: u128) -> Result<(), CanonicalError> {
        self.whole(false, value)
    }
    fn serialize_f32(self, value: f32) -> Result<(), CanonicalError> {
        Err(CanonicalError::Number(value.to_string()))
    }
    fn serialize_f64(self, value: f64) -> Result<(), CanonicalError> {
        Err(CanonicalError::Number(value.to_string()))
    }
    fn serialize_char(self, value: char) -> Result<(), CanonicalError> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Result<(), CanonicalError> {
        self.string(value);
        Ok(())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), CanonicalError> {
        self.collect_seq(value)
    }
    fn serialize_none(self) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), CanonicalError> {
        self.text("null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), CanonicalError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        let mut object = self.object(None, 1);
        object.name(Name::Static(variant));
        object.value(value)?;
        object.end_object()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, CanonicalError> {
        Ok(self.array(None))
    }
    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, CanonicalError> {
        Ok(self.array(None))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, CanonicalError> {
        Ok(self.array(None))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, CanonicalError> {
        Ok(self.array(Some(variant)))
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Open<'a>, CanonicalError> {
        Ok(self.object(None, length.unwrap_or_default().min(64)))
    }
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Open<'a>, CanonicalError> {
        Ok(self.object(None, length))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Open<'a>, CanonicalError> {
        Ok(self.object(Some(variant), length))
    }
}

// Serde has four names for an array and two for an object whose names are known.
macro_rules! arrays {
    ($($form:ident $item:ident),*) => {$(
        impl ser::$form for Open<'_> {
            type Ok = ();
            type Error = CanonicalError;
            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
                self.item(value)
            }
            fn end(self) -> Result<(), CanonicalError> {
                self.end_array()
            }
        }
    )*};
}
arrays!(
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
);

macro_rules! objects {
    ($($form:ident),*) => {$(
        impl ser::$form for Open<'_> {
            type Ok = ();
            type Error = CanonicalError;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), CanonicalError> {
                self.name(Name::Static(name));
                self.value(value)
            }
            fn end(self) -> Result<(), CanonicalError> {
                self.end_object()
            }
        }
    )*};
}
objects!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        let Ok(serde_json::Value::String(name)) = serde_json::to_value(key) else {
            return Err(CanonicalError::Shape("a member's name that is no string".into()));
        };
        self.name(Name::Owned(name));
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        self.value(value)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.end_object()
    }
}
