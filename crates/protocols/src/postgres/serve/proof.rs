//! Asks an agent for the one proof that its configuration names: a token, its key, or the certificate that it has shown. Carries bytes; what
//! they prove is for `identity` to say.

use super::super::codec::frontend::{self, Frontend, Password};
use super::super::codec::{Limits, RawMessage, write};
use super::accept::Shared;
use super::client::ClientStream;
use super::handshake::HandshakeError;
use bytes::BytesMut;
use countersign_core::id::{AgentName, TokenId};
use countersign_core::time::Timestamp;
use countersign_identity::Authenticated;
use countersign_identity::agent_keys::{self, AgentKey, Exchange, NONCE_BYTES, ScramError};
use countersign_identity::agents::Shows;
use countersign_identity::certificates::{self, CertificateAuthError};
use countersign_identity::credential::AgentIdentity;
use countersign_identity::tokens;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Proof = Result<Authenticated<AgentIdentity>, HandshakeError>;

/// Who came in under this user name. `out` is what is to be said before anything is asked.
pub(super) async fn prove(
    client: &mut ClientStream,
    inbuf: &mut BytesMut,
    out: BytesMut,
    user: &str,
    shared: &Shared,
) -> Proof {
    let known = AgentName::parse(user).ok().and_then(|name| shared.authenticator.agents.agent(&name));
    let mut asking = Asking { client, inbuf, out, shared };
    match known.map(|agent| (&agent.name, &agent.shows)) {
        Some((name, Shows::Key(key))) => asking.key(name, key).await,
        Some((_, Shows::Certificate(_))) => asking.certificate(user).await,
        // A name that nobody has is asked for a token, as those are who have one.
        Some((_, Shows::Token)) | None => asking.token(user).await,
    }
}

/// A client that is asked.
struct Asking<'a> {
    client: &'a mut ClientStream,
    inbuf: &'a mut BytesMut,
    out: BytesMut,
    shared: &'a Shared,
}

impl Asking<'_> {
    async fn token(&mut self, user: &str) -> Proof {
        write::auth_cleartext(&mut self.out);
        let message = self.answer().await?;
        let token = password(&message)?.cleartext()?;
        let authenticator = &self.shared.authenticator;
        tokens::authenticate_agent(
            token,
            user,
            &self.shared.settings.name,
            &authenticator.key,
            &authenticator.agents,
            &|id| self.is_revoked(id),
            self.now()?,
        )
        .map_err(|error| {
            HandshakeError::Told("28P01", "this token does not open this gate", error.to_string())
        })
    }

    /// RFC 5802, bound to the gate's certificate where both sides can.
    async fn key(&mut self, agent: &AgentName, key: &AgentKey) -> Proof {
        let end_point = match (&*self.client, &self.shared.settings.client_tls) {
            (ClientStream::Tls(_), Some(tls)) => tls.end_point.clone(),
            (ClientStream::Plain(_) | ClientStream::Within(_), _) | (ClientStream::Tls(_), None) => None,
        };
        let exchange = Exchange::new(agent.clone(), key.clone(), end_point);
        write::auth_sasl(&mut self.out, exchange.mechanisms());
        let message = self.answer().await?;
        let (mechanism, first) = password(&message)?.sasl_initial()?;
        let mut nonce = [0u8; NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut nonce)
            .map_err(|_| HandshakeError::Told("58000", "no randomness can be drawn", String::new()))?;
        let challenged = exchange.challenge(mechanism, first, &nonce).map_err(refused)?;
        write::auth_sasl_continue(&mut self.out, challenged.message());
        let message = self.answer().await?;
        let proved = challenged.prove(password(&message)?.bytes()).map_err(refused)?;
        // Its own proof goes out with the rest of the welcome: who is not let in hears no more than that.
        write::auth_sasl_final(&mut self.out, proved.message());
        let identity = agent_keys::authenticate_by_key(
            proved,
            &self.shared.settings.name,
            &self.shared.authenticator.agents,
            &|id| self.is_revoked(id),
            self.now()?,
        )
        .map_err(|error| HandshakeError::Told("28P01", agent_keys::REFUSED, error.to_string()))?;
        self.say().await?;
        Ok(identity)
    }

    /// Nothing is asked: TLS has asked it.
    async fn certificate(&mut self, user: &str) -> Proof {
        let refused = |error: CertificateAuthError| {
            HandshakeError::Told("28000", certificates::REFUSED, error.to_string())
        };
        let ClientStream::Tls(tls) = &*self.client else {
            return Err(refused(CertificateAuthError::Missing));
        };
        let identity = certificates::authenticate_by_certificate(
            tls.get_ref().1,
            user,
            &self.shared.authenticator.agents,
            &|id| self.is_revoked(id),
            self.now()?,
        )
        .map_err(refused)?;
        let AgentIdentity { credential, expires_at, .. } = identity.get();
        tracing::info!(agent = user, %credential, %expires_at, "an agent is let in by its certificate");
        self.say().await?;
        Ok(identity)
    }

    async fn say(&mut self) -> Result<(), HandshakeError> {
        self.client.write_all(&self.out).await?;
        self.client.flush().await?;
        self.out.clear();
        Ok(())
    }

    /// Says what is to be said, and waits for what comes of it.
    async fn answer(&mut self) -> Result<RawMessage, HandshakeError> {
        self.say().await?;
        loop {
            if let Some(message) = frontend::next_message(self.inbuf, Limits::PREAUTH)? {
                return Ok(message);
            }
            if self.client.read_buf(self.inbuf).await? == 0 {
                return Err(HandshakeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn is_revoked(&self, id: &TokenId) -> bool {
        self.shared.desk.store().is_revoked(id)
    }

    fn now(&self) -> Result<Timestamp, HandshakeError> {
        let stepped = |_| HandshakeError::Told("58000", "the clock has stepped back", String::new());
        self.shared.desk.clock().now().map_err(stepped)
    }
}

fn password(message: &RawMessage) -> Result<Password<'_>, HandshakeError> {
    match frontend::parse(message)? {
        Frontend::Password(password) => Ok(password),
        _ => Err(HandshakeError::Told("08P01", "expected a password message", String::new())),
    }
}

fn refused(error: ScramError) -> HandshakeError {
    let (code, message) = match error {
        ScramError::Downgraded => {
            ("28000", "channel binding is offered here, and this client did not see it")
        }
        ScramError::OtherChannel => ("28000", "this client is bound to another certificate than this gate's"),
        ScramError::OtherMechanism | ScramError::OtherBinding => {
            ("28000", "expected SCRAM-SHA-256-PLUS bound by tls-server-end-point, or SCRAM-SHA-256")
        }
        ScramError::TooLong(_) | ScramError::Malformed(_) | ScramError::OtherNonce => {
            ("08P01", "this is not SCRAM-SHA-256")
        }
        ScramError::OtherKey(_) => ("28P01", agent_keys::REFUSED),
    };
    HandshakeError::Told(code, message, error.to_string())
}
