//! A value that must not be seen: no `Serialize`, a redacted `Debug`, zeroised when dropped.

use zeroize::Zeroize;

/// A secret. [`Secret::expose`] is the one way to look at it, so that its uses can be found by searching.
///
/// ```compile_fail
/// let secret = countersign_core::secret::Secret::new(String::from("hunter2"));
/// let _ = serde_json::to_string(&secret);
/// ```
/// ```compile_fail
/// let secret = countersign_core::secret::Secret::new(String::from("hunter2"));
/// println!("{secret}");
/// ```
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Looks at the value.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> std::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }
}
