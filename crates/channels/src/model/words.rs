//! Numbers, times and kinds as people read them. Knows nothing of what they belong to.

use countersign_core::kind::Kind;
use countersign_core::time::{Seconds, Timestamp};

/// A number with thin groups of three: `10,482`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and its noun: `1 row`, `10,482 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", number(n))
}

/// What is left of a span, as a clock shows it: `27:14`, `1:02:09`, `0:00` once it is over.
pub fn clock(seconds: i64) -> String {
    let s = seconds.max(0);
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// A span in its largest whole unit: `90 s`, `5 min`, `2 h`, `1 d`.
pub fn span(Seconds(seconds): Seconds) -> String {
    match seconds {
        s if s > 0 && s.is_multiple_of(86_400) => format!("{} d", s / 86_400),
        s if s > 0 && s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        s if s > 0 && s.is_multiple_of(60) => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// A moment for people: `21 Nov 2026, 21:40:07 UTC`.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = match part(5, 7) {
        "01" => "Jan",
        "02" => "Feb",
        "03" => "Mar",
        "04" => "Apr",
        "05" => "May",
        "06" => "Jun",
        "07" => "Jul",
        "08" => "Aug",
        "09" => "Sep",
        "10" => "Oct",
        "11" => "Nov",
        _ => "Dec",
    };
    format!("{} {month} {}, {} UTC", part(8, 10).trim_start_matches('0'), part(0, 4), part(11, 19))
}

/// How long ago, roughly: `just now`, `4 min ago`, `3 h ago`, `2 d ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.seconds_since(then) {
        s if s < 60 => "just now".to_owned(),
        s if s < 3600 => format!("{} min ago", s / 60),
        s if s < 86_400 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// A kind as a word, a shape and what it means. Never by colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The word.
    pub word: &'static str,
    /// The shape, as the path of a 24 by 24 drawing in strokes.
    pub path: &'static str,
    /// What becomes of what it touches.
    pub effect: &'static str,
}

/// The mark of a kind.
pub const fn mark(kind: Kind) -> Mark {
    let (path, effect) = match kind {
        Kind::Read => ("M4 5h12v14H4zM8 9h4M8 13h4M20 5v14", "is read"),
        Kind::Export => ("M13 4H4v16h9M9 12h12M17 8l4 4-4 4", "leaves the database"),
        Kind::Write => ("M4 20l1-5L16 4l4 4L9 19zM13 7l4 4", "changes"),
        Kind::Delete => ("M4 4h16v16H4zM8 12h8", "loses rows"),
        Kind::Schema => ("M3 5h18v14H3zM3 10h18M9 10v9M15 10v9", "changes shape"),
        Kind::Privilege => {
            ("M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6zM9 12l2 2 4-4", "changes who may do what")
        }
        Kind::Secret => ("M5 11h14v10H5zM8 11V7a4 4 0 0 1 8 0v4M12 15v2", "holds credentials"),
        Kind::Execute => ("M4 4h16v16H4zM10 8l6 4-6 4z", "runs code that we cannot read"),
        Kind::Session => ("M4 7h9M19 7h1M4 17h1M11 17h9M16 4v6M8 14v6", "behaves otherwise"),
        Kind::Admin => ("M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 9v6M9 12h6", "is operated"),
        Kind::Reveal => {
            ("M2 12c3-5 6-7 10-7s7 2 10 7c-3 5-6 7-10 7s-7-2-10-7zM12 9v6M9 12h6", "is seen in clear")
        }
        Kind::Infrastructure => ("M12 3l9 5-9 5-9-5zM3 12l9 5 9-5M3 16l9 5 9-5", "is rebuilt"),
        Kind::Model => ("M12 3l2 7 7 2-7 2-2 7-2-7-7-2 7-2z", "goes to a model"),
    };
    Mark { word: kind.word(), path, effect }
}

/// The shapes that are no kinds.
pub mod shape {
    /// Yes.
    pub const YES: &str = "M4 13l5 5L20 6";
    /// No.
    pub const NO: &str = "M5 5l14 14M19 5L5 19";
    /// Time.
    pub const WAIT: &str = "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 7v5l3 3";
    /// Mind this.
    pub const MIND: &str = "M12 3l10 18H2zM12 10v5M12 18v.5";
    /// Nobody knows.
    pub const UNKNOWN: &str =
        "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.300c-1 .5-1 1-1 2M12 17v.5";
    /// Undone.
    pub const BACK: &str = "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3";
    /// Runs.
    pub const RUN: &str = "M6 4l14 8-14 8z";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(number(10_482), "10,482");
        assert_eq!(number(999), "999");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(1_000_000, "row"), "1,000,000 rows");
    }

    #[test]
    fn a_clock_never_runs_below_zero() {
        assert_eq!(clock(1634), "27:14");
        assert_eq!(clock(3729), "1:02:09");
        assert_eq!(clock(-5), "0:00");
    }

    #[test]
    fn a_span_is_told_in_its_largest_whole_unit() {
        let told = [90, 300, 7_200, 86_400].map(|seconds| span(Seconds(seconds)));
        assert_eq!(told, ["90 s", "5 min", "2 h", "1 d"]);
    }

    #[test]
    fn a_moment_names_its_zone() {
        assert_eq!(moment(Timestamp::from_micros(1_763_760_000_123_456)), "21 Nov 2025, 21:20:00 UTC");
    }

    #[test]
    fn every_kind_has_a_word_and_a_shape_of_its_own() {
        let marks: Vec<Mark> = Kind::ALL.into_iter().map(mark).collect();
        for (at, a) in marks.iter().enumerate() {
            for b in marks.iter().skip(at + 1) {
                assert_ne!(a.word, b.word);
                assert_ne!(a.path, b.path);
            }
        }
    }
}
