//! Promises of the codec: what is written parses back, and hostile bytes never panic.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::backend::{self, Backend, DataRow, Field};
use super::frontend::{self, Frontend, Named};
use super::skim::{SkimBounds, SkimEnd, skim};
use super::write::{self, Report, Severity};
use super::write_frontend as front;
use super::*;

fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

fn frontend_message(write: impl FnOnce(&mut BytesMut)) -> RawMessage {
    let mut out = written(write);
    let message = frontend::next_message(&mut out, Limits::FRONTEND).unwrap().unwrap();
    assert!(out.is_empty(), "one message was written");
    message
}

fn backend_message(write: impl FnOnce(&mut BytesMut)) -> RawMessage {
    let mut out = written(write);
    let message = backend::next_message(&mut out, Limits::BACKEND).unwrap().unwrap();
    assert!(out.is_empty(), "one message was written");
    message
}

#[test]
fn every_client_message_comes_back_as_it_was_written() {
    let message = frontend_message(|out| front::query(out, "select 'ü'").unwrap());
    assert_eq!(frontend::parse(&message), Ok(Frontend::Query("select 'ü'")));

    let message = frontend_message(|out| front::parse(out, "s", "select $1", &[25]).unwrap());
    let Ok(Frontend::Parse(parse)) = frontend::parse(&message) else { panic!("not Parse") };
    assert_eq!((parse.name, parse.sql, &parse.param_types[..]), ("s", "select $1", &[25][..]));

    let params = [None, Some(&b"x"[..]), Some(&b""[..])];
    let message = frontend_message(|out| {
        front::bind(out, "p", "s", &[Format::Binary], &params, &[Format::Text, Format::Binary]).unwrap();
    });
    let Ok(Frontend::Bind(bind)) = frontend::parse(&message) else { panic!("not Bind") };
    assert_eq!((bind.portal, bind.statement, &bind.params[..]), ("p", "s", &params[..]));
    assert_eq!((bind.param_format(2), bind.result_format(1)), (Format::Binary, Format::Binary));
    assert_eq!(bind.result_format(0), Format::Text);

    let message = frontend_message(|out| front::execute(out, "p", 9).unwrap());
    let expected = frontend::Execute { portal: "p", max_rows: 9 };
    assert_eq!(frontend::parse(&message), Ok(Frontend::Execute(expected)));
    let message = frontend_message(|out| front::describe(out, Named::Portal("p")).unwrap());
    assert_eq!(frontend::parse(&message), Ok(Frontend::Describe(Named::Portal("p"))));
    let message = frontend_message(|out| front::close(out, Named::Statement("s")).unwrap());
    assert_eq!(frontend::parse(&message), Ok(Frontend::Close(Named::Statement("s"))));
    assert_eq!(frontend::parse(&frontend_message(front::sync)), Ok(Frontend::Sync));
    assert_eq!(frontend::parse(&frontend_message(front::flush)), Ok(Frontend::Flush));
    assert_eq!(frontend::parse(&frontend_message(front::terminate)), Ok(Frontend::Terminate));
    let message = frontend_message(|out| front::password(out, "hush").unwrap());
    let Ok(Frontend::Password(password)) = frontend::parse(&message) else { panic!("not a password") };
    assert_eq!(password.cleartext(), Ok("hush"));
}

#[test]
fn every_answer_of_the_gate_reads_as_the_server_would_say_it() {
    let report = Report {
        severity: Severity::Error,
        code: "42501",
        message: "no",
        detail: Some("more"),
        hint: Some("ask"),
    };
    let message = backend_message(|out| write::error_response(out, &report));
    let Ok(Backend::ErrorResponse(fields)) = backend::parse(&message) else { panic!("not an error") };
    assert_eq!((&*fields.severity(), &*fields.sqlstate()), ("ERROR", "42501"));
    let text = |code| fields.text(code).map(String::from);
    assert_eq!((text(b'M'), text(b'D')), (Some("no".into()), Some("more".into())));
    assert_eq!((text(b'H'), text(b'W')), (Some("ask".into()), None));

    let message = backend_message(|out| write::ready_for_query(out, TransactionStatus::Failed));
    assert_eq!(backend::parse(&message), Ok(Backend::ReadyForQuery(TransactionStatus::Failed)));
    let message = backend_message(|out| write::parameter_status(out, "a", "b"));
    assert_eq!(backend::parse(&message), Ok(Backend::ParameterStatus { name: "a", value: "b" }));
    let message = backend_message(|out| write::backend_key_data(out, 5, &[1, 2, 3, 4]));
    let expected = Backend::BackendKeyData { pid: 5, secret: &[1, 2, 3, 4] };
    assert_eq!(backend::parse(&message), Ok(expected));
    let message = backend_message(write::auth_cleartext);
    let expected = Backend::Authentication(backend::Authentication::CleartextPassword);
    assert_eq!(backend::parse(&message), Ok(expected));
    let message = backend_message(|out| write::negotiate_protocol_version(out, 0x0003_0002, &["_pq_.x"]));
    let expected = Backend::NegotiateProtocolVersion { newest: 0x0003_0002, unrecognised: vec!["_pq_.x"] };
    assert_eq!(backend::parse(&message), Ok(expected));

    let column = Field {
        name: "n",
        table_oid: 1,
        attnum: -2,
        type_oid: 25,
        type_len: -1,
        type_mod: -1,
        format: Format::Text,
    };
    let message = backend_message(|out| write::row_description(out, &[column]).unwrap());
    let Ok(Backend::RowDescription(row)) = backend::parse(&message) else { panic!("not columns") };
    assert_eq!(row.fields, [column]);
    let message = backend_message(|out| write::data_row(out, &[None, Some(b"x")]).unwrap());
    let Ok(Backend::DataRow(row)) = backend::parse(&message) else { panic!("not a row") };
    assert_eq!(row.columns().collect::<Result<Vec<_>, _>>(), Ok(vec![None, Some(&b"x"[..])]));
}

#[test]
fn the_rows_of_a_command_are_read_from_its_tag() {
    let rows = |tag| backend::CommandComplete { tag }.rows();
    assert_eq!((rows("INSERT 0 5"), rows("SELECT 12"), rows("COPY 3")), (Some(5), Some(12), Some(3)));
    assert_eq!((rows("CREATE TABLE"), rows(""), rows("SELECT +1")), (None, None, None));
}

#[test]
fn an_unknown_tag_is_refused_before_its_length_is_believed() {
    let mut buffer = BytesMut::from(&b"z"[..]);
    let refused = Err(CodecError::UnknownTag { tag: b'z' });
    assert_eq!(frontend::next_message(&mut buffer, Limits::FRONTEND), refused);
    let mut buffer = BytesMut::from(&[200u8, 0, 0, 0, 4][..]);
    assert_eq!(backend::next_message(&mut buffer, Limits::BACKEND), Err(CodecError::UnknownTag { tag: 200 }));
}

#[test]
fn an_oversized_message_is_refused_by_its_header_alone() {
    let mut buffer = BytesMut::from(&b"Q"[..]);
    buffer.put_u32(9_000);
    let error = frontend::next_message(&mut buffer, Limits::PREAUTH).unwrap_err();
    assert_eq!(error, CodecError::TooLong { length: 9_001, limit: PREAUTH_MESSAGE_BYTES_MAX });
    for length in [3u32, 0, u32::MAX] {
        let mut buffer = BytesMut::from(&b"Q"[..]);
        buffer.put_u32(length);
        let error = frontend::next_message(&mut buffer, Limits::FRONTEND).unwrap_err();
        assert!(matches!(error, CodecError::BadLength { .. }), "{length}: {error}");
    }
}

#[test]
fn bytes_that_nobody_reads_are_refused() {
    let body = |tag, bytes: &[u8]| frontend::parse_body(tag, bytes).is_err();
    assert!(body(b'Q', b"select 1\0drop table x\0"), "a second text after the first");
    assert!(body(b'Q', b"select 1"), "no zero byte");
    assert!(body(b'S', b"x"));
    assert!(body(b'D', b"Xname\0"));
    assert!(body(b'Q', b"\xff\0"), "not UTF-8");
    let two_formats_for_one = [0, 0, 0, 2, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0];
    assert!(body(b'B', &two_formats_for_one));
    let mut extra = written(|out| write::data_row(out, &[Some(b"x")]).unwrap());
    extra.put_u8(1);
    let row = DataRow::parse(&extra[HEADER_BYTES..]).unwrap();
    assert!(row.columns().any(|column| column.is_err()));
}

#[test]
fn a_count_alone_never_makes_us_allocate() {
    assert!(frontend::parse_body(b'P', b"\0\0\xff\xff").is_err());
    assert!(frontend::parse_body(b'B', b"\0\0\0\0\xff\xff").is_err());
    assert!(backend::parse_body(b'T', b"\xff\xff").is_err());
    assert!(backend::parse_body(b'v', &[0, 3, 0, 0, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn a_name_that_the_server_would_cut_short_is_seen() {
    let (long, fits) = ("n".repeat(64), "n".repeat(63));
    let check = |name: &str, expect: bool| {
        let messages = [
            frontend_message(|out| write_frontend::parse(out, name, "SELECT 1", &[]).expect("a Parse")),
            frontend_message(|out| write_frontend::bind(out, name, "", &[], &[], &[]).expect("a Bind")),
            frontend_message(|out| write_frontend::bind(out, "", name, &[], &[], &[]).expect("a Bind")),
            frontend_message(|out| write_frontend::execute(out, name, 0).expect("an Execute")),
            frontend_message(|out| write_frontend::describe(out, Named::Portal(name)).expect("a Describe")),
            frontend_message(|out| write_frontend::close(out, Named::Statement(name)).expect("a Close")),
        ];
        for message in &messages {
            let parsed = frontend::parse(message).expect("a message");
            assert_eq!(parsed.has_long_name(), expect, "{parsed:?}");
        }
    };
    check(&long, true);
    check(&fits, false);
}

#[test]
fn text_of_the_gate_cannot_end_a_field_early() {
    let message = "a\0Minjected";
    let report = Report { severity: Severity::Notice, code: "00000", message, detail: None, hint: None };
    let message = backend_message(|out| write::notice_response(out, &report));
    let Ok(Backend::NoticeResponse(fields)) = backend::parse(&message) else { panic!("not a notice") };
    assert_eq!(fields.iter().filter(|(code, _)| *code == b'M').count(), 1);
    let zero = CodecError::ZeroByte { message: "Query" };
    assert_eq!(front::query(&mut BytesMut::new(), "select 1\0"), Err(zero));
}

#[test]
fn nothing_secret_is_printed() {
    let message = frontend_message(|out| front::password(out, "hush").unwrap());
    assert!(!format!("{message:?} {:?}", frontend::parse(&message)).contains("hush"));
    let message = frontend_message(|out| front::bind(out, "", "", &[], &[Some(b"hush")], &[]).unwrap());
    assert!(!format!("{message:?} {:?}", frontend::parse(&message)).contains("104"));
}

fn answer() -> BytesMut {
    written(|out| {
        write::data_row(out, &[Some(b"one")]).unwrap();
        write::data_row(out, &[Some(b"two")]).unwrap();
        write::parameter_status(out, "a", "b");
        write::command_complete(out, "SELECT 2");
        write::ready_for_query(out, TransactionStatus::Open);
    })
}

#[test]
fn a_skim_passes_whole_messages_and_tells_what_they_were() {
    let bytes = answer();
    let seen = skim(&bytes, SkimBounds::NONE).unwrap();
    assert_eq!((seen.complete_bytes, seen.rows, seen.saw_error), (bytes.len(), 2, false));
    assert_eq!((seen.ready, seen.ready_count), (Some(TransactionStatus::Open), 1));
    assert_eq!(seen.end, SkimEnd::Drained);
}

#[test]
fn a_skim_stops_where_the_caller_must_look() {
    let bytes = answer();
    let row = written(|out| write::data_row(out, &[Some(b"one")]).unwrap()).len();
    let seen = skim(&bytes, SkimBounds { rows_max: 1, ..SkimBounds::NONE }).unwrap();
    assert_eq!((seen.complete_bytes, seen.rows, seen.end), (row, 1, SkimEnd::RowsMax));
    let seen = skim(&bytes, SkimBounds { stop: TagSet::of(b"SE"), ..SkimBounds::NONE }).unwrap();
    assert_eq!((seen.complete_bytes, seen.end), (2 * row, SkimEnd::Stopped { tag: b'S' }));

    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes);
    let seen = skim(&twice, SkimBounds { stop_after_ready: true, ..SkimBounds::NONE }).unwrap();
    assert_eq!((seen.complete_bytes, seen.end), (bytes.len(), SkimEnd::Ready));
}

#[test]
fn a_skim_never_passes_part_of_a_message() {
    let bytes = answer();
    let whole: Vec<usize> =
        (0..=bytes.len()).map(|end| skim(&bytes[..end], SkimBounds::NONE).unwrap().complete_bytes).collect();
    let mut ends = whole.clone();
    ends.dedup();
    assert_eq!(ends.len(), 6, "before the first and after each of five messages");
    assert!(whole.iter().enumerate().all(|(end, complete)| *complete <= end));
    let seen = skim(&bytes[..7], SkimBounds::NONE).unwrap();
    assert_eq!(seen.end, SkimEnd::Partial { frame_bytes: Some(14) });
    assert!(skim(b"\x00\x00\x00\x00\x04", SkimBounds::NONE).is_err());
}

proptest! {
    #[test]
    fn random_bodies_never_panic(tag in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = frontend::parse_body(tag, &bytes).map(|message| format!("{message:?}"));
        match backend::parse_body(tag, &bytes) {
            Ok(Backend::DataRow(row)) => { let _ = row.columns().count(); }
            parsed => { let _ = format!("{parsed:?}"); }
        }
    }

    #[test]
    fn random_known_bodies_never_panic(
        tag in prop::sample::select(b"QPBEDCSHXdcfFpRKZTINAtn123sGWvV".to_vec()),
        bytes in proptest::collection::vec(prop::sample::select(vec![0u8, 1, 2, 4, 65, 80, 83, 255]), 0..60),
    ) {
        let _ = frontend::parse_body(tag, &bytes);
        match backend::parse_body(tag, &bytes) {
            Ok(Backend::DataRow(row)) => { let _ = row.columns().count(); }
            parsed => { let _ = format!("{parsed:?}"); }
        }
    }

    #[test]
    fn random_streams_never_panic_and_the_skim_agrees_with_the_reader(
        bytes in proptest::collection::vec(prop::sample::select(b"DCZTES\0\0\0\0\x04\x05\x06\x07I".to_vec()), 0..80),
    ) {
        let skimmed = skim(&bytes, SkimBounds::NONE);
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut read = 0;
        let end = loop {
            match backend::next_message(&mut buffer, Limits::BACKEND) {
                Ok(Some(message)) => read += message.bytes.len(),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Ok(seen) = skimmed {
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(seen.complete_bytes, read);
        }
    }
}
