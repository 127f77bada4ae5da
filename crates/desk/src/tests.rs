//! Promises of the desk.
