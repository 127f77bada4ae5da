//! The shell of the gate: sockets, tasks, timers. One task for each connection, on one of a few single-threaded
//! runtimes; what is decided stands in the pure files beside this folder and at the desk.

mod accept;
mod between;
mod cancels;
mod client;
mod connection;
mod copying;
mod door;
mod exchange;
mod extended;
mod facts;
mod fate;
mod granted;
mod handshake;
mod held;
mod mark;
mod movable;
mod opening;
mod pipeline;
mod proof;
mod questions;
mod reading;
mod reconnect;
mod run;
mod sending;
mod server;
mod settings;
mod simple;
mod steps;
mod tokens;
mod trial;
mod walls;

pub use accept::{Bound, ServeError, bind};
pub use between::{Between, between};
pub use door::Door;
pub use facts::FactsError;
pub use questions::{QuestionError, Questions, TextRows};
pub use reading::{load as load_facts, load_fresh_session};
pub use settings::{
    Authenticator, ClientTls, GateLimits, Preview, PreviewMode, RoleSettings, TargetSettings,
};
