//! A leaf's place in the log as one text that verifies offline (C2SP tlog-proof). It refuses to know how hashes
//! are kept.

use countersign_ledger::checkpoint::{Checkpoint, CheckpointError};
use countersign_ledger::note::{Origin, VerifierKey};
use countersign_ledger::proof::{Proof, ProofError};
use countersign_ledger::tree::{HashReader, TreeError, inclusion_proof, leaf_hash};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// The checkpoint is not one of this log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tree cannot be read, or has no such leaf.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What was read does not prove it: the tree and the checkpoint are not of one log.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The proof that `leaf` stands at `index` of the log with this signed checkpoint. It is verified before it is
/// handed out.
///
/// # Errors
/// The checkpoint does not open, the tree cannot be read, or the leaf is not there.
pub fn proof_file(
    leaf: &[u8],
    index: u64,
    checkpoint: &str,
    origin: &Origin,
    key: &VerifierKey,
    tree: &impl HashReader,
) -> Result<String, ProofFileError> {
    let known = std::slice::from_ref(key);
    let (head, _) = Checkpoint::open(checkpoint.as_bytes(), origin, known)?;
    let hashes = inclusion_proof(tree, index, head.size)?;
    let proof = Proof { extra: None, index, hashes, checkpoint: checkpoint.to_owned() };
    proof.verify(&leaf_hash(leaf), origin, known)?;
    Ok(proof.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_ledger::note::NoteSigner;
    use countersign_ledger::tree::Levels;

    #[test]
    fn a_leaf_that_is_there_is_proved_and_no_other() {
        let log = NoteSigner::from_seed("log.example/1".parse().unwrap(), &[1; 32]).unwrap();
        let tree: Levels = (0..9_u8).map(|n| leaf_hash(&[n])).collect();
        let head = Checkpoint { origin: log.name().clone(), size: 9, root: tree.root() };
        let note = head.sign(&[&log]).unwrap();
        let file = |leaf: &[u8], index| proof_file(leaf, index, &note, log.name(), log.verifier(), &tree);
        let proof = Proof::parse(file(&[4], 4).unwrap().as_bytes()).unwrap();
        proof.verify(&leaf_hash(&[4]), log.name(), &[log.verifier().clone()]).unwrap();
        assert!(matches!(file(&[5], 4), Err(ProofFileError::Proof(_))));
        assert!(matches!(file(&[9], 9), Err(ProofFileError::Tree(_))));
    }
}
