//! A part of a text, over characters and never over bytes. Knows no type.

use super::value::STARS;

/// Shortest value of which a partial mask shows anything, in characters.
pub const PARTIAL_CHARS_MIN: usize = 8;
/// Characters that a partial mask shows at the end where nobody says how many.
const TAIL_CHARS: u8 = 4;
/// Stars for the hidden part of the name in an address.
pub(super) const ADDRESS_STARS: &str = "***";

/// Which part of a value a partial mask shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialStyle {
    /// As [`Self::Email`] where there is an `@`, else the last four characters.
    Auto,
    /// The first character and the domain.
    Email,
    /// So many characters at the beginning.
    First(u8),
    /// So many characters at the end.
    Last(u8),
}

/// The part of a value, with stars for the rest. Short values are hidden entirely: at least half of a value is.
pub(super) fn partial(style: PartialStyle, value: &[u8]) -> String {
    // What is not UTF-8 has no last four characters.
    let Ok(value) = std::str::from_utf8(value) else { return STARS.to_owned() };
    let chars = value.chars().count();
    let shows = |shown: u8| chars >= PARTIAL_CHARS_MIN.max(2 * usize::from(shown));
    match style {
        PartialStyle::Email if shows(0) => email(value),
        PartialStyle::Auto if shows(0) && value.contains('@') => email(value),
        PartialStyle::Auto if shows(TAIL_CHARS) => tail(value, chars, TAIL_CHARS),
        PartialStyle::Last(shown) if shows(shown) => tail(value, chars, shown),
        PartialStyle::First(shown) if shows(shown) => {
            value.chars().take(usize::from(shown)).chain(STARS.chars()).collect()
        }
        PartialStyle::Email | PartialStyle::Auto | PartialStyle::Last(_) | PartialStyle::First(_) => {
            STARS.to_owned()
        }
    }
}

/// `jane@example.org` as `j***@example.org`. Where there is not exactly one `@`, or a domain that is not
/// one, nothing is shown: the column may hold something else than addresses.
fn email(value: &str) -> String {
    let parts = value.split_once('@').filter(|(_, domain)| is_domain(domain));
    let Some((local, domain)) = parts else { return STARS.to_owned() };
    let mut chars = local.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(_)) => format!("{first}{ADDRESS_STARS}@{domain}"),
        // One character is all there is of the name.
        _ => format!("{ADDRESS_STARS}@{domain}"),
    }
}

pub(super) fn is_domain(text: &str) -> bool {
    text.contains('.') && text.chars().all(|char| char.is_alphanumeric() || matches!(char, '.' | '-'))
}

fn tail(value: &str, chars: usize, shown: u8) -> String {
    let hidden = chars.saturating_sub(usize::from(shown));
    STARS.chars().chain(value.chars().skip(hidden)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial_of(style: PartialStyle, value: &str) -> String {
        partial(style, value.as_bytes())
    }

    #[test]
    fn a_partial_mask_shows_its_part_only() {
        let cases = [
            (PartialStyle::Auto, "jane@example.org", "j***@example.org"),
            (PartialStyle::Email, "j@example.org", "***@example.org"),
            (PartialStyle::Email, "4111111111111111", "****"),
            (PartialStyle::Email, "a@b.c d, x@example.org", "****"),
            (PartialStyle::Last(4), "jane@example.org", "****.org"),
            (PartialStyle::Auto, "4111111111111234", "****1234"),
            (PartialStyle::Auto, "1234567", "****"),
            (PartialStyle::Auto, "a@b.org", "****"),
            (PartialStyle::Auto, "", "****"),
            (PartialStyle::Last(4), "Grüße an Änne", "****Änne"),
            (PartialStyle::First(2), "Ängström", "Än****"),
            (PartialStyle::First(1), "short", "****"),
            (PartialStyle::Last(8), "123456789012345", "****"),
            (PartialStyle::Last(8), "1234567890123456", "****90123456"),
            (PartialStyle::First(8), "1234567890123456", "12345678****"),
        ];
        for (style, value, expected) in cases {
            assert_eq!(partial_of(style, value), expected, "{value}");
        }
        assert_eq!(partial(PartialStyle::Last(4), b"\xff\xfe12345678"), "****");
    }
}
