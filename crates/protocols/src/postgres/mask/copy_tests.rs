//! Promises of masked COPY: however the stream is cut, the output is the same and no raw value is in it.

use proptest::prelude::*;

use super::super::super::codec::{Limits, backend};
use super::super::{PartialStyle, TokenKey};
use super::*;

const SECRET: &str = "jane.doe@example.org";
const TEXT: u32 = 25;

fn token() -> WireMask {
    WireMask::Token { class: "pii.email".into(), domain: "d".into(), key: TokenKey::new(&[7; 32]) }
}

fn token_of(value: &[u8]) -> String {
    let Masked::Bytes(token) = mask_value(&token(), TEXT, Format::Text, value) else { panic!("no token") };
    String::from_utf8(token).unwrap()
}

fn tail() -> WireMask {
    WireMask::Partial { style: PartialStyle::Last(4) }
}

fn columns() -> Vec<(WireMask, u32)> {
    vec![(WireMask::Clear, TEXT), (token(), TEXT), (WireMask::Null, TEXT), (tail(), TEXT)]
}

fn csv() -> CopyOptions {
    CopyOptions::new(CopyFormat::Csv)
}

fn text() -> CopyOptions {
    CopyOptions::new(CopyFormat::Text)
}

/// The bodies of the CopyData messages that come out.
fn run(masker: &mut CopyMasker, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, MaskError> {
    let mut out = BytesMut::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish()?;
    let mut bodies = Vec::new();
    while let Some(message) = backend::next_message(&mut out, Limits::BACKEND).unwrap() {
        assert_eq!(message.tag, b'd');
        bodies.push(message.body().to_vec());
    }
    assert!(out.is_empty());
    Ok(bodies)
}

fn masked(options: CopyOptions, input: &[u8]) -> Result<String, MaskError> {
    let bodies = run(&mut CopyMasker::new(columns(), options)?, &[input])?;
    Ok(String::from_utf8(bodies.concat()).unwrap())
}

/// A row as the server writes it.
fn row(values: &[Option<&str>], options: &CopyOptions) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.put_u8(options.delimiter);
        }
        match (value, options.format) {
            (None, _) => out.put_slice(&options.null),
            (Some(value), CopyFormat::Csv) => copy_csv::encode(value.as_bytes(), options, &mut out),
            (Some(value), _) => copy_text::encode(value.as_bytes(), options.delimiter, &mut out),
        }
    }
    out.put_u8(b'\n');
    out.to_vec()
}

#[test]
fn text_rows_are_masked_field_by_field() {
    let input = b"a\\tb\tjane\\\\doe\tx\t4111111111111234\n\\N\t\\N\t\\N\t\\N\n";
    let output = masked(text(), input).unwrap();
    let expected = token_of(b"jane\\doe");
    assert_eq!(output, format!("a\\tb\t{expected}\t\\N\t****1234\n\\N\t\\N\t\\N\t\\N\n"));
}

#[test]
fn csv_rows_are_masked_field_by_field() {
    let input = b"\"a\n\"\"b\",\"jane, \"\"doe\"\"\",x,4111111111111234\n,,,\n";
    let output = masked(csv(), input).unwrap();
    let expected = token_of(b"jane, \"doe\"");
    assert_eq!(output, format!("\"a\n\"\"b\",{expected},,****1234\n,,,\n"));
}

#[test]
fn a_token_is_the_same_in_a_copy_and_in_a_row() {
    let expected = token_of(SECRET.as_bytes());
    for options in [text(), csv()] {
        let input = row(&[Some("1"), Some(SECRET), None, None], &options);
        assert!(masked(options, &input).unwrap().contains(&expected));
    }
}

#[test]
fn a_column_that_text_would_break_becomes_null() {
    let columns = vec![(token(), 23), (tail(), 1700), (token(), TEXT)];
    let mut masker = CopyMasker::new(columns, text()).unwrap();
    let bodies = run(&mut masker, &[b"12345\t123456789\tx\n"]).unwrap();
    assert!(bodies[0].starts_with(b"\\N\t\\N\ttok_"), "{bodies:?}");
}

#[test]
fn a_mask_that_needs_quotes_or_escapes_gets_them() {
    let mut options = csv();
    options.null = b"****".to_vec();
    options.delimiter = b'_';
    let input = row(&[Some("1"), Some(SECRET), None, Some("short")], &options);
    let output = masked(options, &input).unwrap();
    assert!(output.starts_with("1_\"tok_pii_email_") && output.ends_with("_****_\"****\"\n"), "{output}");
    let mut options = text();
    options.delimiter = b'*';
    let input = row(&[Some("1"), Some(SECRET), None, Some("short")], &options);
    assert!(masked(options, &input).unwrap().ends_with("*\\N*\\*\\*\\*\\*\n"));
}

#[test]
fn ambiguous_options_are_refused_where_a_column_is_masked() {
    let mut ambiguous = text();
    ambiguous.null = SECRET.as_bytes().to_vec();
    let mut letter = text();
    letter.delimiter = b'n';
    let mut quote = csv();
    quote.delimiter = b'"';
    let mut null = csv();
    null.null = b"a,b".to_vec();
    let encoded = CopyOptions { encoding: Some("SJIS".to_owned()), ..csv() };
    for options in [ambiguous, letter, quote, null, encoded] {
        let refused = CopyMasker::new(columns(), options.clone());
        assert!(matches!(refused, Err(MaskError::CopyOptions { .. })), "{options:?}");
        let mut clear = CopyMasker::new(vec![(WireMask::Clear, TEXT)], options).unwrap();
        assert_eq!(run(&mut clear, &[b"\0any", b"thing"]).unwrap(), [&b"\0any"[..], b"thing"]);
    }
}

#[test]
fn a_header_passes_only_if_it_names_the_columns() {
    for format in [CopyFormat::Text, CopyFormat::Csv] {
        let mut options = CopyOptions::new(format);
        let names = ["a", "b,\t\"", "c", "d"];
        options.header = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let header = row(&names.map(Some), &options);
        let data = row(&[Some("1"), Some(SECRET), None, None], &options);
        let mut masker = CopyMasker::new(columns(), options.clone()).unwrap();
        let bodies = run(&mut masker, &[&header, &data]).unwrap();
        assert_eq!((&bodies[0], bodies.len()), (&header, 2));
        assert_eq!(
            run(&mut CopyMasker::new(columns(), options).unwrap(), &[&data]),
            Err(MaskError::CopyHeader)
        );
    }
}

#[test]
fn a_row_that_the_server_would_not_write_is_an_error_and_ends_the_copy() {
    let text_rows: [&[u8]; 5] =
        [b"a\tb\tc\n", b"a\tb\tc\td\te\n", b"a\tb\\q\tc\td\n", b"a\tb\tc\td\\\n", b"\n"];
    let csv_rows: [&[u8]; 5] =
        [b"a,b,c\n", b"a,b\"x\",c,d\n", b"a,\"b\"x,c,d\n", b"a,b\r,c,d\n", b"a,b,c,\"d\n"];
    for (options, rows) in [(text(), text_rows), (csv(), csv_rows)] {
        let good = row(&[Some("1"), Some(SECRET), None, None], &options);
        for bad in rows {
            let mut masker = CopyMasker::new(columns(), options.clone()).unwrap();
            let mut out = BytesMut::new();
            let result = masker.push(&[&good, bad].concat(), &mut out).and_then(|_| masker.finish());
            assert!(result.is_err(), "{}", String::from_utf8_lossy(bad));
            let cut = matches!(result, Err(MaskError::CopyCut { .. }));
            assert!(cut || out.is_empty(), "nothing of a chunk with a bad row is given out");
            assert!(!String::from_utf8_lossy(&out).contains(SECRET));
            assert_eq!(masker.push(&good, &mut out), Err(MaskError::Poisoned));
        }
    }
}

#[test]
fn a_row_without_end_is_bounded_and_a_cut_copy_is_noticed() {
    let mut masker = CopyMasker::new(columns(), csv()).unwrap().with_row_bytes_max(100);
    let mut out = BytesMut::new();
    masker.push(b"\"", &mut out).unwrap();
    let endless = (0..30).map(|_| masker.push(b"aaaaaa\n", &mut out)).find_map(Result::err);
    assert_eq!(endless, Some(MaskError::RowTooLong { limit: 100 }));
    assert!(out.is_empty());
    let mut masker = CopyMasker::new(columns(), text()).unwrap();
    assert_eq!(run(&mut masker, &[b"a\tb"]), Err(MaskError::CopyCut { left: 3 }));
}

// === binary ===

fn field(value: Option<&[u8]>) -> Vec<u8> {
    let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
    [&length.to_be_bytes()[..], value.unwrap_or_default()].concat()
}

fn binary_row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    [count, values.iter().flat_map(|value| field(*value)).collect()].concat()
}

fn binary() -> CopyMasker {
    CopyMasker::new(columns(), CopyOptions::new(CopyFormat::Binary)).unwrap()
}

#[test]
fn binary_rows_are_masked_field_by_field_wherever_they_are_cut() {
    let secret = Some(SECRET.as_bytes());
    let rows =
        [[Some(&b"\0\xff"[..]), secret, secret, secret], [None; 4], [Some(b""), Some(b""), None, secret]];
    let all: Vec<u8> = rows.iter().flat_map(|row| binary_row(row)).collect();
    let input = [&HEADER[..], &all, &TRAILER].concat();
    let token = token_of(SECRET.as_bytes());
    let first = binary_row(&[Some(b"\0\xff"), Some(token.as_bytes()), None, Some(b"****.org")]);
    let whole = run(&mut binary(), &[&input]).unwrap();
    // The header stands before the first row in one message, as the server sends it.
    assert_eq!(whole[0], [&HEADER[..], &first].concat());
    assert_eq!(
        (whole.len(), whole[1].as_slice(), whole[3].as_slice()),
        (4, &*binary_row(&[None; 4]), &TRAILER[..])
    );
    for at in 0..=input.len() {
        let (head, end) = input.split_at(at);
        assert_eq!(run(&mut binary(), &[head, end]).unwrap(), whole, "split at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&mut binary(), &bytes).unwrap(), whole);
    let empty = [&HEADER[..], &TRAILER].concat();
    assert_eq!(run(&mut binary(), &[&empty]).unwrap(), [empty]);
}

#[test]
fn binary_rows_that_the_server_would_not_write_are_errors() {
    let good = binary_row(&[Some(b"1"), Some(SECRET.as_bytes()), None, None]);
    let flagged = [&HEADER[..11], &[0, 1, 0, 0, 0, 0, 0, 0], &good].concat();
    let few = [&HEADER[..], &binary_row(&[Some(SECRET.as_bytes())])].concat();
    let negative = [&HEADER[..], &[0, 4, 0xff, 0xff, 0xff, 0xfe]].concat();
    let endless = [&HEADER[..], &[0, 4, 0x7f, 0xff, 0xff, 0xff]].concat();
    let behind = [&HEADER[..], &TRAILER, &good].concat();
    let (cut, none) = ([&HEADER[..], &good[..9]].concat(), [&HEADER[..], &good].concat());
    for bad in [&good, &flagged, &few, &negative, &endless, &behind, &cut, &none] {
        assert!(run(&mut binary(), &[bad]).is_err(), "{bad:?}");
    }
}

fn wild() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        6 => proptest::collection::vec(
            prop::sample::select(vec!['a', ',', '"', '\\', '\n', '\r', '\t', '\'', 'N', '.', 'ü', '@', '*', ' ']),
            0..12,
        )
        .prop_map(|chars| Some(chars.into_iter().collect())),
    ]
}

fn wild_options() -> impl Strategy<Value = CopyOptions> {
    let quotes = prop::sample::select(vec![(b'"', b'"'), (b'"', b'\\'), (b'\'', b'"')]);
    let delimiters = prop::sample::select(vec![b',', b'\t', b'*']);
    (any::<bool>(), delimiters, quotes, prop::sample::select(vec!["", "\\N", "NULL"])).prop_map(
        |(is_csv, delimiter, (quote, escape), null)| {
            let mut options = if is_csv { csv() } else { text() };
            (options.delimiter, options.quote, options.escape) = (delimiter, quote, escape);
            if is_csv {
                options.null = null.as_bytes().to_vec();
            }
            options
        },
    )
}

proptest! {
    #[test]
    fn a_stream_split_anywhere_masks_the_same_and_never_leaks(
        rows in proptest::collection::vec((wild(), wild(), wild()), 1..4),
        options in wild_options(),
    ) {
        let mut input = Vec::new();
        for (a, b, c) in &rows {
            let secret = b.as_ref().map(|b| format!("{b}{SECRET}{b}"));
            input.extend(row(&[a.as_deref(), secret.as_deref(), Some(SECRET), c.as_deref()], &options));
        }
        let new = || CopyMasker::new(columns(), options.clone()).unwrap();
        let whole = run(&mut new(), &[&input]).unwrap();
        prop_assert_eq!(whole.len(), rows.len());
        prop_assert!(!String::from_utf8_lossy(&whole.concat()).contains("jane"));
        for at in 0..=input.len() {
            let (head, end) = input.split_at(at);
            prop_assert_eq!(&run(&mut new(), &[head, end]).unwrap(), &whole, "split at {}", at);
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&run(&mut new(), &bytes).unwrap(), &whole);
        // What is clear comes back as it was, so the fields beside a mask are where they were.
        for (body, (a, ..)) in whole.iter().zip(&rows) {
            let start = row(&[a.as_deref(), Some("x")], &options);
            prop_assert!(body.starts_with(&start[..start.len() - 2]));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(prop::sample::select(b"a,\"\\\n\r\t'N\xff".to_vec()), 0..60),
        options in wild_options(),
    ) {
        let mut masker = CopyMasker::new(columns(), options).unwrap();
        let mut out = BytesMut::new();
        let _ = masker.push(&bytes, &mut out).and_then(|_| masker.finish());
    }
}
