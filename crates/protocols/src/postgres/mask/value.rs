//! One value and its mask: which method speaks of which type. What a method cannot speak of becomes NULL, which every
//! driver can read.

use std::sync::Arc;

use countersign_core::mask::Bucket;

use super::super::codec::Format;
use super::document::{self, Part};
use super::partial::{PartialStyle, partial};
use super::token::{self, TokenKey};
use super::{bucket, calendar};

/// What stands in the place of every text under a fixed mask.
pub const FIXED: &str = "[masked]";
/// Stars that stand for what is hidden: always as many, so that they tell no length.
pub(super) const STARS: &str = "****";
/// Longest value of `name`, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// What the binary form of `jsonb` begins with.
const JSONB_VERSION: u8 = 1;

const NAME_OID: u32 = 19;
pub(super) const TEXT_OID: u32 = 25;
const JSON_OID: u32 = 114;
const XML_OID: u32 = 142;
const BPCHAR_OID: u32 = 1042;
const VARCHAR_OID: u32 = 1043;
pub(super) const NUMERIC_OID: u32 = 1700;
const UUID_OID: u32 = 2950;
const JSONB_OID: u32 = 3802;

/// What happens to a column's values.
#[derive(Debug, Clone)]
pub enum WireMask {
    /// Passes as it is.
    Clear,
    /// Becomes NULL.
    Null,
    /// Becomes [`FIXED`].
    Fixed,
    /// Becomes a token that is the same for the same value: see [`token`](super::token).
    Token {
        /// Label of the column, for example `pii.email`: a part of what is shown.
        class: Arc<str>,
        /// What the token holds for: the same value has another token elsewhere.
        domain: Arc<str>,
        /// The key.
        key: TokenKey,
    },
    /// Shows a part.
    Partial {
        /// Which part.
        style: PartialStyle,
    },
    /// Shows the lower end of the range in which it lies.
    Bucket(Bucket),
    /// Is a JSON document of which parts are masked.
    Parts(Arc<[Part]>),
}

impl WireMask {
    /// Whether values pass as they are.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        matches!(self, Self::Clear)
    }
}

/// A value after its mask.
#[derive(Clone, PartialEq, Eq)]
pub enum Masked {
    /// The value as it was.
    Keep,
    /// NULL.
    Null,
    /// These bytes in its place, in the format of the value.
    Bytes(Vec<u8>),
}

/// How values of a type hold text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// They are text of any length, alike in both formats.
    Text,
    /// They are text of at most [`NAME_BYTES_MAX`].
    Name,
    /// They are documents, of which no part is harmless by its place; alike in both formats.
    Xml,
    /// The same, and a masked one is a JSON string.
    Json,
    /// The same, with a version before it in binary format.
    Jsonb,
}

const fn holds(type_oid: u32) -> Option<Holds> {
    match type_oid {
        TEXT_OID | VARCHAR_OID | BPCHAR_OID => Some(Holds::Text),
        NAME_OID => Some(Holds::Name),
        XML_OID => Some(Holds::Xml),
        JSON_OID => Some(Holds::Json),
        JSONB_OID => Some(Holds::Jsonb),
        _ => None,
    }
}

/// Masks one value that is not NULL.
#[must_use]
pub fn mask_value(mask: &WireMask, type_oid: u32, format: Format, value: &[u8]) -> Masked {
    let masked = match (mask, holds(type_oid)) {
        (WireMask::Clear, _) => return Masked::Keep,
        (WireMask::Null, _) => None,
        (WireMask::Fixed, Some(kind)) => written(kind, format, FIXED),
        (WireMask::Token { class, domain, key }, Some(kind)) => {
            let text = key.text(class, domain, plain(type_oid, format, value));
            written(kind, format, &text)
        }
        (WireMask::Token { domain, key, .. }, None) if type_oid == UUID_OID => {
            token::of_uuid(key, domain, format, value)
        }
        (WireMask::Partial { .. }, Some(kind @ (Holds::Json | Holds::Jsonb | Holds::Xml))) => {
            written(kind, format, STARS)
        }
        (WireMask::Partial { style }, Some(kind)) => {
            let value = plain(type_oid, format, value);
            // Hidden characters may be fewer than the stars for them: what gets too long for its type shows nothing.
            written(kind, format, &partial(*style, value)).or_else(|| written(kind, format, STARS))
        }
        (WireMask::Bucket(Bucket::Width(width)), None) => bucket::number(*width, type_oid, format, value),
        (WireMask::Bucket(span), None) => calendar::time(*span, type_oid, format, value),
        (WireMask::Parts(parts), Some(kind @ (Holds::Json | Holds::Jsonb))) => {
            let masked = document::masked(parts, plain(type_oid, format, value));
            masked.map(|masked| {
                if is_versioned(kind, format) { [&[JSONB_VERSION][..], &masked].concat() } else { masked }
            })
        }
        (
            WireMask::Fixed
            | WireMask::Token { .. }
            | WireMask::Partial { .. }
            | WireMask::Bucket(_)
            | WireMask::Parts(_),
            _,
        ) => None,
    };
    masked.map_or(Masked::Null, Masked::Bytes)
}

/// The value without what is no part of it: the blanks that fill up a `char(n)`, the version of a `jsonb`.
fn plain(type_oid: u32, format: Format, value: &[u8]) -> &[u8] {
    match (type_oid, format, value) {
        (JSONB_OID, Format::Binary, [JSONB_VERSION, value @ ..]) => value,
        (BPCHAR_OID, _, _) => without_blanks(value),
        _ => value,
    }
}

fn without_blanks(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [head @ .., b' '] = value {
        value = head;
    }
    value
}

/// A text as a value of a type that holds texts; none where it would be none.
fn written(kind: Holds, format: Format, text: &str) -> Option<Vec<u8>> {
    let json = || serde_json::Value::from(text).to_string().into_bytes();
    match (kind, format) {
        (Holds::Name, _) if text.len() > NAME_BYTES_MAX => None,
        (Holds::Text | Holds::Name | Holds::Xml, _) => Some(text.as_bytes().to_vec()),
        (Holds::Jsonb, _) if is_versioned(kind, format) => Some([&[JSONB_VERSION][..], &json()].concat()),
        (Holds::Json | Holds::Jsonb, _) => Some(json()),
    }
}

fn is_versioned(kind: Holds, format: Format) -> bool {
    kind == Holds::Jsonb && matches!(format, Format::Binary)
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
