//! A virtual authenticator: passkeys without a finger, by WebDriver's WebAuthn extension (WebAuthn Level 3 §11).

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Browser;

/// A virtual authenticator of one browser: CTAP2, built in, with resident keys and user verification.
#[derive(Clone, Debug)]
pub struct Authenticator {
    id: String,
}

impl Browser {
    /// Adds a virtual authenticator whose user is present and verified.
    ///
    /// # Errors
    /// When the browser has no such thing.
    pub async fn add_authenticator(&self) -> Result<Authenticator> {
        let wanted = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        let id =
            self.post("/webauthn/authenticator", &wanted).await.context("adding a virtual authenticator")?;
        Ok(Authenticator { id: id.as_str().context("no authenticator id")?.to_owned() })
    }

    /// Says whether the user passes verification from now on.
    ///
    /// # Errors
    /// When the authenticator is gone.
    pub async fn set_user_verified(&self, authenticator: &Authenticator, verified: bool) -> Result<()> {
        let path = format!("/webauthn/authenticator/{}/uv", authenticator.id);
        self.post(&path, &json!({"isUserVerified": verified})).await.map(drop)
    }

    /// The credentials it holds (`credentialId`, `rpId`, `userHandle`, `signCount`, `privateKey`).
    ///
    /// # Errors
    /// When the authenticator is gone.
    pub async fn credentials(&self, authenticator: &Authenticator) -> Result<Vec<Value>> {
        let held = self.get(&format!("/webauthn/authenticator/{}/credentials", authenticator.id)).await?;
        Ok(held.as_array().cloned().unwrap_or_default())
    }

    /// Gives it a credential that [`Self::credentials`] told of, in this or another browser.
    ///
    /// # Errors
    /// When the authenticator does not take it.
    pub async fn add_credential(&self, authenticator: &Authenticator, credential: &Value) -> Result<()> {
        let path = format!("/webauthn/authenticator/{}/credential", authenticator.id);
        self.post(&path, credential).await.map(drop)
    }

    /// Takes it away.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn remove_authenticator(&self, authenticator: &Authenticator) -> Result<()> {
        let path = format!("{}/webauthn/authenticator/{}", self.session, authenticator.id);
        self.call("DELETE", &path, None).await.map(drop)
    }
}
