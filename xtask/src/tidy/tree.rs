//! Crates that must not be in the tree: there is one crypto library.

use anyhow::Result;

use super::Finding;
use crate::steps::{cargo, read};

const BANNED: &[&str] = &["ring", "rsa", "openssl", "native-tls"];

/// What of [`BANNED`] anything of ours is built with, on any platform.
pub fn banned() -> Result<Vec<Finding>> {
    let tree = ["tree", "--locked", "--workspace", "--target", "all", "--prefix", "none", "--format", "{p}"];
    Ok(banned_in(&read(cargo(&tree))?))
}

fn banned_in(tree: &str) -> Vec<Finding> {
    let mut packages: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    packages.sort_unstable();
    packages.dedup();
    let found = packages.into_iter().filter(|package| BANNED.contains(package));
    let message = |package| format!("`{package}` is in the tree: see `cargo tree --target all -i {package}`");
    found
        .map(|package| Finding { path: "Cargo.lock".to_owned(), line: 1, message: message(package) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::banned_in;

    #[test]
    fn a_second_crypto_library_is_found() {
        assert!(banned_in("aws-lc-rs v1.19.0\nstring v1.0.0\n").is_empty());
        assert_eq!(banned_in("a v1\nring v0.17.8\nring v0.17.8 (*)\n").len(), 1);
    }
}
