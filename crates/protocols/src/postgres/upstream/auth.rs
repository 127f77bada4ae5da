//! The gate's own login at a server, up to the first ReadyForQuery. A server that asks for a proof must
//! give its own before it is believed.

use std::io;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::codec::backend::{self, Authentication, Backend};
use super::super::codec::{Limits, RawMessage, write_frontend as write};
use super::{
    BackendKey, Password, START_MESSAGE_BYTES_MAX, START_MESSAGES_MAX, Upstream, UpstreamConfig,
    UpstreamError, UpstreamStream,
};

/// Settings that [`UpstreamConfig::options`] may not name, since they have a place of their own or would
/// change what the connection is.
const RESERVED: [&str; 6] =
    ["user", "database", "application_name", "client_encoding", "replication", "options"];

struct Login<'a> {
    stream: UpstreamStream,
    buffer: BytesMut,
    config: &'a UpstreamConfig,
    messages_left: usize,
}

pub(super) async fn authenticate(
    stream: UpstreamStream,
    config: &UpstreamConfig,
) -> Result<Upstream, UpstreamError> {
    let messages_left = START_MESSAGES_MAX;
    let mut login = Login { stream, buffer: BytesMut::new(), config, messages_left };
    let mut startup = BytesMut::new();
    write::startup(&mut startup, write::PROTOCOL_3_0, &startup_params(config)?)?;
    login.send(&startup).await?;
    login.prove().await?;
    login.settle().await
}

fn startup_params(config: &UpstreamConfig) -> Result<Vec<(&str, &str)>, UpstreamError> {
    let mut params = vec![
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("application_name", config.application_name.as_str()),
        ("client_encoding", "UTF8"),
    ];
    for (name, value) in &config.options {
        if name.is_empty() || RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            let found = format!("`{name}`");
            return Err(UpstreamError::Config { expected: "options that are settings", found });
        }
        params.push((name, value));
    }
    Ok(params)
}

impl Login<'_> {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), UpstreamError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next message that is not a notice. An error of the server ends the login.
    async fn receive(&mut self) -> Result<RawMessage, UpstreamError> {
        let limits = Limits { message_bytes_max: START_MESSAGE_BYTES_MAX };
        loop {
            let Some(message) = backend::next_message(&mut self.buffer, limits)? else {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                continue;
            };
            let Some(left) = self.messages_left.checked_sub(1) else {
                return Err(UpstreamError::Unexpected {
                    expected: "fewer messages before ReadyForQuery",
                    tag: message.tag.into(),
                });
            };
            self.messages_left = left;
            match message.tag {
                b'N' => {}
                b'E' => return Err(refused(&message)?),
                _ => return Ok(message),
            }
        }
    }

    /// Answers what the server asks until it says AuthenticationOk.
    async fn prove(&mut self) -> Result<(), UpstreamError> {
        let message = self.receive().await?;
        let mut reply = BytesMut::new();
        match authentication(&message)? {
            Authentication::Ok => return Ok(()),
            Authentication::CleartextPassword if !self.stream.is_tls() => {
                return Err(UpstreamError::CleartextRefused);
            }
            Authentication::CleartextPassword => write::password(&mut reply, self.password()?.expose())?,
            Authentication::Md5Password(salt) => {
                let password = self.password()?;
                let hash = md5_hash(self.config.user.as_bytes(), password.expose().as_bytes(), salt);
                write::password(&mut reply, &hash)?;
            }
            Authentication::Sasl(mechanisms) => self.scram(&mechanisms).await?,
            Authentication::Other(code) => {
                let found = format!("authentication request {code}");
                return Err(UpstreamError::UnknownAuthentication { found });
            }
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                return Err(unexpected("the start of an authentication", &message));
            }
        }
        if !reply.is_empty() {
            self.send(&reply).await?;
        }
        let message = self.receive().await?;
        match authentication(&message)? {
            Authentication::Ok => Ok(()),
            _ => Err(unexpected("AuthenticationOk", &message)),
        }
    }

    /// RFC 5802, with the server's signature checked before this returns.
    async fn scram(&mut self, mechanisms: &[&str]) -> Result<(), UpstreamError> {
        let (mechanism, binding) = choose(mechanisms, self.stream.server_end_point())?;
        let mut scram = ScramSha256::new(self.password()?.expose().as_bytes(), binding);
        let failed = |source| UpstreamError::Scram { source };

        let mut first = BytesMut::new();
        write::sasl_initial_response(&mut first, mechanism, scram.message())?;
        self.send(&first).await?;
        let message = self.receive().await?;
        let Authentication::SaslContinue(challenge) = authentication(&message)? else {
            return Err(unexpected("a SASL challenge", &message));
        };
        scram.update(challenge).map_err(failed)?;

        let mut second = BytesMut::new();
        write::sasl_response(&mut second, scram.message())?;
        self.send(&second).await?;
        let message = self.receive().await?;
        let Authentication::SaslFinal(proof) = authentication(&message)? else {
            return Err(unexpected("the server's own proof", &message));
        };
        scram.finish(proof).map_err(failed)
    }

    fn password(&self) -> Result<&Password, UpstreamError> {
        let missing = || UpstreamError::PasswordMissing { user: self.config.user.clone() };
        self.config.password.as_ref().ok_or_else(missing)
    }

    /// Reads what the server reports until it is ready.
    async fn settle(mut self) -> Result<Upstream, UpstreamError> {
        let (mut parameters, mut key) = (Vec::new(), None);
        loop {
            let message = self.receive().await?;
            match backend::parse(&message)? {
                Backend::ParameterStatus { name, value } => {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
                Backend::BackendKeyData { pid, secret } => {
                    key = Some(BackendKey { pid, secret: secret.to_vec() });
                }
                Backend::ReadyForQuery(_) => break,
                _ => return Err(unexpected("settings, a key or ReadyForQuery", &message)),
            }
        }
        Ok(Upstream { stream: self.stream, parameters, key, leftover: self.buffer })
    }
}

/// The mechanism to use, and what it is bound to. Where we could bind and the server does not offer it, we
/// say so under the signature, so that nobody in between can have taken the offer away.
///
/// # Errors
/// None of them is spoken here.
pub fn choose(
    mechanisms: &[&str],
    end_point: Option<Vec<u8>>,
) -> Result<(&'static str, ChannelBinding), UpstreamError> {
    let offers = |mechanism| mechanisms.contains(&mechanism);
    match end_point {
        Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
            Ok((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)))
        }
        Some(_) if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
        None if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
        _ => Err(UpstreamError::UnknownAuthentication { found: mechanisms.join(", ") }),
    }
}

fn authentication(message: &RawMessage) -> Result<Authentication<'_>, UpstreamError> {
    match backend::parse(message)? {
        Backend::Authentication(authentication) => Ok(authentication),
        _ => Err(unexpected("an authentication request", message)),
    }
}

fn refused(message: &RawMessage) -> Result<UpstreamError, UpstreamError> {
    let Backend::ErrorResponse(fields) = backend::parse(message)? else {
        return Err(unexpected("an error", message));
    };
    Ok(UpstreamError::Refused {
        code: fields.sqlstate().into_owned(),
        message: fields.text(b'M').unwrap_or_default().into_owned(),
    })
}

fn unexpected(expected: &'static str, message: &RawMessage) -> UpstreamError {
    UpstreamError::Unexpected { expected, tag: message.tag.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_bound_wherever_both_sides_can() {
        let both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
        let chosen = |mechanisms: &[&str], hash: Option<Vec<u8>>| {
            choose(mechanisms, hash).ok().map(|(mechanism, binding)| {
                let scram = ScramSha256::new(b"x", binding);
                (mechanism, String::from_utf8_lossy(scram.message()).split(',').next().map(str::to_owned))
            })
        };
        let header = |flag: &str| Some(flag.to_owned());
        assert_eq!(
            chosen(&both, Some(vec![1])),
            Some((SCRAM_SHA_256_PLUS, header("p=tls-server-end-point")))
        );
        // We could, the server does not offer it: said so, under the signature.
        assert_eq!(chosen(&[SCRAM_SHA_256], Some(vec![1])), Some((SCRAM_SHA_256, header("y"))));
        assert_eq!(chosen(&both, None), Some((SCRAM_SHA_256, header("n"))));
        assert_eq!(chosen(&[SCRAM_SHA_256_PLUS], None), None);
        assert_eq!(chosen(&["OAUTHBEARER"], Some(vec![1])), None);
    }
}
