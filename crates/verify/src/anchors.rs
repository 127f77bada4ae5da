//! What people signed of the log itself: each statement carries the root that its signer saw, so a rewritten history
//! breaks every anchor after the change. It refuses to know which tree is the true one.

use crate::finding::{Finding, Misfit, What, demand, misfit};
use crate::reader::{FetchError, Reader};
use countersign_core::id::Pseudonym;
use countersign_core::statement::Anchor;
use countersign_ledger::note::Origin;
use countersign_ledger::tree::{Hash, empty_root};
use std::collections::{BTreeMap, BTreeSet};

/// The anchors that were signed so far.
#[derive(Default)]
pub(crate) struct Anchors {
    /// By size: the root that was signed, and the leaf where it stands first.
    signed: BTreeMap<u64, (Hash, u64)>,
    people: BTreeSet<Pseudonym>,
}

impl Anchors {
    /// Takes an anchor that `person` has signed, in the leaf at `index`: nobody has seen what came after.
    pub(crate) fn add(
        &mut self,
        index: u64,
        person: &Pseudonym,
        anchor: &Anchor,
        origin: &Origin,
    ) -> Result<(), Misfit> {
        let of = What::Anchor;
        demand(anchor.origin == origin.as_str(), of, format!("the log `{origin}`"), &anchor.origin)?;
        demand(anchor.size <= index, of, format!("a size of at most {index}"), anchor.size)?;
        let root: Hash = anchor.root.parse().map_err(|error| misfit(of, "a root in base64", error))?;
        if anchor.size == 0 {
            return demand(root == empty_root(), of, "the root of the empty log", root);
        }
        let (known, _) = self.signed.entry(anchor.size).or_insert((root, index));
        let expected = format!("the root {known} that somebody else saw at size {}", anchor.size);
        demand(*known == root, of, expected, root)?;
        self.people.insert(person.clone());
        Ok(())
    }

    /// Compares every anchor with the tree.
    pub(crate) fn check<F>(&self, reader: &Reader<F>) -> Result<(), Finding>
    where
        F: Fn(&str) -> Result<Vec<u8>, FetchError>,
    {
        if self.signed.is_empty() {
            return Ok(());
        }
        reader.roots(self.signed.keys().copied(), |size, root| {
            let Some((signed, index)) = self.signed.get(&size) else { return Ok(()) };
            let expected = format!("the root of the first {size} leaves, {root}");
            demand(*signed == root, What::Anchor, expected, signed).map_err(|misfit| misfit.at(*index))
        })
    }

    /// How many people signed anchors, and the largest size that one signed.
    pub(crate) fn reach(&self) -> (u64, u64) {
        let size = self.signed.last_key_value().map_or(0, |(size, _)| *size);
        (self.people.len() as u64, size)
    }
}
