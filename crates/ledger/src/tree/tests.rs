//! Promises of the tree: RFC 6962 vectors, and every proof for small trees, right and wrong.

use proptest::prelude::*;

use super::*;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(format!("leaf {n}").as_bytes())).collect()
}

fn hex(hash: Hash) -> String {
    crate::bytes::hex(&hash.0)
}

/// The definition of RFC 6962 §2.1, written as it stands there.
fn by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let middle = many.len().next_power_of_two() / 2;
            node_hash(&by_definition(&many[..middle]), &by_definition(&many[middle..]))
        }
    }
}

/// The eight leaves and roots that the certificate-transparency test suites share.
#[test]
fn the_tree_gives_the_published_roots() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), empty_root());
    for (input, root) in inputs.iter().zip(roots) {
        frontier.push(leaf_hash(input));
        assert_eq!(hex(frontier.root()), root);
    }
}

#[test]
fn every_way_to_a_root_agrees_with_the_definition() {
    let all = leaves(70);
    let tree: Levels = all.iter().copied().collect();
    for size in 0..=70_u64 {
        let prefix = &all[..size as usize];
        let expected = by_definition(prefix);
        assert_eq!(root_of(prefix), expected);
        assert_eq!(root_at(&tree, size).unwrap(), expected);
        let read = Frontier::read(size, &tree).unwrap();
        assert_eq!((read.root(), read.size()), (expected, size));
        let mut restored = Frontier::restore(size, read.hashes().to_vec()).unwrap();
        restored.push(all[0]);
        let longer: Vec<Hash> = prefix.iter().copied().chain([all[0]]).collect();
        assert_eq!(restored.root(), by_definition(&longer));
    }
}

#[test]
fn every_inclusion_proof_holds_for_its_leaf_and_for_nothing_else() {
    let all = leaves(70);
    let tree: Levels = all.iter().copied().collect();
    for size in 1..=70_u64 {
        let root = root_at(&tree, size).unwrap();
        for index in 0..size {
            let proof = inclusion_proof(&tree, index, size).unwrap();
            let leaf = all[index as usize];
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
            for other in (0..=size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err(), "{index} as {other}");
            }
            let mut flipped = leaf;
            flipped.0[31] ^= 1;
            assert!(verify_inclusion(&flipped, index, size, &proof, &root).is_err());
            for broken in breakages(&proof) {
                assert!(verify_inclusion(&leaf, index, size, &broken, &root).is_err());
            }
        }
    }
}

#[test]
fn every_consistency_proof_holds_for_its_two_trees_and_for_nothing_else() {
    let all = leaves(70);
    let tree: Levels = all.iter().copied().collect();
    let roots: Vec<Hash> = (0..=70).map(|size| root_at(&tree, size).unwrap()).collect();
    for new in 0..=70_u64 {
        for old in 0..=new {
            let proof = consistency_proof(&tree, old, new).unwrap();
            let (old_root, new_root) = (roots[old as usize], roots[new as usize]);
            assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()), "{old} {new}");
            let mut forged = old_root;
            forged.0[0] ^= 0x80;
            assert!(verify_consistency(old, &forged, new, &new_root, &proof).is_err());
            for broken in breakages(&proof) {
                assert!(verify_consistency(old, &old_root, new, &new_root, &broken).is_err(), "{old} {new}");
            }
            if old != 0 {
                let mut forged = new_root;
                forged.0[0] ^= 0x80;
                assert!(verify_consistency(old, &old_root, new, &forged, &proof).is_err());
            }
            if old != new {
                assert!(verify_consistency(new, &new_root, old, &old_root, &proof).is_err());
            }
        }
    }
}

#[test]
fn a_rewritten_leaf_breaks_consistency_with_every_later_tree() {
    let honest: Levels = leaves(50).into_iter().collect();
    let mut forged = leaves(64);
    forged[17] = leaf_hash(b"another past");
    let forged: Levels = forged.into_iter().collect();
    for size in 18..=50 {
        let proof = consistency_proof(&forged, size, 64).unwrap();
        let seen = root_at(&honest, size).unwrap();
        assert!(verify_consistency(size, &seen, 64, &forged.root(), &proof).is_err());
    }
}

#[test]
fn a_question_outside_the_tree_is_an_error() {
    let tree: Levels = leaves(5).into_iter().collect();
    assert!(matches!(inclusion_proof(&tree, 5, 5), Err(TreeError::IndexOutside { .. })));
    assert!(matches!(inclusion_proof(&tree, 0, 0), Err(TreeError::IndexOutside { .. })));
    assert!(matches!(inclusion_proof(&tree, 0, 6), Err(TreeError::Read { .. })));
    assert!(matches!(consistency_proof(&tree, 5, 4), Err(TreeError::SizesSwapped { .. })));
    assert!(matches!(root_at(&tree, u64::MAX), Err(TreeError::TooLarge(_))));
    assert!(matches!(Frontier::restore(5, leaves(3)), Err(TreeError::WrongHashCount { .. })));
    assert!(verify_inclusion(&empty_root(), 0, u64::MAX, &[], &empty_root()).is_err());
    assert!(verify_consistency(0, &empty_root(), 0, &leaf_hash(b""), &[]).is_err());
}

#[test]
fn a_hash_text_has_one_form() {
    let hash = leaf_hash(b"x");
    let text = hash.to_string();
    assert_eq!(text.parse::<Hash>(), Ok(hash));
    for wrong in [&text[..43], &format!("{text}="), &text.replace('=', ""), "", "A"] {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
    }
    // The last character carries two bits that must be zero.
    assert!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=".parse::<Hash>().is_err());
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Hash>(&format!("\"{text}\"")).unwrap(), hash);
}

/// Each way to be a different proof: one bit flipped in each hash, one hash less, one more, two swapped.
fn breakages(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut broken: Vec<Vec<Hash>> = (0..proof.len())
        .map(|at| {
            let mut copy = proof.to_vec();
            copy[at].0[at % 32] ^= 1 << (at % 8);
            copy
        })
        .collect();
    broken.push(proof.iter().copied().chain([leaf_hash(b"more")]).collect());
    if let Some((_, shorter)) = proof.split_last() {
        broken.push(shorter.to_vec());
    }
    if proof.len() > 1 {
        let mut copy = proof.to_vec();
        copy.swap(0, 1);
        broken.push(copy);
    }
    broken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn proofs_hold_in_larger_trees(size in 1_u64..3000, a in any::<u64>(), b in any::<u64>()) {
        let all = leaves(size);
        let tree: Levels = all.iter().copied().collect();
        let (index, old) = (a % size, b % (size + 1));
        let proof = inclusion_proof(&tree, index, size).unwrap();
        prop_assert!(proof.len() <= PROOF_HASHES_MAX);
        prop_assert_eq!(verify_inclusion(&all[index as usize], index, size, &proof, &tree.root()), Ok(()));
        let proof = consistency_proof(&tree, old, size).unwrap();
        let old_root = root_at(&tree, old).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, size, &tree.root(), &proof), Ok(()));
    }

    #[test]
    fn foreign_proofs_of_any_shape_are_refused_without_a_panic(
        index in any::<u64>(), size in any::<u64>(), other in any::<u64>(),
        bytes in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<Hash> = bytes.into_iter().map(Hash).collect();
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        prop_assert!(verify_inclusion(&a, index, size, &proof, &b).is_err());
        prop_assert!(verify_consistency(other, &a, size, &b, &proof).is_err());
    }
}
