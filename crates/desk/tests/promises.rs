//! Promises of the desk: nothing without a person, never one's own, once, and nothing is silently lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use countersign_core::lifecycle::{Choice, End, State, StepError};
use countersign_core::refusal::Refusal;
use countersign_desk::{Claim, Parked, Report, ReviewError, Waited};
use countersign_store::{Disk, Faults};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use world::{World, draft};

const EXPORT: &str = "COPY customers TO STDOUT";

#[tokio::test]
async fn no_privileged_action_without_a_person() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    assert_eq!(world.desk.record_of(&id).unwrap().state.word(), "held");
    world.decide("ada", &id, Choice::Approved, Some("monthly report")).await.unwrap();
    assert!(matches!(waiting.wait().await, Waited::Granted));
    let Claim::Granted(granted) = waiting.claim(&world.agent, world.fresh(EXPORT, 1, b"bytes")).await else {
        panic!("a grant is claimed")
    };
    let (payload, execution) = granted.release();
    assert_eq!((payload, execution.rows_max()), (b"bytes".as_slice(), Some(10)));
    world.desk.executed(&execution, Some("771".to_owned()), 10).await.unwrap();
    world.desk.finish(execution, Report { end: End::Committed, note: "committed".to_owned() }).await.unwrap();
    assert_eq!(world.desk.record_of(&id).unwrap().state, State::Ended { end: End::Committed });
    assert_eq!(world.desk.envelopes(&id).len(), 1, "the decision itself is in the log");
}

#[tokio::test]
async fn nobody_clears_their_own() {
    let world = World::in_memory().await;
    world.enrol().await;
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    // Olga owns the agent and is among the approvers.
    let record = world.desk.record_of(waiting.id()).unwrap();
    assert!(
        world.desk.may_review(&world::name("olga"), &record).unwrap_err().contains("nobody clears their own")
    );
    let own =
        world.desk.prepare_review(&world.person("olga"), "ssh:x", waiting.id(), Choice::Approved, None).await;
    assert!(matches!(own, Err(ReviewError::MayNot(_))));
    assert!(world.desk.may_review(&world::name("ada"), &record).is_ok());
}

#[tokio::test]
async fn a_refusal_and_its_reason_reach_the_caller() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    world.decide("ada", &id, Choice::Denied, Some("use the view")).await.unwrap();
    let Waited::Refused(refusal) = waiting.wait().await else { panic!("refused") };
    assert_eq!(
        refusal,
        Refusal::Declined { request: id, justification: Some("use the view".to_owned()), stands_until: None }
    );
}

#[tokio::test]
async fn a_decision_that_arrives_before_the_wait_begins_is_not_lost() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    world.decide("ada", &waiting.id().clone(), Choice::Approved, None).await.unwrap();
    tokio::task::yield_now().await;
    assert!(matches!(waiting.wait().await, Waited::Granted));
}

#[test]
fn an_approval_wakes_its_waiter_with_no_timer_on_the_path() {
    let (tell, woken) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // A runtime without a clock, in which every timer panics; the desk's own clock stands still.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = std::env::temp_dir().join(format!("countersign-woken-{}", std::process::id()));
            let world = World::in_folder(&folder).await;
            world.enrol().await;
            let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
            let id = waiting.id().clone();
            let waiter = tokio::spawn(async move { matches!(waiting.wait().await, Waited::Granted) });
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished(), "nobody has decided yet");
            world.decide("ada", &id, Choice::Approved, None).await.unwrap();
            tell.send(waiter.await.unwrap()).unwrap();
            std::fs::remove_dir_all(&folder).unwrap();
        });
    });
    assert_eq!(woken.recv_timeout(std::time::Duration::from_secs(30)), Ok(true));
}

#[tokio::test]
async fn an_unlabelled_read_waits_for_no_flush_and_everything_else_does() {
    let folder = std::env::temp_dir().join(format!("countersign-flush-{}", std::process::id()));
    let faults = Arc::new(Faults::default());
    let world = World::on_disk(&folder, Disk::Faulty(Arc::clone(&faults))).await;
    let (plain, labelled) = (world.allowed(&[]), world.allowed(&["pii.email"]));
    let before = world.desk.store().head().0;
    let target = draft(EXPORT, 1).target.name;
    let session = draft(EXPORT, 1).session;
    let mut lane = world.desk.lane(&world.agent, &session, &target, 0).unwrap();
    while world.desk.store().head().0 == before {
        tokio::task::yield_now().await;
    }
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(lane.pass(&labelled, b"a", b"").is_err(), "its record must be flushed first");
    let (bytes, execution) = lane.pass(&plain, b"a", b"SELECT 1").expect("no flush was asked for").release();
    assert_eq!(bytes, b"SELECT 1");
    lane.finish(execution, countersign_desk::LaneOutcome::Rows(1));
    assert!(
        lane.pass_flushed(&labelled, b"a", b"").await.is_err(),
        "and a flush that fails lets nothing pass"
    );
    drop((lane, world));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_client_that_gave_up_never_gets_its_action_run() {
    let world = World::in_memory().await;
    world.enrol().await;
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    let mut changes = world.desk.changes();
    drop(waiting);
    while changes.recv().await.unwrap().state != "withdrawn" {}
    let late = world.decide("ada", &id, Choice::Approved, None).await;
    assert!(matches!(late, Err(ReviewError::Step(StepError::Over("withdrawn")))));
}

#[tokio::test]
async fn an_execution_that_nobody_finished_is_unknown() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    world.decide("ada", &id, Choice::Approved, None).await.unwrap();
    assert!(matches!(waiting.wait().await, Waited::Granted));
    let mut changes = world.desk.changes();
    let Claim::Granted(granted) = waiting.claim(&world.agent, world.fresh(EXPORT, 1, b"")).await else {
        panic!()
    };
    drop(granted);
    while changes.recv().await.unwrap().state != "unknown" {}
    assert_eq!(world.desk.record_of(&id).unwrap().state, State::Ended { end: End::Unknown });
}

#[tokio::test]
async fn what_runs_is_what_was_approved_or_it_is_held_again() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let old = waiting.id().clone();
    world.decide("ada", &old, Choice::Approved, None).await.unwrap();
    assert!(matches!(waiting.wait().await, Waited::Granted));
    let other = world.fresh("COPY payments TO STDOUT", 1, b"");
    let Claim::Reheld { waiting, what } = waiting.claim(&world.agent, other).await else {
        panic!("held again")
    };
    assert_eq!(what, "its effect");
    assert_eq!(world.desk.record_of(&old).unwrap().state, State::Ended { end: End::Superseded });
    let new = world.desk.record_of(waiting.id()).unwrap();
    assert_eq!((new.state.word(), new.terms.supersedes.clone()), ("held", Some(old)));
}

#[tokio::test]
async fn the_approval_window_ends_and_timeout_means_refused() {
    let world = World::in_memory().await;
    world.enrol().await;
    let mut waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    world.turn(30 * 60);
    world.desk.tick().await;
    let Waited::Refused(refusal) = waiting.wait().await else { panic!("refused") };
    assert_eq!(refusal, Refusal::Expired { request: waiting.id().clone() });
}

#[tokio::test]
async fn a_clock_that_steps_back_refuses_holds() {
    let world = World::in_memory().await;
    world.enrol().await;
    world.turn(-3600);
    let refused = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await;
    assert_eq!(refused.err(), Some(Refusal::Unavailable { what: "the clock has stepped back" }));
}

#[tokio::test]
async fn a_statement_that_was_not_prepared_here_does_not_count() {
    let world = World::in_memory().await;
    world.enrol().await;
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let key = world.ada.key_id();
    let prepared = world
        .desk
        .prepare_review(&world.person("ada"), &key, waiting.id(), Choice::Denied, None)
        .await
        .unwrap();
    let mut forged = prepared.statement.clone();
    forged.predicate.decision = Choice::Approved;
    let counted = world.deliver(&world.ada, forged.payload().unwrap()).await;
    assert!(matches!(counted, Err(ReviewError::Mismatch(_))), "{counted:?}");
    let mut unknown = prepared.statement;
    unknown.predicate.nonce = "00".repeat(16);
    let counted = world.deliver(&world.ada, unknown.payload().unwrap()).await;
    assert!(matches!(counted, Err(ReviewError::NotPrepared)), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_tasks_racing_to_claim_one_grant_exactly_one_executes() {
    let world = Arc::new(World::in_memory().await);
    world.enrol().await;
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    world.decide("ada", &id, Choice::Approved, None).await.unwrap();
    world.desk.drain().await.unwrap();
    drop(waiting);
    let executed = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50u8)
        .map(|n| {
            let (world, executed) = (Arc::clone(&world), Arc::clone(&executed));
            tokio::spawn(async move {
                let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, n)).await.unwrap();
                if matches!(waiting.record().state, State::Granted { .. }) {
                    let fresh = world.fresh(EXPORT, n, b"");
                    if let Claim::Granted(granted) = waiting.claim(&world.agent, fresh).await {
                        executed.fetch_add(1, Ordering::SeqCst);
                        let (_, execution) = granted.release();
                        let report = Report { end: End::Committed, note: String::new() };
                        world.desk.finish(execution, report).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(executed.load(Ordering::SeqCst), 1);
    assert_eq!(world.desk.record_of(&id).unwrap().state, State::Ended { end: End::Committed });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_racing_reviews_one_grants_and_none_is_counted_twice() {
    let world = Arc::new(World::in_memory().await);
    world.enrol().await;
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
    let id = waiting.id().clone();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (world, id) = (Arc::clone(&world), id.clone());
            let who = if n % 2 == 0 { "ada" } else { "grace" };
            tokio::spawn(async move { world.decide(who, &id, Choice::Approved, None).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(task.await.unwrap());
    }
    assert!(accepted >= 1);
    let stored = world.desk.stored(&id).unwrap();
    let words: Vec<&str> = stored.facts.iter().map(|f| f.fact.word()).collect();
    assert_eq!(words.iter().filter(|w| **w == "granted").count(), 1, "{words:?}");
    assert_eq!(words.iter().filter(|w| **w == "reviewed").count(), 1, "{words:?}");
}

#[tokio::test]
async fn a_waiting_request_survives_a_restart_and_the_same_effect_claims_it() {
    let folder = std::env::temp_dir().join(format!("countersign-desk-{}", std::process::id()));
    let left = folder.with_extension("left");
    let (waits, runs);
    {
        let world = World::in_folder(&folder).await;
        world.enrol().await;
        let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 1)).await.unwrap();
        waits = waiting.id().clone();
        let mut other =
            world.desk.hold(&world.agent, &world.held(), draft("COPY t TO STDOUT", 1)).await.unwrap();
        runs = other.id().clone();
        world.decide("ada", &runs, Choice::Approved, None).await.unwrap();
        assert!(matches!(other.wait().await, Waited::Granted));
        let claim = other.claim(&world.agent, world.fresh("COPY t TO STDOUT", 1, b"")).await;
        // What a power cut would leave: the folder as it is now, with nothing dropped in good order.
        copy(&folder, &left);
        drop((waiting, claim));
    }
    let world = World::in_folder(&left).await;
    assert_eq!(world.desk.record_of(&runs).unwrap().state, State::Ended { end: End::Unknown });
    assert!(matches!(world.desk.record_of(&waits).unwrap().state, State::Held { parked: true, .. }));
    let waiting = world.desk.hold(&world.agent, &world.held(), draft(EXPORT, 2)).await.unwrap();
    assert_eq!(waiting.id(), &waits, "the same principal repeating the same effect finds it");
    assert!(matches!(world.desk.record_of(&waits).unwrap().state, State::Held { parked: false, .. }));
    drop(waiting);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::remove_dir_all(&left).unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn whoever_parks_the_same_action_at_once_makes_one_request() {
    let world = World::in_memory().await;
    world.enrol().await;
    let held = world.held();
    let park = || world.desk.park(&world.agent, &held, draft(EXPORT, 1));
    let all = tokio::join!(park(), park(), park());
    let ids = [all.0, all.1, all.2].map(|parked| match parked {
        Ok(Parked::Undecided(record)) => record.terms.id.clone(),
        Ok(Parked::Approved(_)) | Err(_) => panic!("nobody has decided"),
    });
    assert!(ids.iter().all(|id| *id == ids[0]) && world.desk.pending().len() == 1);
}

#[tokio::test]
async fn an_approval_that_was_taken_up_and_not_claimed_lies_ready_for_the_next() {
    let world = World::in_memory().await;
    world.enrol().await;
    let held = world.held();
    let park = || world.desk.park(&world.agent, &held, draft(EXPORT, 1));
    let Ok(Parked::Undecided(record)) = park().await else { panic!("undecided") };
    let id = record.terms.id.clone();
    world.decide("ada", &id, Choice::Approved, None).await.unwrap();
    let Ok(Parked::Approved(waiting)) = park().await else { panic!("approved") };
    assert_eq!(*waiting.id(), id);
    // Its connection is lost before it could claim.
    drop(waiting);
    while !world.desk.record_of(&id).unwrap().state.is_parked() {
        tokio::task::yield_now().await;
    }
    let Ok(Parked::Approved(again)) = park().await else { panic!("approved") };
    assert_eq!(*again.id(), id);
}
