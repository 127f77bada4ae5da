//! Paths of tiles and bundles. It refuses to know any spelling but the one of the specification.

use std::fmt;
use std::str::FromStr;

use super::{TILE_HEIGHT, TILE_WIDTH};
use crate::bytes::decimal;

/// The highest level of tiles that a tree of 64-bit size can have.
pub const LEVEL_MAX: u8 = 7;
/// Path elements of an index; 7 × 3 digits hold every 64-bit number.
const ELEMENTS_MAX: usize = 7;

/// How many hashes or entries a tile holds: 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Width(u16);

/// What a log's tile file holds, and where it stands below the log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<level>/<index>[.p/<width>]`: hashes of the tree.
    Hashes {
        /// Level in steps of eight tree levels; 0 holds leaf hashes.
        level: u8,
        /// Index in its level.
        index: u64,
        /// How many hashes.
        width: Width,
    },
    /// `tile/entries/<index>[.p/<width>]`: the entries themselves.
    Entries {
        /// Index of the bundle.
        index: u64,
        /// How many entries.
        width: Width,
    },
}

/// Says why a text is not the path of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `tile/<level>/<index>[.p/<width>]` or `tile/entries/<index>[.p/<width>]`: {0}")]
pub struct PathError(&'static str);

impl Width {
    /// A full tile.
    pub const FULL: Self = Self(TILE_WIDTH);

    /// The width of `count`, or nothing when no tile holds so many or so few.
    pub fn new(count: u64) -> Option<Self> {
        u16::try_from(count).ok().filter(|count| (1..=TILE_WIDTH).contains(count)).map(Self)
    }

    /// The number of hashes or entries.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Whether nothing can be added.
    pub fn is_full(self) -> bool {
        self.0 == TILE_WIDTH
    }
}

impl TilePath {
    /// How many hashes or entries it holds.
    pub fn width(self) -> Width {
        match self {
            Self::Hashes { width, .. } | Self::Entries { width, .. } => width,
        }
    }

    /// Whether a tree of `size` leaves has exactly this tile, or has had it on its way (a partial one).
    pub fn exists_in(self, size: u64) -> bool {
        let (level, index) = match self {
            Self::Hashes { level, index, .. } => (level, index),
            Self::Entries { index, .. } => (0, index),
        };
        let nodes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
        let end = index.checked_mul(u64::from(TILE_WIDTH)).map(|first| first + u64::from(self.width().get()));
        end.is_some_and(|end| end <= nodes)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (*index, *width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (*index, *width)
            }
        };
        write_index(f, index)?;
        if width.is_full() { Ok(()) } else { write!(f, ".p/{}", width.get()) }
    }
}

fn write_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let digits = index.to_string();
    let elements = digits.len().div_ceil(3);
    let padded = format!("{index:0width$}", width = elements * 3);
    for (at, element) in padded.as_bytes().chunks(3).enumerate() {
        let last = at + 1 == elements;
        f.write_str(if last { "" } else { "x" })?;
        f.write_str(std::str::from_utf8(element).map_err(|_| fmt::Error)?)?;
        f.write_str(if last { "" } else { "/" })?;
    }
    Ok(())
}

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("tile/").ok_or(PathError("it does not begin with `tile/`"))?;
        let (kind, rest) = rest.split_once('/').ok_or(PathError("the index is missing"))?;
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, Width::FULL),
            Some((index, width)) => {
                let width = decimal(width).and_then(Width::new).filter(|width| !width.is_full());
                (index, width.ok_or(PathError("a partial width is 1 to 255"))?)
            }
        };
        let index = parse_index(index)?;
        if kind == "entries" {
            return Ok(Self::Entries { index, width });
        }
        let level = decimal(kind).and_then(|level| u8::try_from(level).ok());
        let level = level.filter(|level| *level <= LEVEL_MAX).ok_or(PathError("a level is 0 to 7"))?;
        Ok(Self::Hashes { level, index, width })
    }
}

fn parse_index(text: &str) -> Result<u64, PathError> {
    let refused = PathError("an index is three digits an element, all but the last with `x` before");
    let elements = text.split('/').count();
    if elements > ELEMENTS_MAX {
        return Err(refused);
    }
    let mut index = 0_u64;
    for (at, element) in text.split('/').enumerate() {
        let last = at + 1 == elements;
        let digits = if last { Some(element) } else { element.strip_prefix('x') };
        let digits = digits.filter(|digits| digits.len() == 3 && digits.bytes().all(|d| d.is_ascii_digit()));
        let digits = digits.ok_or(refused)?;
        // A leading group of zeroes would be a second spelling.
        if at == 0 && !last && digits == "000" {
            return Err(refused);
        }
        let value: u64 = digits.parse().map_err(|_| refused)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(value)).ok_or(refused)?;
    }
    Ok(index)
}
