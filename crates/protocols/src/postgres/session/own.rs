//! The gate's own settings (`countersign.…`): why, and what to do when an action needs people. Pure; what a client sets
//! here is its own word, and lets nothing pass.

use super::{REASON_BYTES_MAX, Session};

/// What a client does when its action needs people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It waits for them.
    #[default]
    Hold,
    /// It is told at once, and repeats the action later.
    Park,
}

impl Mode {
    /// Reads a mode.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "hold" => Some(Self::Hold),
            "park" => Some(Self::Park),
            _ => None,
        }
    }
}

/// The gate's own settings, but for those that decide what a text means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Why, as stated by the agent (`SET countersign.reason`).
    pub reason: Option<String>,
    /// What the client does when its action needs people.
    pub mode: Mode,
    /// The most rows that an action may touch, as stated by the agent: part of what people sign.
    pub rows_max: Option<u64>,
    /// Each message is one transaction or does not pass.
    pub plan: bool,
}

impl Session {
    /// Begins with what the configuration and the startup packet say.
    pub fn begin(&mut self, mode: Mode, settings: &[(String, String)]) {
        self.own.mode = mode;
        for (name, value) in settings {
            self.set_own(name, value);
        }
        self.own_at_start = self.own.clone();
    }

    /// Sets one of the gate's own settings; false where there is none of this name or value.
    pub fn set_own(&mut self, name: &str, value: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "countersign.reason" if value.len() <= REASON_BYTES_MAX => {
                self.own.reason = (!value.trim().is_empty()).then(|| value.trim().to_owned());
                true
            }
            "countersign.mode" => match Mode::parse(value) {
                Some(mode) => {
                    self.own.mode = mode;
                    true
                }
                None => false,
            },
            "countersign.rows_max" => {
                self.own.rows_max = value.trim().parse().ok();
                self.own.rows_max.is_some()
            }
            "countersign.reveal" => {
                let on = switch(value);
                self.state.reveal = on.unwrap_or(self.state.reveal);
                on.is_some()
            }
            "countersign.plan" => {
                let on = switch(value);
                self.own.plan = on.unwrap_or(self.own.plan);
                on.is_some()
            }
            _ => false,
        }
    }

    /// Sets one of them back to what the session began with; seeing in clear is always asked for anew.
    pub fn reset_own(&mut self, name: &str) {
        match name.to_ascii_lowercase().as_str() {
            "countersign.reason" => self.own.reason.clone_from(&self.own_at_start.reason),
            "countersign.mode" => self.own.mode = self.own_at_start.mode,
            "countersign.rows_max" => self.own.rows_max = self.own_at_start.rows_max,
            "countersign.plan" => self.own.plan = self.own_at_start.plan,
            "countersign.reveal" => self.state.reveal = false,
            _ => {}
        }
    }

    /// Sets all of them back.
    pub fn reset_all_own(&mut self) {
        self.state.reveal = false;
        self.own = self.own_at_start.clone();
    }
}

fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" | "default" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::session::SessionState;

    #[test]
    fn reset_goes_back_to_what_the_session_began_with() {
        let mut session = Session::new(SessionState::new("agent"));
        let given = |name: &str, value: &str| (format!("countersign.{name}"), value.to_owned());
        session.begin(Mode::Hold, &[given("mode", "park"), given("reason", "nightly")]);
        assert!(
            session.set_own("countersign.mode", "HOLD") && session.set_own("countersign.reason", "INC-7")
        );
        assert!(!session.set_own("countersign.mode", "perhaps") && !session.set_own("countersign.x", "1"));
        assert_eq!((session.own.mode, session.own.reason.as_deref()), (Mode::Hold, Some("INC-7")));
        session.reset_own("countersign.mode");
        assert_eq!((session.own.mode, session.own.reason.as_deref()), (Mode::Park, Some("INC-7")));
        session.reset_all_own();
        let nightly = Some("nightly".to_owned());
        assert_eq!(session.own, Own { reason: nightly, mode: Mode::Park, ..Own::default() });
    }
}
