//! Where machines come in: one folder for each protocol.

pub mod postgres;
pub mod sql;
