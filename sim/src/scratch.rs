//! Scratch folders, free ports, random words, and where things lie in the work tree. Knows no program.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The lowest port that is tried, how many there are to choose from, and how many are tried.
const PORTS_FROM: u16 = 15_000;
const PORTS: u16 = 17_000;
const PORT_TRIES_MAX: u32 = 100;

/// A port of 127.0.0.1 that nothing listened on a moment ago.
///
/// # Errors
/// When the system gives none.
pub fn free_port() -> Result<u16> {
    // Below the ports that the system gives to outgoing connections: between here and its use one of those could take it.
    for _ in 0..PORT_TRIES_MAX {
        let drawn = u16::from_str_radix(&random_word(2)?, 16)?;
        let port = PORTS_FROM + drawn % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free port on 127.0.0.1 in {PORT_TRIES_MAX} tries")
}

/// A random word of `bytes` bytes in hexadecimal, from the operating system.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn random_word(bytes: usize) -> Result<String> {
    let mut drawn = vec![0_u8; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut drawn).context("no randomness from /dev/urandom")?;
    Ok(drawn.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a new folder with a short path (UNIX sockets allow 107 bytes) that only this user can enter.
///
/// # Errors
/// When the folder cannot be made.
pub fn new_folder(kind: &str) -> Result<PathBuf> {
    let path = base().join(format!("cs-{kind}-{}", random_word(5)?));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .with_context(|| format!("making `{}`", path.display()))?;
    Ok(path)
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// When the file cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// A folder that is removed when this is dropped. For what needs no program to be ended first.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a new folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(kind: &str) -> Result<Self> {
        Ok(Self { path: new_folder(kind)? })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing waits for the answer; a folder that stays behind in the scratch base harms nothing.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder that scratch folders are made in: short, and enterable by every user.
#[must_use]
pub fn base() -> PathBuf {
    PathBuf::from("/tmp")
}

/// The root of the work tree this was built from.
#[must_use]
pub fn work_tree() -> PathBuf {
    let sim = Path::new(env!("CARGO_MANIFEST_DIR"));
    sim.parent().unwrap_or(sim).to_path_buf()
}

/// A variable of the environment, when it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "development only: the library crates never see this")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Finds a program in the folders given, then in PATH.
#[must_use]
pub fn find_program(name: &str, first: &[PathBuf]) -> Option<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let folders = first.iter().cloned().chain(path.split(':').map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}
