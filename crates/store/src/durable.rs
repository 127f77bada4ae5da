//! The token that says "this is recorded". It refuses to be made outside this crate.

/// How firmly something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// With the operating system: survives the process, on stable storage within 50 ms.
    Written,
    /// On stable storage: survives the machine losing its power.
    Flushed,
}

/// Proof that `T` was recorded before anything acts on it.
///
/// Made in this crate only, after the write or flush that it names has succeeded. Not `Clone`: one record, one proof.
///
/// Handing one on compiles:
/// ```
/// use countersign_store::{Durable, Receipt};
/// fn forward(_proof: Durable<Receipt>) {}
/// fn once(proof: Durable<Receipt>) { forward(proof); }
/// ```
/// Using it twice does not:
/// ```compile_fail
/// use countersign_store::{Durable, Receipt};
/// fn forward(_proof: Durable<Receipt>) {}
/// fn twice(proof: Durable<Receipt>) { forward(proof); forward(proof); }
/// ```
/// nor does making one:
/// ```compile_fail
/// use countersign_store::{Durable, Level, Receipt};
/// let _ = Durable::new(Receipt { first_index: 0, size: 1 }, Level::Flushed);
/// ```
/// ```compile_fail
/// use countersign_store::{Durable, Level, Receipt};
/// let _ = Durable { value: Receipt { first_index: 0, size: 1 }, level: Level::Flushed };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is recorded is recorded in order to be acted on"]
pub struct Durable<T> {
    value: T,
    level: Level,
}

impl<T> Durable<T> {
    /// The one place where the token is made.
    pub(crate) const fn new(value: T, level: Level) -> Self {
        Self { value, level }
    }

    /// What was recorded.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// How firmly.
    pub const fn level(&self) -> Level {
        self.level
    }
}
