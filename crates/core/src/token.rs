//! Tokens for data on its way out: `Raw` came from the target and cannot be looked at; `Masked` went through a mask.

/// Data as the target sent it. No `Debug`, no `Serialize`, no way in but through a mask.
///
/// ```compile_fail
/// let raw = countersign_core::token::Raw::new("4111 1111 1111 1111");
/// println!("{raw:?}");
/// ```
/// ```compile_fail
/// let raw = countersign_core::token::Raw::new("4111 1111 1111 1111");
/// let _ = raw.0;
/// ```
pub struct Raw<T>(T);

/// Data that went through the mask its grant names.
///
/// ```compile_fail
/// let _ = countersign_core::token::Masked("4111 1111 1111 1111");
/// ```
pub struct Masked<T>(T);

/// Turns raw data into what may be seen.
pub trait Mask<T> {
    /// Why it could not; nothing is sent then.
    type Error;

    /// Masks one piece.
    ///
    /// # Errors
    /// The data is not of the expected form: fail closed.
    fn mask(&mut self, raw: T) -> Result<T, Self::Error>;
}

impl<T> Raw<T> {
    /// Marks data as raw. Anything may be called raw; only a mask calls it anything else.
    pub const fn new(data: T) -> Self {
        Self(data)
    }

    /// Puts the data through the mask.
    ///
    /// # Errors
    /// What the mask says.
    pub fn through<M: Mask<T>>(self, mask: &mut M) -> Result<Masked<T>, M::Error> {
        mask.mask(self.0).map(Masked)
    }
}

impl<T> Masked<T> {
    /// The data, for whoever records that it leaves (`desk`).
    pub fn into_inner(self) -> T {
        self.0
    }
}
