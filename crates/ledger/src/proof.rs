//! C2SP tlog-proof: an entry's place in a log in one text that verifies offline. It refuses to know the entry.
//!
//! Specification: <https://c2sp.org/tlog-proof>.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::decimal;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{NOTE_BYTES_MAX, NoteError, Origin, VerifierKey, split_note};
use crate::tree::{Hash, HashTextError, PROOF_HASHES_MAX, VerifyError, verify_inclusion};

/// The first line.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The most bytes of opaque extra data.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;
/// A proof larger than this is not looked at.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 2;

/// A proof that an entry stands at an index of a log, with the signed checkpoint it was made against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Opaque data that nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion proof, sibling of the leaf first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Says why bytes are not a proof, or a proof does not show what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Too large.
    #[error("expected a proof of at most {PROOF_BYTES_MAX} bytes, found {0}")]
    TooLarge(usize),
    /// A part that is missing or malformed.
    #[error("the proof is malformed: {0}")]
    Malformed(&'static str),
    /// A line that should be a hash.
    #[error("a proof line is malformed: {0}")]
    Hash(#[from] HashTextError),
    /// The checkpoint.
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The inclusion proof does not lead to the checkpoint's root.
    #[error("the entry is not in the log: {0}")]
    NotIncluded(#[from] VerifyError),
}

impl Proof {
    /// Reads a proof; nothing is verified yet.
    ///
    /// # Errors
    /// When the bytes are not a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Malformed("it is not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(ProofError::Malformed("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(ProofError::Malformed("the first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let mut line = lines.next().ok_or(ProofError::Malformed("the index line is missing"))?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = Some(parse_extra(encoded)?);
            line = lines.next().ok_or(ProofError::Malformed("the index line is missing"))?;
        }
        let index = line.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or(ProofError::Malformed("expected `index` and a decimal"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == PROOF_HASHES_MAX {
                return Err(ProofError::Malformed("too many hashes"));
            }
            hashes.push(line.parse()?);
        }
        split_note(checkpoint.as_bytes()).map_err(|error: NoteError| CheckpointError::from(error))?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Shows that the leaf with hash `leaf` stands in the log `origin` that a key of `known` signed for.
    ///
    /// # Errors
    /// When the checkpoint does not open or the proof does not lead to its root.
    pub fn verify(
        &self,
        leaf: &Hash,
        origin: &Origin,
        known: &[VerifierKey],
    ) -> Result<Checkpoint, ProofError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.as_bytes(), origin, known)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

fn parse_extra(encoded: &str) -> Result<Vec<u8>, ProofError> {
    let extra = STANDARD.decode(encoded);
    let extra = extra.map_err(|_| ProofError::Malformed("the extra data is not standard base64"))?;
    match extra.len() {
        0 => Err(ProofError::Malformed("the extra line is empty: leave it out")),
        length if length > EXTRA_BYTES_MAX => Err(ProofError::Malformed("the extra data is too long")),
        _ => Ok(extra),
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::NoteSigner;
    use crate::tree::{Levels, inclusion_proof, leaf_hash};

    fn proof(size: u64, index: u64, extra: Option<Vec<u8>>) -> (Proof, NoteSigner) {
        let log = NoteSigner::from_seed("log.example/1".parse().unwrap(), &[1; 32]).unwrap();
        let tree: Levels = (0..size).map(|n| leaf_hash(&[n as u8])).collect();
        let head = Checkpoint { origin: log.name().clone(), size, root: tree.root() };
        let hashes = inclusion_proof(&tree, index, size).unwrap();
        (Proof { extra, index, hashes, checkpoint: head.sign(&[&log]).unwrap() }, log)
    }

    #[test]
    fn a_proof_read_back_from_its_text_verifies() {
        for (size, index, extra) in [(1, 0, None), (9, 4, Some(b"salt".to_vec())), (200, 199, None)] {
            let (proof, log) = proof(size, index, extra);
            let text = proof.to_string();
            let read = Proof::parse(text.as_bytes()).unwrap();
            assert_eq!((&read, read.to_string()), (&proof, text));
            let known = [log.verifier().clone()];
            let head = read.verify(&leaf_hash(&[index as u8]), log.name(), &known).unwrap();
            assert_eq!(head.size, size);
            assert!(read.verify(&leaf_hash(b"another entry"), log.name(), &known).is_err());
            assert!(read.verify(&leaf_hash(&[index as u8]), log.name(), &[]).is_err());
            let other = Proof { index: index + 1, ..read };
            assert!(other.verify(&leaf_hash(&[index as u8]), log.name(), &known).is_err());
        }
    }

    #[test]
    fn a_proof_has_one_form() {
        let (proof, _) = proof(9, 4, None);
        let text = proof.to_string();
        let wrong = [
            text.replace("@v1", "@v2"),
            text.replace("index 4", "index 04"),
            text.replace("index 4", "index -4"),
            text.replace("index 4\n", ""),
            text.replace("index 4", "extra \nindex 4"),
            text.replace("index 4", "extra !\nindex 4"),
            text.replace("index 4", "index 4\nAAAA"),
            text.replacen("\n\n", "\n", 1),
            text.replace("\u{2014}", "-"),
            text.replace('\n', "\r\n"),
            format!("{}{}", text.replacen("\n\n", &"\nx".repeat(200), 1), "\n\n"),
            String::new(),
        ];
        for text in wrong {
            assert!(Proof::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(
            Proof::parse(&vec![b'x'; PROOF_BYTES_MAX + 1]),
            Err(ProofError::TooLarge(PROOF_BYTES_MAX + 1))
        );
    }
}
