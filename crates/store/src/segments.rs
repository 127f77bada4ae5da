//! The append-only files that are the truth. They refuse to know what a leaf says.

use crate::block::{self, Block, BlockError};
use crate::disk::{self, Disk};
use crate::open::OpenError;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A segment takes no further block once it is this long.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// A segment grows by steps of this size, filled with zeroes, before frames are written into it.
pub const STEP_BYTES: u64 = 1024 * 1024;
/// Room kept for what requests that exist already still have to record when the disk is full.
pub const RESERVE_BYTES: u64 = 1024 * 1024;
/// A segment longer than this is not read.
const SEGMENT_BYTES_MAX: u64 = SEGMENT_BYTES + 2 * block::BODY_BYTES_MAX as u64 + RESERVE_BYTES + STEP_BYTES;

const HEADER: &[u8; 8] = b"CSSEG\0\0\x01";
const HEADER_BYTES: u64 = 32;

/// Where a leaf and its sealed disclosures stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    /// Of the leaf's first byte; the sealed bytes follow four bytes after its last.
    pub at: u64,
    pub leaf: u32,
    pub sealed: u32,
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct End {
    pub segment: u32,
    pub at: u64,
    pub seq: u64,
    pub index: u64,
}

/// The end of the segments, with room ahead of it.
pub(crate) struct Writer {
    folder: PathBuf,
    disk: Disk,
    file: File,
    segment: u32,
    segment_bytes: u64,
    end: u64,
    /// Invariant: the file holds this many bytes, zeroes from `end` on.
    extent: u64,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing was written.
    Full,
    /// What is on disk is not known.
    Fatal(io::Error),
}

/// Reads leaves by their place.
pub(crate) struct Reader {
    folder: PathBuf,
    files: Mutex<BTreeMap<u32, Arc<File>>>,
}

/// The path of a segment.
pub(crate) fn path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:08}.seg"))
}

/// The numbers of the segments in a folder; they must follow one another from 0.
pub(crate) fn numbers(folder: &Path) -> Result<Vec<u32>, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|n| n.parse().ok());
        found.extend::<Option<u32>>(number);
    }
    found.sort_unstable();
    match found.iter().zip(0..).find(|(found, expected)| **found != *expected) {
        Some((_, expected)) => Err(OpenError::SegmentMissing { path: path(folder, expected) }),
        None => Ok(found),
    }
}

/// Reads every block in order; gives where they end and how many bytes of a torn write follow there.
pub(crate) fn scan(
    folder: &Path,
    mut visit: impl FnMut(&Block<'_>, u32, u64) -> Result<(), OpenError>,
) -> Result<(End, u64), OpenError> {
    let mut end = End::default();
    let mut torn = 0;
    let numbers = numbers(folder)?;
    for number in &numbers {
        let path = path(folder, *number);
        let bytes = read_segment(&path)?;
        check_header(&bytes, &end).map_err(|why| OpenError::Corrupt {
            path: path.clone(),
            offset: 0,
            why,
        })?;
        end = End { segment: *number, at: HEADER_BYTES, ..end };
        loop {
            let rest = usize::try_from(end.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            let corrupt = |why: String| OpenError::Corrupt { path: path.clone(), offset: end.at, why };
            let next = block::parse(rest).and_then(|block| {
                let follows = block.seq == end.seq && block.first == end.index && block.batch <= block.seq;
                if follows { Ok(block) } else { Err(BlockError::Shape) }
            });
            match next {
                Ok(block) => {
                    visit(&block, *number, end.at)?;
                    end.at += block.bytes as u64;
                    end.seq += 1;
                    end.index += block.frames.len() as u64;
                }
                Err(why) => {
                    torn = used(rest);
                    // A block that was flushed after this one, here or in a later segment, proves that this one
                    // was whole once: then it was altered, and nothing may be built on the log.
                    if torn > 0 && (number + 1 < numbers.len() as u32 || block::later_batch(rest, end.seq)) {
                        return Err(corrupt(format!("expected block {}, found {why}", end.seq)));
                    }
                    break;
                }
            }
        }
    }
    Ok((end, torn))
}

fn used(rest: &[u8]) -> u64 {
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn read_segment(path: &Path) -> Result<Vec<u8>, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > SEGMENT_BYTES_MAX {
        let why = format!("expected at most {SEGMENT_BYTES_MAX} bytes, found {length}");
        return Err(OpenError::Corrupt { path: path.to_owned(), offset: 0, why });
    }
    fs::read(path).map_err(io)
}

fn header(end: &End) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    bytes.extend_from_slice(&end.seq.to_le_bytes());
    bytes.extend_from_slice(&end.index.to_le_bytes());
    let crc = crate::crc::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.resize(HEADER_BYTES as usize, 0);
    bytes
}

fn check_header(bytes: &[u8], end: &End) -> Result<(), String> {
    let found = bytes.get(..HEADER_BYTES as usize).ok_or("expected a segment header, found the end")?;
    if found.get(..8) != Some(HEADER) {
        return Err("expected a segment of version 1: made by a later release, or not a segment".to_owned());
    }
    if found == header(end) {
        return Ok(());
    }
    Err(format!("expected a segment that begins with block {} and entry {}", end.seq, end.index))
}

// === impl Writer ===

impl Writer {
    /// Begins where the scan ended; whatever stands there is cut off.
    pub(crate) fn open(folder: &Path, disk: Disk, end: End, segment_bytes: u64) -> io::Result<Self> {
        let path = path(folder, end.segment);
        if end.at == 0 {
            disk.replace(&path, &header(&end))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let at = end.at.max(HEADER_BYTES);
        file.set_len(at)?;
        disk.sync(&file)?;
        let folder = folder.to_owned();
        Ok(Self { folder, disk, file, segment: end.segment, segment_bytes, end: at, extent: at })
    }

    /// Where the next block will stand, once there is room for `length` bytes.
    ///
    /// `reserved` changes may use the room that is kept back.
    pub(crate) fn make_room(
        &mut self,
        length: u64,
        reserved: bool,
        end: &End,
    ) -> Result<(u32, u64), AppendError> {
        if self.end >= self.segment_bytes {
            self.rotate(end)?;
        }
        let wanted = self.end + length + RESERVE_BYTES;
        if wanted > self.extent {
            let to = wanted.next_multiple_of(STEP_BYTES);
            match self.disk.extend(&self.file, self.extent, to) {
                Ok(()) => self.extent = to,
                Err(error) if disk::is_full(&error) => {
                    // What was filled with zeroes on the way is given back.
                    self.file.set_len(self.extent).map_err(AppendError::Fatal)?;
                    if !(reserved && self.end + length <= self.extent) {
                        return Err(AppendError::Full);
                    }
                }
                Err(error) => return Err(AppendError::Fatal(error)),
            }
        }
        Ok((self.segment, self.end))
    }

    /// Writes and flushes blocks at the end. After an error nothing is known.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(&self.file, bytes, self.end)?;
        self.disk.sync(&self.file)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, end: &End) -> Result<(), AppendError> {
        self.file.set_len(self.end).and_then(|()| self.disk.sync(&self.file)).map_err(AppendError::Fatal)?;
        self.extent = self.end;
        let segment = self.segment + 1;
        let path = path(&self.folder, segment);
        match self.disk.replace(&path, &header(end)) {
            Ok(()) => {}
            Err(error) if disk::is_full(&error) => return Err(AppendError::Full),
            Err(error) => return Err(AppendError::Fatal(error)),
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(AppendError::Fatal)?;
        (self.file, self.segment, self.end, self.extent) = (file, segment, HEADER_BYTES, HEADER_BYTES);
        Ok(())
    }

    /// Cuts the room ahead off; the store stops in good order.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.extent = self.end;
        self.disk.sync(&self.file)
    }

    pub(crate) const fn position(&self) -> (u32, u64) {
        (self.segment, self.end)
    }
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Mutex::default() }
    }

    /// The leaf and the sealed bytes at a place.
    pub(crate) fn read(&self, place: Place) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let file = self.file(place.segment)?;
        let (leaf, sealed) = (place.leaf as usize, place.sealed as usize);
        if leaf + sealed > block::BODY_BYTES_MAX {
            return Err(io::Error::other("a place that no frame can have"));
        }
        let mut bytes = vec![0; leaf + 4 + sealed];
        file.read_exact_at(&mut bytes, place.at)?;
        let sealed = bytes.split_off(leaf + 4);
        bytes.truncate(leaf);
        Ok((bytes, sealed))
    }

    fn file(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(path(&self.folder, segment))?);
        files.insert(segment, file.clone());
        Ok(file)
    }
}
