//! What is handed out, in formats that other people's tools read: decisions, executions, proofs. It refuses to know
//! where entries are kept, and signs nothing: keys and signing are the caller's.

mod decision;
mod execution;
mod proof;

pub use decision::{DecisionFileError, decision_file};
pub use execution::{
    Decided, EXECUTION_TYPE, Effect, Execution, ExecutionError, LeafRef, Outcome, execution,
    execution_payload,
};
pub use proof::{ProofFileError, proof_file};
