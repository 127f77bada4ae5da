//! A text in pieces for people: literals apart, secrets left out, invisible characters named. Knows nothing of what
//! the text does but where its secrets may stand.

use countersign_core::view::{Segment, visible};
use pg_query::protobuf::{ScanToken, Token};
use std::ops::Range;

/// Splits a text. Literal strings within `secret` are left out.
pub fn segments(text: &str, secret: &[Range<usize>]) -> Vec<Segment> {
    let Some(tokens) = tokens(text) else {
        // What cannot be split may hold a secret anywhere.
        return if secret.is_empty() { visible(text, Segment::Text) } else { vec![redacted(text)] };
    };
    let mut out = Vec::new();
    let mut at = 0;
    for token in tokens {
        let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end)) else {
            continue;
        };
        let Some(literal) = text.get(start..end).filter(|_| start >= at) else { continue };
        let wrap: fn(String) -> Segment = match Token::try_from(token.token) {
            Ok(Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst) => Segment::String,
            Ok(Token::Iconst | Token::Fconst) => Segment::Number,
            _ => continue,
        };
        push(&mut out, visible(text.get(at..start).unwrap_or_default(), Segment::Text));
        let hidden = secret.iter().any(|range| range.start <= start && end <= range.end);
        match hidden && matches!(wrap(String::new()), Segment::String(_)) {
            true => out.push(redacted(literal)),
            false => out.extend(visible(literal, wrap)),
        }
        at = end;
    }
    push(&mut out, visible(text.get(at..).unwrap_or_default(), Segment::Text));
    out
}

/// The tokens of a text as PostgreSQL's scanner cuts them.
///
/// By way of the encoded result: `pg_query::scan_tokens` makes a slice of a null pointer where a text has no token,
/// which is undefined behaviour (seen in pg_query 18.1.0).
pub(crate) fn tokens(text: &str) -> Option<Vec<ScanToken>> {
    pg_query::scan(text).ok().map(|result| result.tokens)
}

/// Whether a word of a text, outside of literals and comments, is one of these, which are in lower case. What cannot be
/// split may hold any.
pub fn has_word(text: &str, words: &[&str]) -> bool {
    let Some(tokens) = tokens(text) else { return true };
    tokens.into_iter().any(|token| {
        let range = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
        let word = range.and_then(|(start, end)| text.get(start..end)).unwrap_or_default();
        words.iter().any(|one| word.eq_ignore_ascii_case(one))
    })
}

/// What the string literals of a text stand for, as far as that is said without escapes: those with backslashes or code
/// points in them are given as they are written.
pub fn string_literals(text: &str) -> Vec<String> {
    let literal = |token: ScanToken| {
        let kind = Token::try_from(token.token).ok()?;
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        let literal = text.get(range).filter(|_| matches!(kind, Token::Sconst | Token::Usconst))?;
        if literal.starts_with('$') {
            let tag = literal.get(..literal.get(1..)?.find('$')? + 2)?;
            return literal.strip_prefix(tag)?.strip_suffix(tag).map(str::to_owned);
        }
        let inner = literal.get(literal.find('\'')? + 1..)?.strip_suffix('\'')?;
        Some(inner.replace("''", "'"))
    };
    tokens(text).unwrap_or_default().into_iter().filter_map(literal).collect()
}

fn push(out: &mut Vec<Segment>, pieces: Vec<Segment>) {
    for piece in pieces {
        match (out.last_mut(), piece) {
            (Some(Segment::Text(last)), Segment::Text(text)) => last.push_str(&text),
            (_, piece) => out.push(piece),
        }
    }
}

fn redacted(literal: &str) -> Segment {
    Segment::Redacted(format!("{} characters", literal.chars().count()))
}
