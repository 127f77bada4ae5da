//! The only place where a request moves.
