//! What a client says in a comment of its text: why. Only what PostgreSQL's scanner calls a comment counts, never what
//! stands in a string. It is shown to people as the client's own words, and decides nothing here.

use super::segments;
use pg_query::protobuf::Token;

/// The word without which no comment is looked for.
const WORD: &str = "countersign";
/// As people write it: `/* countersign.reason: … */`.
const KEY: &str = "countersign.reason";
/// As sqlcommenter writes it: `/*countersign_reason='…'*/`, with the value URL-encoded.
const TAG: &str = "countersign_reason='";

/// The reason in the first comment that gives one.
pub fn reason(text: &str) -> Option<String> {
    if !text.contains(WORD) {
        return None;
    }
    segments::tokens(text)?.into_iter().find_map(|token| {
        let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
        let comment = text.get(start..end)?;
        let inner = match Token::try_from(token.token).ok()? {
            Token::CComment => comment.strip_prefix("/*")?.strip_suffix("*/")?,
            Token::SqlComment => comment.strip_prefix("--")?,
            _ => return None,
        };
        plain(inner)
            .or_else(|| tagged(inner))
            .map(|said| said.trim().to_owned())
            .filter(|said| !said.is_empty())
    })
}

fn plain(comment: &str) -> Option<String> {
    let rest = comment.trim().strip_prefix(KEY)?.trim_start();
    rest.strip_prefix([':', '=']).map(str::to_owned)
}

fn tagged(comment: &str) -> Option<String> {
    let at = comment.find(TAG)?;
    let before = comment.get(..at)?.trim_end();
    if !(before.is_empty() || before.ends_with(',')) {
        return None;
    }
    let value = comment.get(at + TAG.len()..)?;
    decoded(value.get(..value.find('\'')?)?)
}

// `%20` and its like; what is not UTF-8 then says nothing.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(reason(text).as_deref(), expect, "{text}");
    }

    #[test]
    fn a_reason_is_read_from_a_comment() {
        check("/* countersign.reason: INC-7, stale rows */ DELETE FROM t", Some("INC-7, stale rows"));
        check("DELETE FROM t -- countersign.reason = nightly\n WHERE a", Some("nightly"));
        check("DELETE FROM t /*a='1',countersign_reason='INC%2D7%20it%27s',z='2'*/", Some("INC-7 it's"));
        check(
            "/* one */ /* countersign.reason: two */ /* countersign.reason: three */ SELECT 1",
            Some("two"),
        );
        check("SELECT 1 /* countersign.reason: */", None);
        check("SELECT 1 /*countersign_reason='%zz'*/", None);
    }

    #[test]
    fn what_is_no_comment_gives_no_reason() {
        check("SELECT '/* countersign.reason: forged */'", None);
        check("SELECT $x$ /* countersign.reason: forged */ $x$", None);
        check("SELECT E'\\'/* countersign.reason: forged */'", None);
        check("SELECT \"/* countersign.reason: forged */\" FROM t", None);
        // A comment within a comment is a part of the outer one, which begins with other words.
        check("SELECT 1 /* a /* countersign.reason: forged */ b */", None);
        check("SELECT 1 -- no /* countersign.reason: forged */\n", None);
        check("SELECT 1 /* notcountersign_reason='forged' */", None);
    }

    proptest! {
        #[test]
        fn random_texts_never_panic(text in "[-/*'$ x%a]{0,12}(countersign.reason:|countersign_reason=')[-/*'$ %0a]{0,12}") {
            let _ = reason(&text);
            let _ = reason(&format!("/*{text}*/"));
        }
    }
}
