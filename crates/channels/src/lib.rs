//! Where people come in: one folder for each channel. A channel shows the view of a request and takes reviews; it
//! decides nothing.

#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod hall;
pub mod model;
pub mod terminal;
pub mod web;
