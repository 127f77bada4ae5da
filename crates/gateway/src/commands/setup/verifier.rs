//! The form in which PostgreSQL keeps a password (SCRAM-SHA-256, RFC 5803), made here so that the password itself never
//! stands in a statement, and so in no log of the server.

use anyhow::{Result, anyhow, bail};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::secret::Secret;
use std::num::NonZeroU32;

/// As PostgreSQL itself makes it (`scram_iterations`).
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4_096) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};
const SALT_BYTES: usize = 16;

/// The verifier of a password.
pub fn of(password: &Secret<String>) -> Result<String> {
    let mut salt = [0u8; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| anyhow!("no randomness can be drawn"))?;
    salted(password.expose(), &salt)
}

fn salted(password: &str, salt: &[u8]) -> Result<String> {
    // What is not ASCII the server would normalise first (SASLprep): set such a password by psql.
    if !password.is_ascii() || password.chars().any(|c| c.is_ascii_control()) {
        bail!("expected a password of printable ASCII to set; set another one by psql's \\password");
    }
    let mut key = [0u8; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password.as_bytes(), &mut key);
    let sign = |word: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), word.as_bytes());
    let stored = digest::digest(&digest::SHA256, sign("Client Key").as_ref());
    Ok(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored.as_ref()),
        STANDARD.encode(sign("Server Key").as_ref())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_the_one_that_the_standard_gives() {
        // RFC 7677, 3: user `user`, password `pencil`; the keys follow from the salted password there.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = salted("pencil", &salt).unwrap();
        assert_eq!(
            made,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(salted("päncil", &salt).is_err());
    }
}
