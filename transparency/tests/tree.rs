//! The tree against published vectors, and against the definitions of RFC 9162 written down naively.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{collections::HashMap, convert::Infallible};

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use sealcard_transparency::{
    Frontier, Hash, Node, TreeHead, prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};

/// MTH(D[n]) of section 2.1.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_TREE,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH(m, D[n]) of section 2.1.3.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (mut path, sibling) = if index < middle {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - middle, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF(m, D[n], b) of section 2.1.4.1.
fn naive_subproof(older: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if older == leaves.len() {
        return if known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (mut proof, other) = if older <= middle {
        (naive_subproof(older, left, known), naive_root(right))
    } else {
        (naive_subproof(older - middle, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|entry| Hash::leaf(&entry.to_be_bytes())).collect()
}

/// The tree as a log keeps it: its frontier and all complete nodes.
fn grow(leaves: &[Hash]) -> (Frontier, HashMap<Node, Hash>) {
    let (mut frontier, mut nodes) = (Frontier::new(), HashMap::new());
    for leaf in leaves {
        nodes.extend(frontier.append(*leaf).unwrap());
    }
    (frontier, nodes)
}

fn head(leaves: &[Hash]) -> TreeHead {
    TreeHead { size: leaves.len() as u64, root: naive_root(leaves) }
}

fn reader(nodes: &HashMap<Node, Hash>) -> impl FnMut(Node) -> Result<Hash, Infallible> {
    |node| Ok(nodes[&node])
}

fn hash(hex: &str) -> Hash {
    Hash::from_slice(&HEXLOWER.decode(hex.as_bytes()).unwrap()).unwrap()
}

/// The entries and roots of the tests of Certificate Transparency's first implementations.
const ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const H01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const H0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const H1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const H23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const H47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const H4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const H45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const H67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const H03: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";

fn published() -> Vec<Hash> {
    ENTRIES.iter().map(|entry| Hash::leaf(&HEXLOWER.decode(entry.as_bytes()).unwrap())).collect()
}

#[test]
fn roots_are_the_published_ones() {
    let mut frontier = Frontier::new();
    for (leaf, expected) in published().into_iter().zip(ROOTS) {
        frontier.append(leaf).unwrap();
        assert_eq!(frontier.root(), hash(expected));
    }
}

#[test]
fn proofs_are_the_published_ones() {
    let leaves = published();
    let (_, nodes) = grow(&leaves);
    let inclusion: [(u64, u64, &[&str]); 4] =
        [(0, 8, &[H1, H23, H47]), (5, 8, &[H4, H67, H03]), (2, 3, &[H01]), (1, 5, &[H0, H23, H4])];
    for (index, size, expected) in inclusion {
        let expected: Vec<Hash> = expected.iter().map(|hex| hash(hex)).collect();
        assert_eq!(prove_inclusion(index, size, &mut reader(&nodes)).unwrap(), expected);
    }
    let consistency: [(u64, u64, &[&str]); 4] =
        [(1, 1, &[]), (1, 8, &[H1, H23, H47]), (6, 8, &[H45, H67, H03]), (2, 5, &[H23, H4])];
    for (older, size, expected) in consistency {
        let expected: Vec<Hash> = expected.iter().map(|hex| hash(hex)).collect();
        assert_eq!(prove_consistency(older, size, &mut reader(&nodes)).unwrap(), expected);
    }
}

#[test]
fn proofs_of_all_small_trees_are_the_naive_ones_and_hold() {
    let leaves = leaves(40);
    let (_, nodes) = grow(&leaves);
    for size in 1..=leaves.len() {
        let tree = head(&leaves[..size]);
        assert_eq!(root(size as u64, &mut reader(&nodes)).unwrap(), tree.root);
        for other in 0..size {
            let proof = prove_inclusion(other as u64, size as u64, &mut reader(&nodes)).unwrap();
            assert_eq!(proof, naive_path(other, &leaves[..size]));
            verify_inclusion(&leaves[other], other as u64, &tree, &proof).unwrap();
        }
        for older in 0..=size {
            let proof = prove_consistency(older as u64, size as u64, &mut reader(&nodes)).unwrap();
            if older > 0 {
                assert_eq!(proof, naive_subproof(older, &leaves[..size], true));
            }
            verify_consistency(&head(&leaves[..older]), &tree, &proof).unwrap();
        }
    }
}

#[test]
fn what_is_not_in_the_tree_is_not_proved() {
    let (_, nodes) = grow(&leaves(3));
    assert!(prove_inclusion(3, 3, &mut reader(&nodes)).is_err());
    assert!(prove_inclusion(0, 0, &mut reader(&nodes)).is_err());
    assert!(prove_consistency(4, 3, &mut reader(&nodes)).is_err());
    assert!(prove_inclusion(0, u64::MAX, &mut reader(&nodes)).is_err());
}

#[test]
fn empty_older_tree_has_its_own_root_and_an_empty_proof() {
    let tree = head(&leaves(3));
    verify_consistency(&TreeHead::EMPTY, &tree, &[]).unwrap();
    verify_consistency(&TreeHead::EMPTY, &TreeHead::EMPTY, &[]).unwrap();
    assert!(verify_consistency(&TreeHead::EMPTY, &tree, &[tree.root]).is_err());
    assert!(verify_consistency(&TreeHead { size: 0, root: tree.root }, &tree, &[]).is_err());
    assert!(verify_consistency(&TreeHead { size: 3, root: Hash::EMPTY_TREE }, &tree, &[]).is_err());
    assert!(verify_consistency(&TreeHead::EMPTY, &TreeHead { size: 0, root: tree.root }, &[]).is_err());
}

/// A size, a smaller number, and a bit to flip.
fn case() -> impl Strategy<Value = (usize, usize, usize)> {
    (1..600usize).prop_flat_map(|size| (Just(size), 0..size, any::<usize>()))
}

fn flip(hash: &mut Hash, bit: usize) {
    hash.0[bit / 8 % 32] ^= 1 << (bit % 8);
}

proptest! {
    #[test]
    fn inclusion_holds_and_no_flipped_bit_does((size, index, bit) in case()) {
        let leaves = leaves(size);
        let (frontier, nodes) = grow(&leaves);
        let tree = frontier.head();
        prop_assert_eq!(tree, head(&leaves));
        let proof = prove_inclusion(index as u64, size as u64, &mut reader(&nodes)).unwrap();
        prop_assert_eq!(&proof, &naive_path(index, &leaves));
        prop_assert!(verify_inclusion(&leaves[index], index as u64, &tree, &proof).is_ok());

        let refused = |leaf: &Hash, index: u64, tree: &TreeHead, proof: &[Hash]| {
            verify_inclusion(leaf, index, tree, proof).is_err()
        };
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            flip(&mut wrong[at], bit);
            prop_assert!(refused(&leaves[index], index as u64, &tree, &wrong));
            prop_assert!(refused(&leaves[index], index as u64, &tree, &proof[..at]));
        }
        let longer = [&proof[..], &[tree.root]].concat();
        prop_assert!(refused(&leaves[index], index as u64, &tree, &longer));
        let (mut leaf, mut other) = (leaves[index], tree);
        flip(&mut leaf, bit);
        prop_assert!(refused(&leaf, index as u64, &tree, &proof));
        flip(&mut other.root, bit);
        prop_assert!(refused(&leaves[index], index as u64, &other, &proof));
        prop_assert!(refused(&leaves[index], index as u64 ^ (1 << (bit % 64)), &tree, &proof));
    }

    #[test]
    fn consistency_holds_and_no_flipped_bit_does((size, older, bit) in case()) {
        prop_assume!(older > 0);
        let leaves = leaves(size);
        let (_, nodes) = grow(&leaves);
        let (first, second) = (head(&leaves[..older]), head(&leaves));
        let proof = prove_consistency(older as u64, size as u64, &mut reader(&nodes)).unwrap();
        prop_assert_eq!(&proof, &naive_subproof(older, &leaves, true));
        prop_assert!(verify_consistency(&first, &second, &proof).is_ok());

        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            flip(&mut wrong[at], bit);
            prop_assert!(verify_consistency(&first, &second, &wrong).is_err());
            prop_assert!(verify_consistency(&first, &second, &proof[..at]).is_err());
        }
        let longer = [&proof[..], &[second.root]].concat();
        prop_assert!(verify_consistency(&first, &second, &longer).is_err());
        let (mut other_first, mut other_second) = (first, second);
        flip(&mut other_first.root, bit);
        flip(&mut other_second.root, bit);
        prop_assert!(verify_consistency(&other_first, &second, &proof).is_err());
        prop_assert!(verify_consistency(&first, &other_second, &proof).is_err());
    }

    #[test]
    fn no_proof_panics(
        index in any::<u64>(),
        size in any::<u64>(),
        hashes in proptest::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
    ) {
        let tree = TreeHead { size, root: Hash::EMPTY_TREE };
        let _ = verify_inclusion(&Hash::EMPTY_TREE, index, &tree, &hashes);
        let _ = verify_consistency(&TreeHead { size: index, root: Hash::EMPTY_TREE }, &tree, &hashes);
    }

    #[test]
    fn frontier_survives_its_bytes(size in 0..600usize) {
        let (frontier, _) = grow(&leaves(size));
        prop_assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier));
    }
}
