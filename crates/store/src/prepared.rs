//! A change on its way to the sequencer: leaves printed, disclosures sealed, in the caller's own thread.
//! It refuses a leaf that does not commit to its disclosures.

use crate::block;
use crate::change::{CHANGE_BYTES_MAX, Change, CommitError, FRAMES_MAX, NOTICES_MAX, Notice};
use crate::vault::Vault;
use countersign_core::disclosure::Disclosure;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::lifecycle::Fact;
use countersign_ledger::tree::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A change with its bytes.
pub(crate) struct Prepared {
    pub change: Change,
    pub frames: Vec<PreparedFrame>,
    pub bytes: u64,
}

/// A frame's bytes.
pub(crate) struct PreparedFrame {
    pub leaf: Arc<[u8]>,
    pub hash: Hash,
    pub sealed: Vec<u8>,
}

/// What is sealed beside a leaf. The first frame of a change carries its notices; the one that opens a request, the
/// keyed digest of its effect.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub disclosures: Vec<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub effect_key: Option<[u8; 32]>,
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// Prints and seals.
pub(crate) fn prepare(change: Change, vault: &Vault) -> Result<Prepared, CommitError> {
    if change.frames.is_empty() || change.frames.len() > FRAMES_MAX {
        let why = format!("expected 1 to {FRAMES_MAX} frames, found {}", change.frames.len());
        return Err(CommitError::Invalid(why));
    }
    if change.notices.len() > NOTICES_MAX {
        let why = format!("expected at most {NOTICES_MAX} notices, found {}", change.notices.len());
        return Err(CommitError::Invalid(why));
    }
    let opens = change
        .frames
        .iter()
        .position(|frame| matches!(&frame.leaf.entry, Entry::Request { fact: Fact::Opened { .. }, .. }));
    let mut frames = Vec::with_capacity(change.frames.len());
    for (at, frame) in change.frames.iter().enumerate() {
        let leaf = frame.leaf.to_bytes().map_err(|e| CommitError::Invalid(e.to_string()))?;
        // What people sign leads to a disclosure only through its digest in the leaf.
        if let Some(stray) = frame.disclosures.iter().find(|d| !frame.leaf.sd.contains(&d.digest())) {
            let why = format!("the leaf does not hold the digest `{}` of its disclosure", stray.digest());
            return Err(CommitError::Invalid(why));
        }
        let sealed = Sealed {
            disclosures: frame.disclosures.iter().map(|d| d.encoded().to_owned()).collect(),
            effect_key: change.effect_key.filter(|_| opens == Some(at)),
            notices: if at == 0 { change.notices.clone() } else { Vec::new() },
        };
        let hash = leaf_hash(&leaf);
        frames.push(PreparedFrame { sealed: seal(&sealed, &hash, vault)?, leaf: leaf.into(), hash });
    }
    let bytes = frames.iter().map(|f| f.leaf.len() + f.sealed.len() + 8).sum::<usize>() + block::HEADER_BYTES;
    if bytes > CHANGE_BYTES_MAX {
        return Err(CommitError::Invalid(format!(
            "expected at most {CHANGE_BYTES_MAX} bytes, found {bytes}"
        )));
    }
    Ok(Prepared { change, frames, bytes: bytes as u64 })
}

fn seal(sealed: &Sealed, hash: &Hash, vault: &Vault) -> Result<Vec<u8>, CommitError> {
    if sealed.disclosures.is_empty() && sealed.effect_key.is_none() && sealed.notices.is_empty() {
        return Ok(Vec::new());
    }
    let plain = serde_json::to_vec(sealed).map_err(|e| CommitError::Invalid(e.to_string()))?;
    vault.seal(&plain, hash.as_bytes()).map_err(|e| CommitError::Invalid(e.to_string()))
}

/// Opens what was sealed beside a leaf; `None` where the key was destroyed or the bytes altered.
pub(crate) fn unseal(leaf: &[u8], sealed: &[u8], vault: &Vault) -> Option<Sealed> {
    if sealed.is_empty() {
        return Some(Sealed::default());
    }
    let plain = vault.open(sealed, leaf_hash(leaf).as_bytes()).ok()?;
    serde_json::from_slice(&plain).ok()
}

/// The names and values of disclosures that the leaf commits to; others are not shown as belonging to it.
pub(crate) fn values(leaf: &Leaf, encoded: &[String]) -> Vec<(String, serde_json::Value)> {
    let known = encoded.iter().filter_map(|text| Disclosure::parse(text).ok());
    known.filter(|d| leaf.sd.contains(&d.digest())).filter_map(|d| d.open().ok()).collect()
}
