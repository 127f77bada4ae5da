//! countersign: the command line.
fn main() {}
