//! The PostgreSQL gate: one folder, nothing of PostgreSQL's wire outside it.

pub mod action;
pub mod cancel;
pub mod changed;
pub mod codec;
pub mod copy_in;
mod end_point;
pub mod mask;
pub mod pids;
pub mod plan;
pub mod reply;
pub mod serve;
pub mod session;
pub mod startup;
pub mod touched;
pub mod upstream;
pub mod wording;
pub mod written;
