//! Three answers from Cedar's two: allow, hold, deny. Refuses to know where policies are stored and what time it is.
//!
//! Set A says what may be done at all, set B (forbids that bear `@hold`) what only with approval, set C who may
//! review. An error never allows: not at load, not at evaluation. Cedar is named in this crate only.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod annotation;
mod ask;
mod bundle;
mod cache;
mod cases;
mod default;
mod explain;
mod judge;
mod load;
mod reads;
mod review;
mod rule;
mod text;

pub use annotation::AnnotationError;
pub use ask::Question;
pub use bundle::Bundle;
pub use cases::{CasesError, Resolve, TestOutcome, run_tests};
pub use default::{default_sources, default_tests};
pub use explain::{Change, Explanation, PairAnswer, PolicyPart};
pub use load::{LoadError, Settings, Source};
pub use review::{NobodyMayApprove, NotAReviewer};
pub use rule::{PolicyInfo, Set};
