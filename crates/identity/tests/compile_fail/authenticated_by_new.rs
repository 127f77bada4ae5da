//! The crate's own door is closed to others.
use countersign_identity::Authenticated;

fn main() {
    let _ = Authenticated::new("root");
}
