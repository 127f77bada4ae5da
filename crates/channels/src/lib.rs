//! Where people come in: one folder for each channel. A channel shows the view of a request and takes reviews; it
//! decides nothing.

pub mod terminal;
pub mod web;
