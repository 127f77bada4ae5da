//! How a labelled value is shown: the words in which masks are chosen, and which of two is stricter. Knows no bytes.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The most characters that a partial mask may show.
pub const PART_CHARS_MAX: u8 = 8;
/// The widest bucket of numbers.
pub const WIDTH_MAX: u32 = 1_000_000_000;

/// How a labelled value is shown. The order is the order of strictness: of two masks the greater one wins.
///
/// Where a mask cannot speak of a type or a value, the value becomes NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mask {
    /// A part of a text stays.
    Partial(Part),
    /// Only the range in which a number or a time lies stays: its lower end.
    Bucket(Bucket),
    /// A keyed token, equal for equal values of one column.
    Token,
    /// One text for all values.
    Fixed,
    /// Nothing stays.
    Null,
}

/// Which characters of a text stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// As `Email` where the label says so, else the last four.
    Auto,
    /// The first character and the domain of an address.
    Email,
    /// So many at the beginning.
    First(u8),
    /// So many at the end.
    Last(u8),
}

/// How wide a range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// An hour, in UTC.
    Hour,
    /// A day, in UTC.
    Day,
    /// A month, in UTC.
    Month,
    /// A year, in UTC.
    Year,
    /// So many whole numbers.
    Width(u32),
}

/// Words that are no mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `null`, `fixed`, `token`, `bucket N`, `bucket hour`, `day`, `month` or `year`, `partial`, `partial email`, `partial first N` or `partial last N` (N from 1 to 8), found `{0}`"
)]
pub struct MaskError(String);

impl Mask {
    /// A part of a text, by its label.
    pub const PARTIAL: Self = Self::Partial(Part::Auto);

    /// Reads the words of the configuration and of `@mask`.
    ///
    /// # Errors
    /// They name no mask.
    pub fn parse(text: &str) -> Result<Self, MaskError> {
        let wrong = || MaskError(text.chars().take(60).collect());
        let chars = |number: &str| {
            // `+4` and `04` are other spellings of one mask, and terms are compared as they are written.
            let plain = !number.starts_with(['+', '0']);
            let number = number.parse::<u8>().ok().filter(|n| plain && *n <= PART_CHARS_MAX);
            number.ok_or_else(wrong)
        };
        let width = |number: &str| {
            let plain = !number.starts_with(['+', '0']);
            let number = number.parse::<u32>().ok().filter(|n| plain && (2..=WIDTH_MAX).contains(n));
            number.ok_or_else(wrong)
        };
        let words: Vec<&str> = text.split(' ').collect();
        Ok(match *words.as_slice() {
            ["null"] => Self::Null,
            ["fixed"] => Self::Fixed,
            ["token"] => Self::Token,
            ["partial"] => Self::PARTIAL,
            ["partial", "email"] => Self::Partial(Part::Email),
            ["partial", "first", number] => Self::Partial(Part::First(chars(number)?)),
            ["partial", "last", number] => Self::Partial(Part::Last(chars(number)?)),
            ["bucket", "hour"] => Self::Bucket(Bucket::Hour),
            ["bucket", "day"] => Self::Bucket(Bucket::Day),
            ["bucket", "month"] => Self::Bucket(Bucket::Month),
            ["bucket", "year"] => Self::Bucket(Bucket::Year),
            ["bucket", number] => Self::Bucket(Bucket::Width(width(number)?)),
            _ => return Err(wrong()),
        })
    }

    /// Another number for each mask, greater for stricter ones: first by what kind of thing stays, then by how much.
    const fn strictness(self) -> (u8, u32) {
        match self {
            Self::Partial(Part::Auto) => (0, 0),
            Self::Partial(Part::Email) => (0, 1),
            Self::Partial(Part::First(shown)) => (0, 2 * (u8::MAX - shown) as u32),
            Self::Partial(Part::Last(shown)) => (0, 2 * (u8::MAX - shown) as u32 + 1),
            Self::Bucket(Bucket::Hour) => (1, 0),
            Self::Bucket(Bucket::Day) => (2, 0),
            Self::Bucket(Bucket::Month) => (3, 0),
            Self::Bucket(Bucket::Year) => (4, 0),
            Self::Bucket(Bucket::Width(width)) => (5, width),
            Self::Token => (6, 0),
            Self::Fixed => (7, 0),
            Self::Null => (8, 0),
        }
    }
}

impl Ord for Mask {
    fn cmp(&self, other: &Self) -> Ordering {
        self.strictness().cmp(&other.strictness())
    }
}

impl PartialOrd for Mask {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The words, as the configuration and the pages write them.
impl std::fmt::Display for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Partial(Part::Auto) => f.write_str("partial"),
            Self::Partial(Part::Email) => f.write_str("partial email"),
            Self::Partial(Part::First(chars)) => write!(f, "partial first {chars}"),
            Self::Partial(Part::Last(chars)) => write!(f, "partial last {chars}"),
            Self::Bucket(Bucket::Hour) => f.write_str("bucket hour"),
            Self::Bucket(Bucket::Day) => f.write_str("bucket day"),
            Self::Bucket(Bucket::Month) => f.write_str("bucket month"),
            Self::Bucket(Bucket::Year) => f.write_str("bucket year"),
            Self::Bucket(Bucket::Width(width)) => write!(f, "bucket {width}"),
            Self::Token => f.write_str("token"),
            Self::Fixed => f.write_str("fixed"),
            Self::Null => f.write_str("null"),
        }
    }
}

impl TryFrom<String> for Mask {
    type Error = MaskError;
    fn try_from(text: String) -> Result<Self, MaskError> {
        Self::parse(&text)
    }
}

impl From<Mask> for String {
    fn from(mask: Mask) -> String {
        mask.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 14] = [
        "partial",
        "partial email",
        "partial last 8",
        "partial first 4",
        "partial last 4",
        "partial last 1",
        "bucket hour",
        "bucket day",
        "bucket month",
        "bucket year",
        "bucket 100",
        "token",
        "fixed",
        "null",
    ];

    #[test]
    fn the_words_of_a_mask_are_read_as_they_are_written_and_stand_from_most_open_to_strictest() {
        let masks: Vec<Mask> = WORDS.iter().map(|words| Mask::parse(words).expect(words)).collect();
        for (mask, words) in masks.iter().zip(WORDS) {
            assert_eq!(mask.to_string(), words);
            assert_eq!(serde_json::to_value(mask).expect("words"), words);
        }
        assert!(masks.is_sorted() && masks.windows(2).all(|pair| pair[0] != pair[1]), "{masks:?}");
        assert!(Mask::parse("bucket 1000").expect("a mask") > Mask::parse("bucket 100").expect("a mask"));
    }

    #[test]
    fn of_two_masks_the_stricter_wins() {
        assert_eq!(Mask::PARTIAL.max(Mask::Null), Mask::Null);
        assert_eq!(Mask::Token.max(Mask::PARTIAL), Mask::Token);
        assert_eq!(Mask::Fixed.max(Mask::Token), Mask::Fixed);
    }

    #[test]
    fn words_that_name_no_mask_are_refused() {
        for words in [
            "",
            "none",
            "NULL",
            "partial 4",
            "partial last",
            "partial last 0",
            "partial last 9",
            "partial last 04",
            "partial last +4",
            "partial  email",
            "bucket",
            "bucket 1",
            "bucket 0",
            "bucket -5",
            "bucket 1000000001",
            "bucket decade",
            "token pii",
            " null",
        ] {
            assert!(Mask::parse(words).is_err(), "{words}");
        }
    }
}
