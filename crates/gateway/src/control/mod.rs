//! The door for commands on the gate's own machine: HTTP over a Unix socket that its owner alone may open. It gives no
//! authority to approve: what people decide over it carries their own signature.

pub mod api;
pub mod client;
mod keys;
mod requests;
pub mod server;
