//! The PostgreSQL gate: one folder, nothing of PostgreSQL's wire outside it.

pub mod cancel;
pub mod codec;
pub mod mask;
pub mod startup;
pub mod upstream;
