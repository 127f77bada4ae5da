//! C2SP tlog-checkpoint: what a log's tree was at one size. It refuses to know whether two checkpoints agree
//! (that is `tree::verify_consistency`) and extension lines, which auditors cannot check.
//!
//! Specification: <https://c2sp.org/tlog-checkpoint>.

use std::fmt;
use std::str::FromStr;

use crate::bytes::decimal;
use crate::note::{Note, NoteError, NoteSigner, Origin, VerifierKey, open_note, sign_note};
use crate::tree::{Hash, HashTextError, SIZE_MAX};

/// A tree head: whose log, how many leaves, which root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity.
    pub origin: Origin,
    /// How many leaves the tree has.
    pub size: u64,
    /// The root of the tree at that size.
    pub root: Hash,
}

/// Says why a text is not a checkpoint of the log in question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not three lines.
    #[error("expected exactly the lines origin, size and root, found {0}")]
    Lines(usize),
    /// The text's last line has no newline.
    #[error("expected a newline at the end of the checkpoint")]
    NoNewline,
    /// A bad size.
    #[error("expected a decimal tree size without leading zeroes and at most {SIZE_MAX}")]
    Size,
    /// A bad root.
    #[error("the root is malformed: {0}")]
    Root(#[from] HashTextError),
    /// The note around it, or the origin's form.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Another log's checkpoint.
    #[error("expected a checkpoint of `{expected}`, found one of `{found}`")]
    OtherLog {
        /// The log asked for.
        expected: Origin,
        /// The log it is of.
        found: Origin,
    },
}

impl Checkpoint {
    /// The signed note of this checkpoint.
    ///
    /// Who calls it must have made sure, durably, that it is consistent with every one signed before.
    ///
    /// # Errors
    /// When nobody signs.
    pub fn sign(&self, signers: &[&NoteSigner]) -> Result<String, CheckpointError> {
        Ok(sign_note(&self.to_string(), signers)?)
    }

    /// Opens the signed checkpoint of the log `origin` with its known keys.
    ///
    /// A key of another name (a witness) does not stand for the log: one known key named like the origin must
    /// have signed.
    ///
    /// # Errors
    /// When the note does not open, was not signed by the log, or is of another log.
    pub fn open(
        note: &[u8],
        origin: &Origin,
        known: &[VerifierKey],
    ) -> Result<(Self, Note), CheckpointError> {
        let note = open_note(note, known)?;
        let checkpoint: Self = note.text.parse()?;
        if checkpoint.origin != *origin {
            return Err(CheckpointError::OtherLog { expected: origin.clone(), found: checkpoint.origin });
        }
        if !note.signed_by.iter().any(|key| key.name() == origin) {
            return Err(NoteError::NoKnownKey.into());
        }
        Ok((checkpoint, note))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::NoNewline)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines(body.split('\n').count()));
        };
        let size = decimal(size).filter(|size| *size <= SIZE_MAX).ok_or(CheckpointError::Size)?;
        Ok(Self { origin: origin.parse()?, size, root: root.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::leaf_hash;

    /// The example in the specification's text.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn checkpoint(origin: &str, size: u64) -> Checkpoint {
        Checkpoint { origin: origin.parse().unwrap(), size, root: leaf_hash(b"root") }
    }

    fn signer(name: &str, seed: u8) -> NoteSigner {
        NoteSigner::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_parses_and_prints() {
        let parsed: Checkpoint = EXAMPLE.parse().unwrap();
        assert_eq!((parsed.origin.as_str(), parsed.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(parsed.to_string(), EXAMPLE);
    }

    #[test]
    fn a_checkpoint_has_one_form() {
        let wrong = [
            EXAMPLE.trim_end().to_owned(),
            format!("{EXAMPLE}extension\n"),
            format!("{EXAMPLE}\n"),
            format!("\n{EXAMPLE}"),
            EXAMPLE.replace("20852163", "020852163"),
            EXAMPLE.replace("20852163", "+20852163"),
            EXAMPLE.replace("20852163", ""),
            EXAMPLE.replace("20852163", "9223372036854775808"),
            EXAMPLE.replace("20852163", "99999999999999999999"),
            EXAMPLE.replace("q2I=", "q2J="),
            EXAMPLE.replace('\n', "\r\n"),
            EXAMPLE.replace("example.com", "example com"),
        ];
        for text in wrong {
            assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_opens_its_checkpoint() {
        let (log, witness) = (signer("log.example/1", 1), signer("witness.example", 2));
        let known = [log.verifier().clone(), witness.verifier().clone()];
        let head = checkpoint("log.example/1", 7);
        let (opened, note) =
            Checkpoint::open(head.sign(&[&log, &witness]).unwrap().as_bytes(), log.name(), &known).unwrap();
        assert_eq!((opened, note.signed_by.len()), (head.clone(), 2));
        let witnessed_only = head.sign(&[&witness]).unwrap();
        assert!(matches!(
            Checkpoint::open(witnessed_only.as_bytes(), log.name(), &known),
            Err(CheckpointError::Note(NoteError::NoKnownKey))
        ));
        let other = checkpoint("log.example/2", 7).sign(&[&log]).unwrap();
        let opened = Checkpoint::open(other.as_bytes(), log.name(), &known);
        assert!(matches!(opened, Err(CheckpointError::OtherLog { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn printing_and_parsing_agree(origin in "[a-z0-9./-]{1,40}", size in 0..=SIZE_MAX, root in any::<[u8; 32]>()) {
            let head = Checkpoint { origin: origin.parse().unwrap(), size, root: Hash(root) };
            prop_assert_eq!(head.to_string().parse::<Checkpoint>().unwrap(), head);
        }

        #[test]
        fn what_parses_prints_as_it_was(text in "[a-z0-9\n=+/]{0,60}\n") {
            if let Ok(head) = text.parse::<Checkpoint>() {
                prop_assert_eq!(head.to_string(), text);
            }
        }
    }
}
