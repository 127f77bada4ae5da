//! The tables follow the log: who records does not wait for them, who asks them does.

use super::folder;
use super::world::*;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Shorter than the tables are waited for, long enough for an answer that waits for nothing.
const MOMENT: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(60);

#[test]
fn what_is_recorded_is_answered_before_the_tables_have_it_and_found_by_whoever_asks_them() {
    let folder = folder("behind");
    let store = store(folder.path());
    commit(&store, opened(1));
    let tables = rusqlite::Connection::open(folder.path().join("projections.sqlite")).expect("opens");
    tables.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes now");
    commit(&store, opened(2));
    assert!(store.live(&id(2)).is_some(), "it was answered, and nobody could write the tables");
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| tell.send(store.request(&id(2))).expect("somebody listens"));
        let early = told.recv_timeout(MOMENT);
        assert_eq!(early.err(), Some(RecvTimeoutError::Timeout), "a question waits for the tables");
        tables.execute_batch("ROLLBACK").expect("ends");
        let found = told.recv_timeout(SOON).expect("answered").expect("reads").expect("there");
        assert_eq!(found.facts.len(), 1);
    });
}
