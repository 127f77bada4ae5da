//! A lexer for the plain part of SQL: about a byte a nanosecond, and it gives up at the first thing that is not plain
//! (comments, escapes, dollar quotes, letters beyond ASCII outside strings, operators that are not common).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A word, keyword or name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// `$1`.
    Param,
    /// A whole number that fits 32 bits.
    Integer,
    /// Any other number.
    Decimal,
    /// `'…'`.
    String,
    /// An operator or a punctuation mark.
    Sign,
}

/// One token and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// The tokens of a text, as far as they are plain.
#[derive(Debug, Clone)]
pub struct Lexed<'a> {
    bytes: &'a [u8],
    at: usize,
    gave_up: bool,
}

/// The operators that are cut at once. Longer runs of such characters are not plain.
const OPERATORS: &[&[u8]] = &[
    b"=", b"<", b">", b"<=", b">=", b"<>", b"!=", b"+", b"-", b"*", b"%", b"||", b"~", b"!~", b"->", b"->>",
    b"@>", b"<@",
];

/// All tokens of a text, or none where some part of it is not plain.
pub fn lex(sql: &str) -> Option<Vec<Token>> {
    let mut lexed = Lexed::new(sql.as_bytes());
    let tokens = lexed.by_ref().collect();
    lexed.is_whole().then_some(tokens)
}

const fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

const fn is_operator(b: u8) -> bool {
    matches!(
        b,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Lexed<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, gave_up: false }
    }

    /// Whether everything was plain up to the end. Meaningful once the iterator has ended.
    pub const fn is_whole(&self) -> bool {
        !self.gave_up && self.at >= self.bytes.len()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn run(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().position(|b| !belongs(*b)).unwrap_or(rest.len())
    }

    fn token(&self, start: usize, first: u8) -> Option<(TokenKind, usize)> {
        match first {
            b if is_word_start(b) => self.word(start),
            b if b.is_ascii_digit() => self.number(start),
            b'\'' => self.string(start),
            b'"' => self.quoted(start),
            b'$' => self.param(start),
            b',' | b'(' | b')' | b'[' | b']' | b';' => Some((TokenKind::Sign, start + 1)),
            // `.5` is a number, `..` a token of its own.
            b'.' if !self.byte(start + 1).is_some_and(|b| b.is_ascii_digit() || b == b'.') => {
                Some((TokenKind::Sign, start + 1))
            }
            b':' if self.byte(start + 1) == Some(b':') && self.byte(start + 2) != Some(b':') => {
                (self.byte(start + 2) != Some(b'=')).then_some((TokenKind::Sign, start + 2))
            }
            b if is_operator(b) => {
                let end = self.run(start, is_operator);
                let text = self.bytes.get(start..end)?;
                OPERATORS.contains(&text).then_some((TokenKind::Sign, end))
            }
            _ => None,
        }
    }

    fn word(&self, start: usize) -> Option<(TokenKind, usize)> {
        let end = self.run(start, |b| b.is_ascii_alphanumeric() || b == b'_');
        match self.byte(end) {
            // E'…', U&'…' and the like; `$` and letters beyond ASCII may go on with the word.
            Some(b'\'' | b'"' | b'&' | b'$' | 0x80..) => None,
            _ => Some((TokenKind::Word, end)),
        }
    }

    fn number(&self, start: usize) -> Option<(TokenKind, usize)> {
        let whole = self.run(start, |b| b.is_ascii_digit());
        let end = match (self.byte(whole), self.byte(whole + 1)) {
            (Some(b'.'), Some(b)) if b.is_ascii_digit() => self.run(whole + 1, |b| b.is_ascii_digit()),
            (Some(b'.'), _) => return None,
            _ => whole,
        };
        if self.byte(end).is_some_and(|b| is_word(b) || b == b'.') {
            return None;
        }
        let digits = self.bytes.get(start..end).and_then(|digits| std::str::from_utf8(digits).ok())?;
        let small = end == whole && digits.parse::<i32>().is_ok();
        Some((if small { TokenKind::Integer } else { TokenKind::Decimal }, end))
    }

    fn string(&self, start: usize) -> Option<(TokenKind, usize)> {
        let mut at = start + 1;
        loop {
            match self.byte(at)? {
                b'\'' if self.byte(at + 1) == Some(b'\'') => at += 2,
                b'\'' => break,
                b'\\' | 0 => return None,
                _ => at += 1,
            }
        }
        // `'a'` line break `'b'` is one string.
        let next = self.run(at + 1, |b| is_space(b) || b == 0x0b || b == 0x0c);
        (self.byte(next) != Some(b'\'')).then_some((TokenKind::String, at + 1))
    }

    fn quoted(&self, start: usize) -> Option<(TokenKind, usize)> {
        let end = self.run(start + 1, |b| b.is_ascii_graphic() && b != b'"' || b == b' ');
        let closed = self.byte(end) == Some(b'"') && end > start + 1;
        (closed && self.byte(end + 1) != Some(b'"')).then_some((TokenKind::Quoted, end + 1))
    }

    fn param(&self, start: usize) -> Option<(TokenKind, usize)> {
        let end = self.run(start + 1, |b| b.is_ascii_digit());
        let sure = end > start + 1 && end < start + 8 && !self.byte(end).is_some_and(is_word);
        sure.then_some((TokenKind::Param, end))
    }
}

impl Iterator for Lexed<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if self.gave_up {
            return None;
        }
        self.at = self.run(self.at, is_space);
        let start = self.at;
        let first = self.byte(start)?;
        let Some((kind, end)) = self.token(start, first) else {
            self.gave_up = true;
            return None;
        };
        self.at = end;
        Some(Token { kind, start, end })
    }
}
