//! A statement as pieces that a page or a terminal can show without being fooled: invisible characters by name,
//! padding by its length. Knows no markup.

use countersign_core::view::{Segment, is_seen};

/// A piece of a statement, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// A literal, with the word for its type.
    Literal {
        /// `text` or `number`.
        kind: &'static str,
        /// The literal.
        text: String,
    },
    /// A literal that nobody here may see.
    Redacted(String),
    /// A character that does not show itself.
    Invisible {
        /// Its code point: `U+202E`.
        code: String,
        /// Its name, where it is a common one.
        name: &'static str,
    },
    /// A long run of blanks, which could push something out of sight.
    Padding(String),
}

/// The longest run of spaces or tabs inside a line that is shown as it stands.
pub const SPACES_MAX: usize = 40;
/// The longest run of line breaks that is shown as it stands.
pub const BREAKS_MAX: usize = 3;

/// The pieces of a statement.
pub fn pieces(segments: &[Segment]) -> Vec<Piece> {
    let mut out = Vec::new();
    for segment in segments {
        match segment {
            Segment::Text(text) => spread(text, &mut out, Piece::Text),
            Segment::String(text) => {
                spread(text, &mut out, |text| Piece::Literal { kind: "text", text });
            }
            Segment::Number(text) => {
                spread(text, &mut out, |text| Piece::Literal { kind: "number", text });
            }
            Segment::Redacted(text) => spread(text, &mut out, Piece::Redacted),
            Segment::Invisible(code) => out.push(invisible(code)),
        }
    }
    out
}

/// How many pieces are characters that do not show themselves.
pub fn unseen(pieces: &[Piece]) -> usize {
    pieces.iter().filter(|piece| matches!(piece, Piece::Invisible { .. })).count()
}

/// How many pieces stand for long runs of blanks.
pub fn padded(pieces: &[Piece]) -> usize {
    pieces.iter().filter(|piece| matches!(piece, Piece::Padding(_))).count()
}

// The view has named the invisible characters already. It is done again here, since a page that trusts its data to
// be harmless is one mistake away from lying.
fn spread(text: &str, out: &mut Vec<Piece>, wrap: impl Fn(String) -> Piece) {
    let mut run = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut count = 1;
        if c == '\n' || c == ' ' || c == '\t' {
            while rest.peek() == Some(&c) {
                rest.next();
                count += 1;
            }
        }
        let padding = match c {
            '\n' if count > BREAKS_MAX => Some(format!("{count} line breaks")),
            ' ' if count > SPACES_MAX => Some(format!("{count} spaces")),
            '\t' if count > SPACES_MAX / 4 => Some(format!("{count} tabs")),
            _ => None,
        };
        let special = match padding {
            Some(words) => Some(Piece::Padding(words)),
            None if !is_seen(c) => Some(invisible(&format!("U+{:04X}", u32::from(c)))),
            None => None,
        };
        match special {
            None => run.extend(std::iter::repeat_n(c, count)),
            Some(piece) => {
                if !run.is_empty() {
                    out.push(wrap(std::mem::take(&mut run)));
                }
                out.push(piece);
            }
        }
    }
    if !run.is_empty() {
        out.push(wrap(run));
    }
}

fn invisible(code: &str) -> Piece {
    let name = match code {
        "U+0000" => "null",
        "U+0008" => "backspace",
        "U+000D" => "carriage return",
        "U+001B" => "escape",
        "U+00A0" => "no-break space",
        "U+00AD" => "soft hyphen",
        "U+200B" => "zero-width space",
        "U+200C" => "zero-width non-joiner",
        "U+200D" => "zero-width joiner",
        "U+200E" => "left-to-right mark",
        "U+200F" => "right-to-left mark",
        "U+202A" => "left-to-right embedding",
        "U+202B" => "right-to-left embedding",
        "U+202C" => "end of direction",
        "U+202D" => "left-to-right override",
        "U+202E" => "right-to-left override",
        "U+2060" => "word joiner",
        "U+2066" => "left-to-right isolate",
        "U+2067" => "right-to-left isolate",
        "U+2069" => "end of isolate",
        "U+FEFF" => "byte-order mark",
        _ => "invisible",
    };
    Piece::Invisible { code: code.to_owned(), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invisible_character_is_named_even_where_the_view_forgot() {
        let pieces = pieces(&[Segment::Text("a\u{202e}b".into())]);
        assert_eq!(unseen(&pieces), 1);
        assert!(pieces.contains(&Piece::Invisible { code: "U+202E".into(), name: "right-to-left override" }));
    }

    #[test]
    fn padding_that_hides_the_tail_is_shown_by_its_length() {
        let text = format!("SELECT 1;{}DROP TABLE t", "\n".repeat(300));
        assert_eq!(
            pieces(&[Segment::Text(text)]),
            [
                Piece::Text("SELECT 1;".into()),
                Piece::Padding("300 line breaks".into()),
                Piece::Text("DROP TABLE t".into())
            ]
        );
        let wide = format!("SELECT 1;{}DROP", " ".repeat(500));
        assert_eq!(padded(&pieces(&[Segment::String(wide)])), 1);
    }

    #[test]
    fn ordinary_layout_stays_as_it_is() {
        let text = "SELECT a,\n       b\n\nFROM t";
        assert_eq!(pieces(&[Segment::Text(text.into())]), [Piece::Text(text.into())]);
    }
}
