//! An identity that nobody checked.
use countersign_identity::Authenticated;

fn main() {
    let _ = Authenticated("root");
}
