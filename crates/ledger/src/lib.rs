//! Public formats that outsiders verify: RFC 6962 tree, C2SP notes, checkpoints, tiles and proofs, DSSE, passkey
//! and SSH signatures. It refuses to know files, sockets, clocks, randomness and what an entry means.

mod bytes;
pub mod checkpoint;
pub mod dsse;
pub mod fuzz;
pub mod note;
pub mod proof;
pub mod sign;
pub mod tiles;
pub mod tree;
