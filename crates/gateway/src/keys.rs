//! The gate's own keys: seven files of 32 random bytes each, apart, so that no key does two jobs. Refuses files that
//! others may read, and never makes a key where one is missing: that is `init`'s.

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_core::secret::Secret;
use countersign_identity::people::PseudonymKey;
use countersign_identity::tokens::TokenKey;
use countersign_ledger::note::NoteSigner;
use countersign_ledger::sign::ed25519::GateKey;
use countersign_protocols::postgres::mask;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A key of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Signs the log's checkpoints.
    Log,
    /// Signs beside people, and names the gate in the genesis.
    Gate,
    /// Makes agents' tokens.
    Token,
    /// Makes masks that are tokens.
    Mask,
    /// Finds a repeated action again.
    Match,
    /// Seals what belongs to leaves but is not in them.
    Vault,
    /// Turns people's names into pseudonyms.
    Pseudonym,
}

/// Every key.
pub const ALL: [Name; 7] =
    [Name::Log, Name::Gate, Name::Token, Name::Mask, Name::Match, Name::Vault, Name::Pseudonym];

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not there.
    #[error("expected a key in `{}`: {source}: run `countersign init`, or restore it from its backup", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others may read it.
    #[error("expected `{}` to be readable by its owner alone, found mode {mode:o}: chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not 32 bytes in base64.
    #[error("expected 32 bytes in base64 in `{}`, found something else", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
    },
    /// The crypto library does not take it.
    #[error("the key in `{}` cannot be used: {why}", path.display())]
    Use {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It could not be made.
    #[error("cannot make the key `{}`: {source}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Name {
    /// The name of its file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Log => "log.key",
            Self::Gate => "gate.key",
            Self::Token => "token.key",
            Self::Mask => "mask.key",
            Self::Match => "match.key",
            Self::Vault => "vault.key",
            Self::Pseudonym => "pseudonym.key",
        }
    }
}

/// The folder of the keys.
#[derive(Debug, Clone)]
pub struct Keys(PathBuf);

impl Keys {
    /// The keys in this folder.
    pub fn within(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The signer of the log's checkpoints.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn log(&self, origin: &str) -> Result<NoteSigner, KeyError> {
        let seed = self.read(Name::Log)?;
        let unusable = |why: String| KeyError::Use { path: self.path(Name::Log), why };
        let name =
            origin.parse().map_err(|e: countersign_ledger::note::NoteError| unusable(e.to_string()))?;
        NoteSigner::from_seed(name, seed.expose()).map_err(|e| unusable(e.to_string()))
    }

    /// The gate's signing key.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn gate(&self) -> Result<GateKey, KeyError> {
        let seed = self.read(Name::Gate)?;
        GateKey::from_seed(seed.expose())
            .map_err(|e| KeyError::Use { path: self.path(Name::Gate), why: e.to_string() })
    }

    /// The key of agents' tokens.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn token(&self) -> Result<TokenKey, KeyError> {
        Ok(TokenKey::new(self.read(Name::Token)?.expose()))
    }

    /// The key of masks that are tokens.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn mask(&self) -> Result<mask::TokenKey, KeyError> {
        Ok(mask::TokenKey::new(self.read(Name::Mask)?.expose()))
    }

    /// The key of pseudonyms.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn pseudonym(&self) -> Result<PseudonymKey, KeyError> {
        Ok(PseudonymKey::new(self.read(Name::Pseudonym)?.expose()))
    }

    /// The bytes of a key.
    ///
    /// # Errors
    /// Not there, readable by others, or not a key.
    pub fn read(&self, name: Name) -> Result<Secret<[u8; 32]>, KeyError> {
        let path = self.path(name);
        let failed = |source| KeyError::Read { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path, mode });
        }
        let text = Secret::new(fs::read_to_string(&path).map_err(failed)?);
        let bytes = Secret::new(STANDARD.decode(text.expose().trim()).unwrap_or_default());
        let key = <[u8; 32]>::try_from(bytes.expose().as_slice());
        key.map(Secret::new).map_err(|_| KeyError::Shape { path })
    }

    /// Makes every key. Refuses where one is there already.
    ///
    /// # Errors
    /// A file is there, or cannot be written.
    pub fn make(&self) -> Result<(), KeyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Make { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed(&self.0))?;
        for name in ALL {
            let path = self.path(name);
            let mut bytes = Secret::new([0u8; 32]);
            let mut filled = *bytes.expose();
            aws_lc_rs::rand::fill(&mut filled)
                .map_err(|_| failed(&path)(io::Error::other("no randomness can be drawn")))?;
            bytes = Secret::new(filled);
            let text = Secret::new(format!("{}\n", STANDARD.encode(bytes.expose())));
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed(&path))?;
            file.write_all(text.expose().as_bytes()).map_err(failed(&path))?;
            file.sync_all().map_err(failed(&path))?;
        }
        Ok(())
    }

    /// The file of a key.
    pub fn path(&self, name: Name) -> PathBuf {
        self.0.join(name.file())
    }
}
