//! The gate dies without warning, again and again, while people approve and agents run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use countersign_sim::kill9::{Plan, run};

const PLAN: Plan = Plan { rounds: 20, seed: 9 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_killed_at_any_moment_leaves_no_execution_without_its_record_and_none_twice() {
    let summary = run(PLAN, |_, _| {}).await.unwrap();
    assert_eq!(summary.violations, Vec::<String>::new(), "--seed {}", PLAN.seed);
    assert_eq!(summary.rounds, PLAN.rounds);
    assert!(summary.rows > 0 && summary.records > 0, "nothing ran, so nothing was shown: {summary:?}");
    println!("{summary:?}");
}
