//! Promises of a COPY from the client: however it is cut, the same bytes come out, and nothing else is taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::sql::CopyShape;
use proptest::prelude::*;
use std::sync::Arc;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], u32::try_from(body.len() + 4).unwrap().to_be_bytes().as_slice(), body].concat()
}

/// All that comes out of a stream that is cut into pieces of this length.
fn read(stream: &[u8], chunk: usize) -> Result<(Vec<u8>, Vec<Piece>), CodecError> {
    let (mut frames, mut input) = (CopyFrames::default(), BytesMut::new());
    let (mut data, mut words) = (Vec::new(), Vec::new());
    for piece in stream.chunks(chunk) {
        input.extend_from_slice(piece);
        while let Some(piece) = frames.next(&mut input)? {
            match piece {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                word => words.push(word),
            }
        }
    }
    Ok((data, words))
}

#[test]
fn flush_and_sync_within_a_copy_are_passed_over_and_its_ends_are_told_apart() {
    let stream = [
        message(b'S', b""),
        message(b'd', b"1\t2\n"),
        message(b'H', b""),
        message(b'd', b""),
        message(b'd', b"3\t4\n"),
        message(b'c', b""),
        message(b'f', b"no more\0"),
        message(b'X', b""),
    ]
    .concat();
    for chunk in [1, 3, stream.len()] {
        let words = vec![Piece::Done, Piece::Failed("no more".to_owned()), Piece::Goodbye];
        assert_eq!(read(&stream, chunk).unwrap(), (b"1\t2\n3\t4\n".to_vec(), words));
    }
}

#[test]
fn a_frame_of_any_length_passes_in_pieces_and_a_longer_one_than_the_server_takes_does_not() {
    let (mut frames, mut input) = (CopyFrames::default(), BytesMut::new());
    input.extend_from_slice(b"d\x3f\xff\xff\xff");
    for _ in 0..3 {
        input.extend_from_slice(&[7; COPY_PIECE_BYTES_MAX + 1]);
        let Some(Piece::Data(bytes)) = frames.next(&mut input).unwrap() else { panic!("data") };
        assert_eq!(bytes.len(), COPY_PIECE_BYTES_MAX);
    }
    assert!(read(b"d\x40\x00\x00\x00", 5).is_err());
    for other in
        [message(b'Q', b"SELECT 1\0"), message(b'f', &[b'x'; COPY_WORD_BYTES_MAX]), message(b'c', b"x")]
    {
        assert!(read(&other, other.len()).is_err(), "{other:?}");
    }
}

#[test]
fn what_is_left_of_a_frame_that_nobody_reads_is_dropped_and_nothing_behind_it() {
    let (mut frames, mut input) = (CopyFrames::default(), BytesMut::new());
    input.extend_from_slice(&message(b'd', b"123456")[..7]);
    assert!(matches!(frames.next(&mut input), Ok(Some(Piece::Data(_)))));
    assert!(!frames.skip(&mut input));
    input.extend_from_slice(b"3456Q");
    assert!(frames.skip(&mut input));
    assert_eq!(&input[..], b"Q");
}

#[test]
fn all_that_waits_together_has_a_limit_and_gives_its_room_back() {
    let room = Arc::new(CopyRoom::new(10));
    let (mut first, mut second) = (room.place(), room.place());
    first.take(6).unwrap();
    assert!(second.take(5).is_err());
    second.take(4).unwrap();
    drop(first);
    assert_eq!(room.taken(), 4);
    second.take(6).unwrap();
    assert!(second.take(usize::MAX).is_err());
    drop(second);
    assert_eq!(room.taken(), 0);
}

fn kept(bytes: &[u8], binary: bool) -> Result<KeptData, Unreadable> {
    KeptData::new(bytes.to_vec(), CopyShape { columns: 2, binary }, Arc::new(CopyRoom::new(0)).place())
}

#[test]
fn lines_are_never_fewer_than_rows() {
    for (text, lines) in [
        ("", 0),
        ("a", 1),
        ("a\n", 1),
        ("a\nb", 2),
        ("a\r\nb\r\n", 2),
        ("a\rb\r", 2),
        ("\n\n", 2),
        ("\r\r\n", 2),
    ] {
        assert_eq!(kept(text.as_bytes(), false).unwrap().facts().lines, lines, "{text:?}");
    }
}

#[test]
fn rows_of_a_binary_copy_are_counted_and_what_is_none_is_refused() {
    let head = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
    let tuple = [&[0, 2][..], &[0, 0, 0, 1, 7], &[0xff; 4]].concat();
    let end = [0xff, 0xff];
    let whole = [&head[..], &tuple, &tuple, &end].concat();
    assert_eq!(kept(&whole, true).unwrap().facts().lines, 2);
    assert_eq!(count_tuples(&[&head[..], &tuple].concat()), Some(1), "without its end");
    for bad in [&whole[..10], &whole[..head.len() + 4], &[&whole[..], b"x"].concat(), b""] {
        assert!(kept(bad, true).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(bytes: Vec<u8>, chunk in 1usize..9) {
        let whole = read(&bytes, bytes.len().max(1));
        let cut = read(&bytes, chunk);
        prop_assert_eq!(whole.ok(), cut.ok());
        let _ = count_tuples(&bytes);
    }

    #[test]
    fn data_comes_out_as_it_went_in(bodies: Vec<Vec<u8>>, chunk in 1usize..99) {
        let stream: Vec<u8> = bodies.iter().flat_map(|body| message(b'd', body)).collect();
        let (data, words) = read(&stream, chunk).unwrap();
        prop_assert_eq!(data, bodies.concat());
        prop_assert!(words.is_empty());
    }
}
