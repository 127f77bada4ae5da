//! Promises of tiles: the paths, widths and bundles of C2SP tlog-tiles.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tree::{Levels, consistency_proof, inclusion_proof, leaf_hash, root_at};

fn width(count: u64) -> Width {
    Width::new(count).unwrap()
}

fn tree(size: u64) -> Levels {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// The files of a log of `size` leaves, without bundles.
fn files(tree: &Levels, size: u64) -> BTreeMap<TilePath, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in tiles_of(size) {
        if let TilePath::Hashes { level, index, width } = path {
            files.insert(path, tile_bytes(tree, level, index, width).unwrap());
        }
    }
    files
}

#[test]
fn paths_are_spelled_as_the_specification_spells_them() {
    let cases = [
        (TilePath::Hashes { level: 0, index: 0, width: Width::FULL }, "tile/0/000"),
        (TilePath::Hashes { level: 0, index: 1_234_067, width: Width::FULL }, "tile/0/x001/x234/067"),
        (TilePath::Hashes { level: 0, index: 1_234, width: width(5) }, "tile/0/x001/234.p/5"),
        (TilePath::Hashes { level: 7, index: 999, width: width(255) }, "tile/7/999.p/255"),
        (TilePath::Hashes { level: 1, index: 1_000, width: width(1) }, "tile/1/x001/000.p/1"),
        (TilePath::Entries { index: 273, width: width(112) }, "tile/entries/273.p/112"),
        (TilePath::Entries { index: 70_000, width: Width::FULL }, "tile/entries/x070/000"),
    ];
    for (path, text) in cases {
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
    }
}

#[test]
fn a_path_has_no_second_spelling() {
    for wrong in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/8/000",
        "tile/64/000",
        "tile/-1/000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p/1.p/1",
        "tile/0/../000",
        "tile/entries/x999/x999/x999/x999/x999/x999/999",
        "tile/entries/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/data/000",
        "checkpoint",
    ] {
        assert!(wrong.parse::<TilePath>().is_err(), "{wrong}");
    }
}

/// The specification counts the tiles of a tree of 70,000 and of 256.
#[test]
fn a_tree_has_the_tiles_that_the_specification_counts() {
    let count = |size, wanted: u8, full: bool| {
        tiles_of(size)
            .filter(|path| matches!(path, TilePath::Hashes { level, .. } if *level == wanted))
            .filter(|path| path.width().is_full() == full)
            .count()
    };
    assert_eq!([count(70_000, 0, true), count(70_000, 0, false)], [273, 1]);
    assert_eq!([count(70_000, 1, true), count(70_000, 1, false)], [1, 1]);
    assert_eq!([count(70_000, 2, true), count(70_000, 2, false)], [0, 1]);
    let names: Vec<String> = tiles_of(70_000).map(|path| path.to_string()).collect();
    for name in ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"] {
        assert!(names.iter().any(|other| other == name), "{name}");
    }
    let small: Vec<String> = tiles_of(256).map(|path| path.to_string()).collect();
    assert_eq!(small, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(tiles_of(0).count(), 0);
}

#[test]
fn growing_step_by_step_writes_every_tile_that_the_end_needs() {
    for step in [1, 100, 255, 256, 257, 700] {
        let mut written = std::collections::BTreeSet::new();
        let mut size = 0;
        while size < 70_000 {
            let next = (size + step * 3).min(70_000);
            written.extend(tiles_grown(size, next));
            size = next;
        }
        assert!(tiles_of(70_000).all(|path| written.contains(&path)), "{step}");
    }
    assert_eq!(tiles_grown(300, 300).count(), 0);
}

#[test]
fn a_tile_exists_once_the_tree_is_large_enough() {
    let path: TilePath = "tile/1/000.p/2".parse().unwrap();
    assert!(!path.exists_in(511) && path.exists_in(512) && path.exists_in(100_000));
    let path: TilePath = "tile/entries/001".parse().unwrap();
    assert!(!path.exists_in(511) && path.exists_in(512));
    assert!(tiles_of(70_000).all(|path| path.exists_in(70_000)));
}

#[test]
fn an_outsider_computes_the_same_proofs_from_tiles_alone() {
    let tree = tree(66_000);
    for size in [1, 2, 255, 256, 257, 600, 65_536, 66_000] {
        let files = files(&tree, size);
        let reader = TileReader::new(size, |path: TilePath| {
            files.get(&path).cloned().ok_or_else(|| format!("no file {path}").into())
        });
        assert_eq!(root_at(&reader, size).unwrap(), root_at(&tree, size).unwrap(), "{size}");
        for index in [0, size / 3, size - 1] {
            let proof = inclusion_proof(&reader, index, size).unwrap();
            assert_eq!(proof, inclusion_proof(&tree, index, size).unwrap());
            let proof = consistency_proof(&reader, index, size).unwrap();
            assert_eq!(proof, consistency_proof(&tree, index, size).unwrap());
        }
        assert!(
            reader.hash(0, size).is_err() && reader.hash(17, 0).is_err() && reader.hash(8, size).is_err()
        );
    }
}

#[test]
fn a_tile_of_the_wrong_length_is_refused() {
    assert_eq!(parse_tile(&[7; 64], width(2)).unwrap(), [Hash([7; 32]), Hash([7; 32])]);
    for length in [0, 32, 63, 65, 96] {
        assert!(parse_tile(&vec![7; length], width(2)).is_err(), "{length}");
    }
}

#[test]
fn a_bundle_holds_exactly_its_entries() {
    let longest = vec![1; ENTRY_BYTES_MAX];
    let entries: [&[u8]; 3] = [b"first", b"", &longest];
    let bytes = print_bundle(&entries).unwrap();
    assert_eq!(&bytes[..9], b"\x00\x05first\x00\x00");
    assert_eq!(parse_bundle(&bytes, width(3)).unwrap(), entries);
    assert!(parse_bundle(&bytes, width(2)).is_err());
    assert!(parse_bundle(&bytes, width(4)).is_err());
    assert!(parse_bundle(&bytes[..bytes.len() - 1], width(3)).is_err());
    assert!(matches!(print_bundle(&[vec![0; ENTRY_BYTES_MAX + 1]]), Err(BundleError::EntryTooLong(65_536))));
    assert!(print_bundle::<&[u8]>(&[]).is_err());
    assert!(print_bundle(&vec![b"x"; 257]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_path_parses_to_itself(level in 0..=LEVEL_MAX, index in any::<u64>(), count in 1..=256_u64, entries in any::<bool>()) {
        let width = width(count);
        let path = if entries { TilePath::Entries { index, width } } else { TilePath::Hashes { level, index, width } };
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn what_parses_as_a_path_prints_as_it_was(text in "tile/([0-9]|entries)/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn every_bundle_parses_to_its_entries(entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..256)) {
        let bytes = print_bundle(&entries).unwrap();
        let parsed = parse_bundle(&bytes, width(entries.len() as u64)).unwrap();
        prop_assert_eq!(parsed, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
