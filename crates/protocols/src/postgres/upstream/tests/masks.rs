//! The masks against what a real server writes. The oracle is the server itself: masking its output must
//! give what it writes when the statement has the masked value in the column's place.

use super::super::super::mask::{CopyFormat, CopyMasker, CopyOptions, PartialStyle, RowMasker, WireMask};
use super::*;

/// Rows with everything that COPY has to escape. Secrets are shorter than a partial mask shows.
const TABLE: &str = r#"create table wild as
    select a, s as secret, a as b
    from unnest(array[null, '', ' ', 'plain', ',', '"', '""', '\', '\.', '\N', E'\n', E'\r\n', E'\t', E'a\nb"c,d\\',
                      'NULL', '''', E'\x01', E'\b\f\v', 'ü€😀', '*', ';', 'e"', '"q"'::text]) as a,
         unnest(array[null, '', 'se,c', 's"', E's\n', '\', E'\t', 'NULL', 'sé', '""']) as s"#;

async fn copied(upstream: &mut Upstream, source: &str, options: &str) -> Vec<Vec<u8>> {
    let messages = query(upstream, &format!("copy ({source}) to stdout ({options})")).await;
    let bodies = messages.iter().filter(|message| message.tag == b'd');
    bodies.map(|message| message.body().to_vec()).collect()
}

fn masked(masker: &mut CopyMasker, chunks: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut out = BytesMut::new();
    for chunk in chunks {
        masker.push(chunk, &mut out).unwrap();
    }
    masker.finish().unwrap();
    let mut bodies = Vec::new();
    while let Some(message) = backend::next_message(&mut out, Limits::BACKEND).unwrap() {
        bodies.push(message.body().to_vec());
    }
    bodies
}

#[tokio::test]
async fn a_masked_copy_is_what_the_server_would_have_written() {
    let cluster = Cluster::start();
    let mut admin = connect(&cluster.admin()).await.unwrap();
    query(&mut admin, TABLE).await;
    let text = || CopyOptions::new(CopyFormat::Text);
    let csv = || CopyOptions::new(CopyFormat::Csv);
    let header = Some(vec!["a".to_owned(), "secret".to_owned(), "b".to_owned()]);
    let cases = [
        ("format text", text()),
        ("format text, delimiter '*', null ''", CopyOptions { delimiter: b'*', null: vec![], ..text() }),
        (
            "format text, delimiter ',', header",
            CopyOptions { delimiter: b',', header: header.clone(), ..text() },
        ),
        ("format csv", csv()),
        ("format csv, header", CopyOptions { header, ..csv() }),
        (
            "format csv, null 'NULL', delimiter ';'",
            CopyOptions { null: b"NULL".into(), delimiter: b';', ..csv() },
        ),
        (r"format csv, escape '\'", CopyOptions { escape: b'\\', ..csv() }),
        ("format csv, quote '''', escape '\"'", CopyOptions { quote: b'\'', escape: b'"', ..csv() }),
        (
            "format csv, quote '*', delimiter E'\\t'",
            CopyOptions { quote: b'*', escape: b'*', delimiter: b'\t', ..csv() },
        ),
    ];
    let masks = [
        (WireMask::Null, "null::text"),
        (WireMask::Partial { style: PartialStyle::Auto }, "case when $ then '****' end"),
    ];
    for (sql, options) in cases {
        let raw = copied(&mut admin, "select * from wild", sql).await;
        // In text format with NULL '' the server itself writes an empty value as NULL.
        let empty_is_null = options.format == CopyFormat::Text && options.null.is_empty();
        let is_value = if empty_is_null { "secret <> ''" } else { "secret is not null" };
        for (mask, expression) in &masks {
            let source = format!("select a, {} as secret, b from wild", expression.replace('$', is_value));
            let expected = copied(&mut admin, &source, sql).await;
            let columns = vec![(WireMask::Clear, 25), (mask.clone(), 25), (WireMask::Clear, 25)];
            let mut masker = CopyMasker::new(columns, options.clone()).unwrap();
            let masked = masked(&mut masker, &raw);
            assert_eq!(masked.len(), expected.len());
            for (masked, expected) in masked.iter().zip(&expected) {
                let (masked, expected) = (String::from_utf8_lossy(masked), String::from_utf8_lossy(expected));
                assert_eq!(masked, expected, "{sql} {mask:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_masked_row_reads_as_the_server_would_have_sent_it() {
    let cluster = Cluster::start();
    let mut admin = connect(&cluster.admin()).await.unwrap();
    query(&mut admin, TABLE).await;
    let rows = |messages: Vec<RawMessage>| -> Vec<Vec<u8>> {
        let rows = messages.iter().filter(|message| message.tag == b'D');
        rows.map(|message| message.bytes.to_vec()).collect()
    };
    let raw = query(&mut admin, "select *, 7 as number from wild").await;
    let Ok(Backend::RowDescription(described)) = backend::parse(&raw[0]) else { panic!("no columns") };
    let hidden = WireMask::Partial { style: PartialStyle::Last(4) };
    let masks = [WireMask::Clear, hidden.clone(), WireMask::Clear, hidden];
    let columns = masks.into_iter().zip(&described.fields);
    let masker = RowMasker::new(columns.map(|(mask, field)| (mask, field.type_oid, field.format)).collect());
    let masked = raw.iter().filter(|message| message.tag == b'D');
    let masked: Vec<_> = masked.map(|row| masker.mask_data_row(&row.bytes).unwrap().to_vec()).collect();
    let sql = "select a, case when secret is not null then '****' end, b, null::int from wild";
    assert_eq!(masked, rows(query(&mut admin, sql).await));
    assert!(masked.len() > 100);
}
