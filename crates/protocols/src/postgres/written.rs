//! A write that would put a mask in the place of the value that it hides. Pure; says so in words.

use super::action::{ClientAction, copy_options};
use super::mask::{CopiedBack, FIXED, TokenKey, WrittenBack, written_back as is_written_back};
use crate::sql::{Analysis, Statement, What, string_literals};
use countersign_core::digest::Base64;
use countersign_core::refusal::Refusal;

/// Without one of these no text holds what [`is_written_back`] knows again (the last is a part of every UUID of a token).
const SIGNS: [&str; 4] = ["tok_", FIXED, "***", "-8"];

/// Why an action is refused that may change something near labelled columns with a value that this gate has masked: in a
/// literal of its text, or in a bound value.
pub fn written_back(analysis: &Analysis, action: &ClientAction, key: &TokenKey) -> Option<Refusal> {
    if analysis.joined.labels.is_empty() || !analysis.joined.may_change() {
        return None;
    }
    let mut bound = action.params.iter().zip(1..);
    let of_param = bound.find_map(|(param, number)| {
        let Base64(value) = param.value.as_ref()?;
        Some((is_written_back(key, value)?, format!("${number}")))
    });
    let of_text = || {
        let may = SIGNS.iter().any(|sign| action.text.contains(sign));
        let mut literals = may.then(|| string_literals(&action.text)).into_iter().flatten();
        let found = literals.find_map(|literal| is_written_back(key, literal.as_bytes()))?;
        Some((found, "a literal".to_owned()))
    };
    let (found, place) = of_param.or_else(of_text)?;
    Some(refused(found, &place))
}

/// What looks through the data of a COPY from the client for such values, where it goes into a table with labelled columns.
pub fn copied_back(analysis: &Analysis, statement: &Statement, key: &TokenKey) -> Option<CopiedBack> {
    let What::CopyIn { options: Some(options), .. } = &statement.what else { return None };
    if analysis.joined.labels.is_empty() {
        return None;
    }
    // Options that the server would refuse make no values.
    let options = copy_options(options, &[]).ok()?;
    Some(CopiedBack::new(key.clone(), options))
}

/// Why an action is refused that holds such a value, and where.
pub fn refused(found: WrittenBack, place: &str) -> Refusal {
    let form = match found {
        WrittenBack::Token => "a token of this gate",
        WrittenBack::Fixed => "the text that stands for hidden values",
        WrittenBack::Partial => "a text with stars for what is hidden",
    };
    Refusal::Unsupported {
        what: format!("a masked value ({form}, in {place}) near a labelled column"),
        instead: "It stands for a value that you were not shown, and would destroy it. Leave that column out, or write a \
                  value of your own; to work with the value itself, ask to see it: SET countersign.reveal = on."
            .to_owned(),
    }
}
