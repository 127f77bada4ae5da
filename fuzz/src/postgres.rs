//! The parsers and maskers of the PostgreSQL gate: no input makes them fall, and how bytes are cut into chunks
//! changes nothing.

use bytes::BytesMut;
use countersign_core::key_path::KeyPath;
use countersign_core::mask::Bucket;
use countersign_protocols::postgres::codec::skim::{SkimBounds, skim};
use countersign_protocols::postgres::codec::{Format, Limits, backend, frontend};
use countersign_protocols::postgres::copy_in::{CopyFrames, Piece, count_tuples};
use countersign_protocols::postgres::mask::{
    CopyFormat, CopyMasker, CopyOptions, DocumentPart, FIXED, PartialStyle, RowMasker, TokenKey, WireMask,
    written_back,
};
use countersign_protocols::postgres::startup::parse_startup;

/// The type `text`.
const TEXT: u32 = 25;

/// A parser that must not panic, whatever the bytes.
pub type Target = fn(&[u8]);

/// Each target by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("postgres_startup", startup),
    ("postgres_frontend", frontend_messages),
    ("postgres_backend", backend_messages),
    ("postgres_skim", skimmed),
    ("postgres_copy", copy),
    ("postgres_copy_in", copy_in),
    ("postgres_mask", masks),
];

/// Opening packets.
pub fn startup(bytes: &[u8]) {
    let _ = parse_startup(bytes);
}

/// A client's messages.
pub fn frontend_messages(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = frontend::next_message(&mut buffer, Limits::FRONTEND) {
        let _ = frontend::parse(&message);
    }
}

/// A server's messages.
pub fn backend_messages(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = backend::next_message(&mut buffer, Limits::BACKEND) {
        let _ = backend::parse_body(message.tag, message.body());
    }
}

/// What is passed on unread is whole messages, and never more than there is.
pub fn skimmed(bytes: &[u8]) {
    if let Ok(seen) = skim(bytes, SkimBounds::NONE) {
        let front = bytes.get(..seen.complete_bytes).unwrap_or_else(|| panic!("more than there is"));
        let again = skim(front, SkimBounds::NONE).unwrap_or_else(|_| panic!("the front alone is refused"));
        assert_eq!((again.complete_bytes, again.rows), (seen.complete_bytes, seen.rows));
    }
}

/// A masked COPY: the first byte picks the format. What comes out does not hang on how the rows were cut.
pub fn copy(bytes: &[u8]) {
    let Some((pick, rows)) = bytes.split_first() else { return };
    let format = if pick & 1 == 0 { CopyFormat::Text } else { CopyFormat::Csv };
    let whole = masked(format, rows, rows.len().max(1));
    let cut = masked(format, rows, usize::from(pick >> 1) % 7 + 1);
    assert_eq!(whole, cut);
}

/// A COPY from the client: what comes out does not hang on how it was cut, and a row is never shorter than its count.
pub fn copy_in(bytes: &[u8]) {
    let Some((pick, stream)) = bytes.split_first() else { return };
    let whole = read_copy(stream, stream.len().max(1));
    assert_eq!(whole, read_copy(stream, usize::from(*pick) % 7 + 1));
    let rows = count_tuples(whole.as_deref().unwrap_or(stream)).unwrap_or(0);
    assert!(rows <= stream.len() as u64);
}

/// The data of a COPY up to its end; `None` where it is none.
fn read_copy(stream: &[u8], chunk: usize) -> Option<Vec<u8>> {
    let (mut frames, mut input, mut data) = (CopyFrames::default(), BytesMut::new(), Vec::new());
    for piece in stream.chunks(chunk) {
        input.extend_from_slice(piece);
        while let Some(piece) = frames.next(&mut input).ok()? {
            if let Piece::Data(bytes) = piece {
                data.extend_from_slice(&bytes);
            }
        }
    }
    Some(data)
}

/// The masked rows; `None` where they are refused.
fn masked(format: CopyFormat, rows: &[u8], chunk: usize) -> Option<Vec<u8>> {
    let columns = vec![(WireMask::Clear, TEXT), (WireMask::Null, TEXT)];
    let mut masker = CopyMasker::new(columns, CopyOptions::new(format)).ok()?;
    let mut out = BytesMut::new();
    for piece in rows.chunks(chunk) {
        masker.push(piece, &mut out).ok()?;
    }
    masker.finish().ok()?;
    let mut bodies = Vec::new();
    while let Ok(Some(message)) = backend::next_message(&mut out, Limits::BACKEND) {
        bodies.extend_from_slice(message.body());
    }
    Some(bodies)
}

/// Hostile rows: the first byte picks the mask, the second the type, the third the format and what the rest is: the body
/// of a DataRow of one column, or a COPY of two. Whatever comes out is what the mask may show, or nothing does.
pub fn masks(bytes: &[u8]) {
    let Some((&[mask, of, pick], rest)) = bytes.split_first_chunk::<3>() else { return };
    let all = all_masks();
    let (Some(mask), Some(&type_oid)) =
        (all.get(usize::from(mask) % all.len()), TYPES.get(usize::from(of) % TYPES.len()))
    else {
        return;
    };
    let _ = written_back(&key(), rest);
    let formats = [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary];
    match formats.get(usize::from(pick) % 8) {
        Some(format) => {
            let whole = masked_by(mask, type_oid, *format, rest, rest.len().max(1));
            let cut = masked_by(mask, type_oid, *format, rest, usize::from(pick >> 3) % 7 + 1);
            assert_eq!(whole, cut);
        }
        None => {
            let format = if pick & 0x80 == 0 { Format::Text } else { Format::Binary };
            row(mask, type_oid, format, rest);
        }
    }
}

/// Those with a mask of their own, and some of which no method speaks.
const TYPES: [u32; 20] =
    [25, 1043, 1042, 19, 114, 3802, 142, 2950, 20, 21, 23, 700, 701, 1700, 1082, 1114, 1184, 17, 1009, 16];

fn key() -> TokenKey {
    TokenKey::new(&[7; 32])
}

fn all_masks() -> [WireMask; 11] {
    let partial = |style| WireMask::Partial { style };
    let part = |path: &str, mask| KeyPath::parse(path).ok().map(|path| DocumentPart { path, mask });
    let parts = [part("/a", WireMask::Fixed), part("/b/*", WireMask::Null), part("/b/c/*", WireMask::Fixed)];
    [
        WireMask::Null,
        WireMask::Fixed,
        WireMask::Token { class: "pii.email".into(), domain: "d".into(), key: key() },
        partial(PartialStyle::Auto),
        partial(PartialStyle::Email),
        partial(PartialStyle::First(8)),
        partial(PartialStyle::Last(8)),
        WireMask::Bucket(Bucket::Width(100)),
        WireMask::Bucket(Bucket::Hour),
        WireMask::Bucket(Bucket::Year),
        WireMask::Parts(parts.into_iter().flatten().collect()),
    ]
}

fn row(mask: &WireMask, type_oid: u32, format: Format, body: &[u8]) {
    let masker = RowMasker::new(vec![(mask.clone(), type_oid, format)]);
    let frame = |body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
        [&[b'D'][..], &length, body].concat()
    };
    let value = |frame: &[u8]| -> Option<Vec<u8>> {
        let row = backend::DataRow::parse(frame.get(5..).unwrap_or_default())
            .unwrap_or_else(|_| panic!("what came out is no row"));
        let mut values = row.columns();
        values.next().and_then(Result::ok).flatten().map(<[u8]>::to_vec)
    };
    let raw = frame(body);
    let Ok(out) = masker.mask_data_row(&raw) else { return };
    let (raw, Some(shown)) = (value(&raw), value(&out)) else { return };
    let raw = raw.unwrap_or_else(|| panic!("NULL became a value"));
    assert!(may_show(mask, &raw, &shown), "{mask:?} {type_oid} {format:?}: {raw:?} became {shown:?}");
    if matches!(mask, WireMask::Bucket(_)) {
        // The lower end of a range is that of its own.
        let length = u32::try_from(shown.len()).unwrap_or(u32::MAX).to_be_bytes();
        let again = masker.mask_data_row(&frame(&[&[0, 1][..], &length, &shown].concat()));
        assert_eq!(again.ok().and_then(|out| value(&out)), Some(shown));
    }
}

/// Whether a mask may show this of a value.
fn may_show(mask: &WireMask, raw: &[u8], shown: &[u8]) -> bool {
    let text = String::from_utf8_lossy(shown);
    let text = text.trim_start_matches('\u{1}').trim_matches('"');
    match mask {
        WireMask::Clear | WireMask::Null => false,
        WireMask::Fixed => text == FIXED,
        WireMask::Token { .. } => {
            let digits = text.strip_prefix("tok_pii_email_").unwrap_or_default();
            let is_token = digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_token || (matches!(shown.len(), 16 | 36) && shown != raw)
        }
        WireMask::Partial { .. } => {
            let ends = text.strip_prefix("****").or(text.strip_suffix("****"));
            let part = ends.is_some_and(|part| part.chars().count() <= 8);
            let domain = text.split_once("***@").filter(|(first, _)| first.chars().count() <= 1);
            part || domain.is_some_and(|(_, domain)| raw.ends_with(domain.as_bytes()))
        }
        WireMask::Bucket(_) => true,
        WireMask::Parts(_) => {
            let shown = shown.strip_prefix(&[1]).unwrap_or(shown);
            // Numbers that no machine holds, and nesting that no stack does, are documents all the same.
            let Ok(document) = serde_json::from_slice::<serde_json::Value>(shown) else {
                return serde_json::from_slice::<&serde_json::value::RawValue>(shown).is_ok();
            };
            let hidden = |value: &serde_json::Value| value.is_null() || *value == FIXED;
            let below = match &document["b"] {
                serde_json::Value::Object(members) => members.values().all(serde_json::Value::is_null),
                serde_json::Value::Array(elements) => elements.iter().all(serde_json::Value::is_null),
                _ => true,
            };
            below && document.as_object().is_none_or(|document| document.get("a").is_none_or(hidden))
        }
    }
}

fn masked_by(
    mask: &WireMask,
    type_oid: u32,
    format: CopyFormat,
    rows: &[u8],
    chunk: usize,
) -> Option<Vec<u8>> {
    let columns = vec![(mask.clone(), type_oid), (WireMask::Clear, TEXT)];
    let mut masker = CopyMasker::new(columns, CopyOptions::new(format)).ok()?.with_row_bytes_max(ROW_BYTES);
    let mut out = BytesMut::new();
    for piece in rows.chunks(chunk) {
        masker.push(piece, &mut out).ok()?;
    }
    masker.finish().ok()?;
    let mut bodies = Vec::new();
    while let Ok(Some(message)) = backend::next_message(&mut out, Limits::BACKEND) {
        bodies.extend_from_slice(message.body());
    }
    Some(bodies)
}

/// Longer rows are refused.
const ROW_BYTES: usize = 1 << 10;
