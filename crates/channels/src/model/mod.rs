//! What the pages show, made from core's words: pure, no store, no clock, no markup.

pub mod before;
pub mod card;
pub mod log;
pub mod people;
pub mod queue;
pub mod standing;
pub mod statement;
pub mod story;
pub mod words;
