//! A server's moment, as a mark: while two marks are the same, nothing was committed and nothing configured between them.
//! At a claim it saves asking for everything again. Knows no facts and no hold.

use super::connection::{Connection, Ended};

/// The moment at which something was looked at: which start of which server, and the transactions that count there.
/// A snapshot names the transactions that are over and those under way ("Transaction ID and Snapshot Information
/// Functions"): whatever is committed later makes another one, in whichever database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    started: String,
    snapshot: String,
}

impl Moment {
    /// The columns of a moment, for a query that is asked of any session: no operator that somebody could define, and the
    /// same words whatever the session has set. A standby does not list which transactions are under way: it has none.
    pub(super) const COLUMNS: &'static str = "pg_catalog.to_char(pg_catalog.timezone('UTC', \
        pg_catalog.pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'), \
        CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_snapshot()::text END";

    /// Reads the two columns; none where they are not there.
    pub(super) fn read(cells: &[Option<String>]) -> Option<Self> {
        let [Some(started), Some(snapshot)] = cells else { return None };
        Some(Self { started: started.clone(), snapshot: snapshot.clone() })
    }
}

/// What a session of its own connection stands on besides what it has set itself: the server's configuration, which is
/// read again when the server is told to, which of its processes answers, and who the session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footing {
    configured: String,
    process: String,
    user: String,
    session_user: String,
}

impl Footing {
    const COLUMNS: usize = 4;

    fn read(cells: &[Option<String>]) -> Option<Self> {
        let [Some(configured), Some(process), Some(user), Some(session_user)] = cells else { return None };
        let [configured, process, user, session_user] =
            [configured, process, user, session_user].map(Clone::clone);
        Some(Self { configured, process, user, session_user })
    }
}

// A server takes a new configuration up before the next statement that it is sent: what this answers is of after it.
const QUERY: &str = "SELECT pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_conf_load_time()), \
    'YYYYMMDDHH24MISSUS'), pg_catalog.pg_backend_pid()::text, current_user::text, session_user::text, ";

impl Connection {
    /// Asks for both over the session's own connection; none within a transaction, whose snapshot may be of its beginning.
    pub(super) async fn look(&mut self) -> Result<Option<(Footing, Moment)>, Ended> {
        if self.is_within_transaction() && !self.session.transaction.suspended {
            return Ok(None);
        }
        let answer = self.ask(&format!("{QUERY}{}", Moment::COLUMNS)).await?;
        let cells = answer.rows.first().filter(|_| answer.failed.is_none()).map(Vec::as_slice);
        let halves = cells.and_then(|cells| cells.split_at_checked(Footing::COLUMNS));
        Ok(halves.and_then(|(footing, moment)| Footing::read(footing).zip(Moment::read(moment))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(all: &[&str]) -> Vec<Option<String>> {
        all.iter().map(|cell| Some((*cell).to_owned())).collect()
    }

    #[test]
    fn a_moment_is_the_same_only_at_the_same_start_of_a_server_and_with_the_same_transactions() {
        let of = |started, snapshot| Moment::read(&cells(&[started, snapshot])).unwrap();
        assert_eq!(of("1", "7:9:8"), of("1", "7:9:8"));
        assert_ne!(of("1", "7:9:8"), of("1", "7:9:"));
        assert_ne!(of("1", "7:9:8"), of("2", "7:9:8"));
    }

    #[test]
    fn half_an_answer_is_no_moment() {
        assert_eq!(Moment::read(&cells(&["1"])), None);
        assert_eq!(Moment::read(&[Some("1".to_owned()), None]), None, "a standby's");
        assert_eq!(Footing::read(&cells(&["1", "2", "a"])), None);
    }
}
