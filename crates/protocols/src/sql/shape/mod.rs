//! The shape of a text: its tokens without the values of its literals. Two texts of one shape get one analysis where
//! the real parser has said that their literals do not matter. Our lexer accepts only what it is sure to cut as
//! PostgreSQL's own does; anything else has no shape.

mod cache;
mod lexer;

pub use cache::{AnalysisCache, CACHE_ENTRIES_MAX, CACHE_TEXT_BYTES_MAX, Hit, StateId};
pub use lexer::{Lexed, TokenKind, lex};

/// Tokens and kinds of literals, as bytes that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(pub(crate) Vec<u8>);

impl Shape {
    /// The shape of a text, if it has one.
    pub fn of(sql: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(sql.len());
        write_shape(sql, &mut bytes).then_some(Self(bytes))
    }
}

/// Writes the shape of a text behind what stands in `out`; gives whether it has one.
pub(crate) fn write_shape(sql: &str, out: &mut Vec<u8>) -> bool {
    let bytes = sql.as_bytes();
    let mut lexed = Lexed::new(bytes);
    for token in lexed.by_ref() {
        // No token holds a byte below 0x20, so these cannot be mistaken for one.
        match token.kind {
            TokenKind::Integer => out.push(1),
            TokenKind::Decimal => out.push(2),
            TokenKind::String => out.push(3),
            TokenKind::Word | TokenKind::Quoted | TokenKind::Param | TokenKind::Sign => {
                out.extend_from_slice(bytes.get(token.start..token.end).unwrap_or_default());
            }
        }
        out.push(4);
    }
    lexed.is_whole()
}

/// Where the literals of a text stand, if our lexer is sure of all of it.
pub(crate) fn literal_positions(sql: &str) -> Option<Vec<usize>> {
    let mut lexed = Lexed::new(sql.as_bytes());
    let literal = |kind| matches!(kind, TokenKind::Integer | TokenKind::Decimal | TokenKind::String);
    let positions = lexed.by_ref().filter(|token| literal(token.kind)).map(|token| token.start).collect();
    lexed.is_whole().then_some(positions)
}
