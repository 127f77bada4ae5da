//! A signed statement: the strict reading of a DSSE envelope, and whether a person and the gate signed it. It
//! refuses to know what the statement is good for.

use crate::finding::{Misfit, What, demand, misfit};
use crate::keys::{Key, Public};
use countersign_core::digest::{Base64, sha256};
use countersign_core::requirement::Assurance;
use countersign_core::statement::{
    PAYLOAD_TYPE, SSH_NAMESPACE, SSHSIG_EXTENSION, STATEMENT_TYPE, Statement, WEBAUTHN_EXTENSION,
};
use countersign_ledger::dsse::{Envelope, Signature};
use countersign_ledger::sign::ed25519::GatePublicKey;
use countersign_ledger::sign::sshsig::SshSignature;
use countersign_ledger::sign::webauthn::{self, CosePublicKey, Expect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest statement that people sign.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024;

/// An envelope that was read; whether anybody signed it is asked next.
pub(crate) struct Opened<P> {
    pub statement: Statement<P>,
    /// The digest of the one subject, hex.
    pub subject: String,
    person: Signature,
    gate: Signature,
    pae: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension<E> {
    kind: String,
    ext: E,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasskeyExt {
    #[serde(rename = "authenticatorData")]
    authenticator_data: Base64,
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64,
    #[serde(rename = "rpId")]
    rp_id: String,
    origin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SshExt {
    namespace: String,
}

/// Reads an envelope with the signatures of a person and of the gate over a statement of that type about one
/// subject of that name, in the one form in which it could have been written.
pub(crate) fn open<P: Serialize + DeserializeOwned>(
    value: &Value,
    predicate_type: &str,
    subject: &str,
) -> Result<Opened<P>, Misfit> {
    let envelope = Envelope::from_json(value.to_string().as_bytes())
        .map_err(|error| misfit(What::Review, "a DSSE envelope", error))?;
    let pae = envelope.pae();
    let Envelope { payload_type, payload, signatures } = envelope;
    let [person, gate] = <[Signature; 2]>::try_from(signatures).map_err(|signatures| {
        let expected = "the signatures of one person and of the gate";
        misfit(What::HumanSignature, expected, format_args!("{} signatures", signatures.len()))
    })?;
    let of = What::Statement;
    demand(payload_type == PAYLOAD_TYPE, of, format!("the payload type `{PAYLOAD_TYPE}`"), &payload_type)?;
    let limit = format!("at most {STATEMENT_BYTES_MAX} bytes");
    demand(payload.len() <= STATEMENT_BYTES_MAX, of, limit, payload.len())?;
    let statement: Statement<P> = serde_json::from_slice(&payload)
        .map_err(|error| misfit(of, format!("a statement of type `{predicate_type}`"), error))?;
    let canonical = statement.payload().is_ok_and(|again| again == payload);
    demand(canonical, of, "canonical JSON (RFC 8785)", "another way of writing it")?;
    demand(statement.kind == STATEMENT_TYPE, of, format!("the type `{STATEMENT_TYPE}`"), &statement.kind)?;
    let same_type = statement.predicate_type == predicate_type;
    demand(same_type, of, format!("the type `{predicate_type}`"), &statement.predicate_type)?;
    let [about] = statement.subject.as_slice() else {
        return Err(misfit(of, "one subject", statement.subject.len()));
    };
    demand(about.name == subject, of, format!("the subject `{subject}`"), &about.name)?;
    let subject = about.digest.sha256.clone();
    Ok(Opened { statement, subject, person, gate, pae })
}

impl<P> Opened<P> {
    /// Whether the owner of `key` signed, and how surely it was they.
    pub(crate) fn signed_by(&self, key: &Key) -> Result<Assurance, Misfit> {
        let of = What::HumanSignature;
        let expected = format!("a signature by `{}`", key.record.id);
        demand(self.person.keyid == key.record.id, of, expected, &self.person.keyid)?;
        match &key.public {
            Public::Passkey(public) => self.by_passkey(key, public),
            Public::Ssh(public) => {
                let ext: SshExt = extension(&self.person, SSHSIG_EXTENSION)?;
                let expected = format!("the namespace `{SSH_NAMESPACE}`");
                demand(ext.namespace == SSH_NAMESPACE, of, expected, &ext.namespace)?;
                SshSignature::from_blob(&self.person.sig)
                    .and_then(|signature| signature.verify(public, SSH_NAMESPACE, &self.pae))
                    .map_err(|error| misfit(of, "an SSH signature over this statement", error))?;
                Ok(Assurance::Key)
            }
        }
    }

    /// The challenge is SHA-256 of what DSSE signs; user verification is demanded inside.
    fn by_passkey(&self, key: &Key, public: &CosePublicKey) -> Result<Assurance, Misfit> {
        let of = What::HumanSignature;
        let ext: PasskeyExt = extension(&self.person, WEBAUTHN_EXTENSION)?;
        let (rp_id, origin) = (&key.record.rp_id, &key.record.origin);
        let same_page = ext.rp_id == *rp_id && ext.origin == *origin;
        demand(same_page, of, format!("the page `{origin}` of the key"), &ext.origin)?;
        let challenge = sha256(&self.pae);
        let expect = Expect { rp_id, origin, challenge: &challenge };
        let (data, client) = (&ext.authenticator_data.0, &ext.client_data_json.0);
        webauthn::assertion(public, data, client, &self.person.sig, &expect)
            .map_err(|error| misfit(of, "a passkey's signature over this statement", error))?;
        Ok(Assurance::Passkey)
    }

    /// Whether the gate signed too. Its signature alone is worth nothing.
    pub(crate) fn countersigned_by(&self, gate: &GatePublicKey) -> Result<(), Misfit> {
        let of = What::GateSignature;
        demand(self.gate.keyid == gate.keyid(), of, "the gate's key of the genesis", &self.gate.keyid)?;
        gate.verify(&self.pae, &self.gate.sig)
            .map_err(|error| misfit(of, "the gate's signature over this statement", error))
    }
}

fn extension<E: DeserializeOwned>(signature: &Signature, kind: &str) -> Result<E, Misfit> {
    let expected = || format!("the signature extension `{kind}`");
    let value = signature.extension.clone().unwrap_or_default();
    let read: Extension<E> =
        serde_json::from_value(value).map_err(|error| misfit(What::HumanSignature, expected(), error))?;
    demand(read.kind == kind, What::HumanSignature, expected(), &read.kind)?;
    Ok(read.ext)
}
