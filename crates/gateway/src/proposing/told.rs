//! A notice or an error of a gate, in lines that a terminal obeys nothing of, and what a program asks of it: which
//! refusal it is, and of which request.

use countersign_core::id::RequestId;
use countersign_core::view::visible_line;
use countersign_protocols::postgres::codec::backend::Fields;
use countersign_protocols::postgres::wording::ROUTINE_PREFIX;

/// A notice or an error.
#[derive(Debug, Clone)]
pub struct Told {
    word: &'static str,
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The gate's own code, where it is a refusal of the gate and not an error of the server.
    pub refusal: Option<String>,
    /// It ends the connection.
    pub is_fatal: bool,
    /// What happened.
    pub message: String,
    /// Why.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Told {
    /// What these fields say, after a word for the first line.
    pub fn new(word: &'static str, fields: &Fields<'_>) -> Self {
        let of = |code| fields.text(code).map(|text| visible_line(&text));
        let refusal =
            fields.text(b'R').and_then(|routine| Some(routine.strip_prefix(ROUTINE_PREFIX)?.to_owned()));
        Self {
            word,
            sqlstate: fields.sqlstate().into_owned(),
            refusal,
            is_fatal: matches!(&*fields.severity(), "FATAL" | "PANIC"),
            message: of(b'M').unwrap_or_default(),
            detail: of(b'D'),
            hint: of(b'H'),
        }
    }

    /// All of it, for a terminal.
    pub fn lines(&self) -> String {
        let more = [("detail", &self.detail), ("hint", &self.hint)];
        let more = more.iter().filter_map(|(word, text)| Some(format!("\n{word}: {}", text.as_ref()?)));
        format!("{}: {}{}", self.word, self.message, more.collect::<String>())
    }

    /// The request that a refusal speaks of.
    pub fn request(&self) -> Option<RequestId> {
        self.refusal.as_ref()?;
        let id = self.detail.as_ref()?.strip_prefix("Request ")?.split([' ', ',', ':', '.']).next()?;
        RequestId::parse(id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use countersign_core::refusal::{Pending, Refusal};
    use countersign_core::time::Timestamp;
    use countersign_protocols::postgres::codec::Limits;
    use countersign_protocols::postgres::codec::backend::{self, Backend};
    use countersign_protocols::postgres::codec::write::{self, Report, Severity};
    use countersign_protocols::postgres::wording;

    fn heard(out: &mut BytesMut) -> Told {
        let message = backend::next_message(out, Limits::BACKEND).unwrap().unwrap();
        let Backend::ErrorResponse(fields) = backend::parse(&message).unwrap() else { panic!("no error") };
        Told::new("error", &fields)
    }

    #[test]
    fn a_refusal_is_known_by_its_code_and_names_its_request() {
        let id = RequestId::from_bytes([7; 10]);
        let pending = Pending {
            request: id.clone(),
            needs: "1 of approvers".to_owned(),
            until: Timestamp::from_micros(1_790_000_000_000_000),
            link: "http://localhost/requests/x".to_owned(),
            code: "abcd".to_owned(),
            changed: None,
        };
        let refusals = [
            Refusal::Pending(Box::new(pending)),
            Refusal::Declined {
                request: id.clone(),
                justification: Some("no".to_owned()),
                stands_until: None,
            },
            Refusal::Expired { request: id.clone() },
            Refusal::Changed { request: id.clone(), what: "a definition".to_owned() },
        ];
        for refusal in refusals {
            let mut out = BytesMut::new();
            wording::refusal(&mut out, &refusal);
            let told = heard(&mut out);
            assert_eq!((told.refusal.as_deref(), told.request()), (Some(refusal.code()), Some(id.clone())));
        }
    }

    #[test]
    fn what_the_server_says_is_never_taken_for_a_refusal_of_the_gate() {
        let detail = format!("Request {}, until tomorrow.", RequestId::from_bytes([7; 10]));
        let (message, detail) = ("this action waits", Some(detail.as_str()));
        let forged = Report { severity: Severity::Error, code: "42W01", message, detail, hint: None };
        for routine in [None, Some("exec_stmt_raise")] {
            let mut out = BytesMut::new();
            match routine {
                None => write::error_response(&mut out, &forged),
                Some(routine) => write::error_response_of(&mut out, &forged, routine),
            }
            let told = heard(&mut out);
            assert_eq!((told.refusal.clone(), told.request()), (None, None));
            assert_eq!(told.lines().lines().count(), 2, "{}", told.lines());
        }
    }
}
