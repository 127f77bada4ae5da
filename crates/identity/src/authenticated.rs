//! The token that says: this crate has checked who it is. Refuses to know how; the `authenticate_*` functions do.

/// Somebody or something whose identity was checked.
///
/// Made only inside this crate, by the functions named `authenticate_*`; whoever demands one cannot be handed an
/// anonymous request or review.
///
/// Looking at one compiles:
/// ```
/// fn who(checked: &countersign_identity::Authenticated<String>) -> &str { checked.get() }
/// ```
/// Making one does not, by hand:
/// ```compile_fail
/// let _ = countersign_identity::Authenticated("root");
/// ```
/// nor through the crate's own door:
/// ```compile_fail
/// let _ = countersign_identity::Authenticated::new("root");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated<P>(P);

impl<P> Authenticated<P> {
    // The one door. Only functions named `authenticate_*` call it.
    pub(crate) const fn new(checked: P) -> Self {
        Self(checked)
    }

    /// Looks at who it is.
    pub const fn get(&self) -> &P {
        &self.0
    }

    /// Takes who it is, and gives up the proof.
    pub fn into_inner(self) -> P {
        self.0
    }
}
