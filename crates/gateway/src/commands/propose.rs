//! `countersign propose`: puts the statements of a file before people as one plan, through the gate and as an agent, and
//! runs them in one transaction once they are approved. Decides nothing and has no way around the gate.

use super::{block_on, say};
use crate::config::{SecretRef, variable};
use crate::tls;
use anyhow::{Context, Result, anyhow, bail};
use bytes::BytesMut;
use countersign_core::secret::Secret;
use countersign_core::view::visible_line;
use countersign_identity::agent_keys::KEY_PREFIX;
use countersign_protocols::postgres::codec::backend::{self, Authentication, Backend, Fields};
use countersign_protocols::postgres::codec::{Limits, write_frontend};
use countersign_protocols::postgres::startup::ALPN;
use countersign_protocols::postgres::upstream::{ScramSha256, choose_scram, end_point};
use countersign_protocols::postgres::wording::PENDING;
use rustls_pki_types::ServerName;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Where the token is, where no file is named.
const TOKEN_VARIABLE: &str = "COUNTERSIGN_TOKEN";
/// Where the gate is, where it is not named.
const GATE_VARIABLE: &str = "COUNTERSIGN_GATE";
/// The longest plan.
const PLAN_BYTES_MAX: u64 = 1 << 20;
/// It waits for people: come back later (EX_TEMPFAIL).
const PENDING_CODE: u8 = 75;
/// People or policy said no (EX_NOPERM).
const REFUSED_CODE: u8 = 77;

/// Put the statements of a file before people as one plan, and run them in one transaction once they are approved.
///
/// Exit codes: 0 it ran and was committed, 1 it failed and nothing of it stands, 75 it waits for people (with --park),
/// 77 it was refused.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The statements, in their order; `-` for stdin. A BEGIN on its first line and a COMMIT on its last are left out.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// The gate and the agent: `postgresql://AGENT@HOST:PORT/DATABASE`. Left out: COUNTERSIGN_GATE.
    #[arg(long, value_name = "URL")]
    gate: Option<String>,
    /// The file with the agent's token or key. Left out: COUNTERSIGN_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificates to trust, PEM. May be left out for a gate on loopback that speaks no TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Why. People read it as the agent's own words.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The most rows that all of it may touch: part of what people sign.
    #[arg(long, value_name = "N")]
    rows_max: Option<u64>,
    /// Do not wait: say where it stands and leave. The same call again runs it once it is approved.
    #[arg(long)]
    park: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let place = arguments.gate.clone().or_else(|| variable(GATE_VARIABLE));
    let place = Place::parse(&place.with_context(|| format!("name the gate by --gate or {GATE_VARIABLE}"))?)?;
    let token = match &arguments.token_file {
        Some(path) => SecretRef::File(path.clone()).read()?,
        None => SecretRef::Env(TOKEN_VARIABLE.to_owned()).read()?,
    };
    let text = plan(&arguments.file)?;
    let login = |end_point| Login { secret: token, end_point };
    block_on(async {
        let stream = TcpStream::connect((place.host.as_str(), place.port))
            .await
            .with_context(|| format!("cannot reach `{}:{}`", place.host, place.port))?;
        match &arguments.ca {
            None if place.is_near() => propose(stream, &place, &login(None), &text, arguments).await,
            None => bail!("a token is sent over TLS only: name the certificates to trust by --ca"),
            Some(ca) => {
                let stream = encrypted(stream, &place, ca).await?;
                let end_point = end_point(stream.get_ref().1);
                propose(stream, &place, &login(end_point), &text, arguments).await
            }
        }
    })
}

fn plan(file: &Path) -> Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| format!("`{}`", file.display()))?),
    };
    source.take(PLAN_BYTES_MAX + 1).read_to_string(&mut text).context("expected text in UTF-8")?;
    if text.len() as u64 > PLAN_BYTES_MAX {
        bail!("expected a plan of at most {PLAN_BYTES_MAX} bytes");
    }
    Ok(without_frame(&text).to_owned())
}

// Tools that write migrations put BEGIN and COMMIT around them; a plan is one transaction as it is.
fn without_frame(text: &str) -> &str {
    let inner =
        text.trim_start().strip_prefix("BEGIN;").and_then(|rest| rest.trim_end().strip_suffix("COMMIT;"));
    inner.filter(|inner| inner.starts_with('\n') && inner.ends_with('\n')).unwrap_or(text)
}

async fn encrypted(stream: TcpStream, place: &Place, ca: &Path) -> Result<TlsStream<TcpStream>> {
    let roots = tls::roots(ca)?;
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from(place.host.clone())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.context("the gate does not show a certificate for its name")
}

/// Where the gate is, and as whom it is spoken to.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    agent: String,
    database: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self> {
        let wrong = || anyhow!("expected `postgresql://AGENT@HOST:PORT/DATABASE`, found `{url}`");
        let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"));
        let (rest, _) = rest.map(|rest| rest.split_once('?').unwrap_or((rest, ""))).ok_or_else(wrong)?;
        let (agent, rest) = rest.split_once('@').ok_or_else(wrong)?;
        if agent.contains(':') {
            bail!("a token does not stand in an address: use --token-file or {TOKEN_VARIABLE}");
        }
        let (authority, database) = rest.split_once('/').ok_or_else(wrong)?;
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || agent.is_empty() || database.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host, port, agent: agent.to_owned(), database: database.to_owned() })
    }

    fn is_near(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

async fn propose(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    place: &Place,
    login: &Login,
    text: &str,
    arguments: &Arguments,
) -> Result<ExitCode> {
    let mut gate = Gate { stream, buffer: BytesMut::new() };
    gate.log_in(place, login, &options(arguments)).await?;
    let mut out = BytesMut::new();
    write_frontend::query(&mut out, text)?;
    gate.send(&out).await?;
    let mut done = 0u64;
    let mut ended = ExitCode::SUCCESS;
    loop {
        match gate.next().await? {
            Answer::Notice(told) => eprintln!("{}", told.lines()),
            Answer::Ran(tag) => {
                done += 1;
                say(&format!("{done:>4}  {}", visible_line(&tag)));
            }
            Answer::Failed(told) => {
                eprintln!("{}", told.lines());
                ended = ended_by(&told.code);
                if ended == ExitCode::FAILURE {
                    eprintln!("statement {} failed: nothing of the plan stands", done + 1);
                }
            }
            Answer::Ready if ended == ExitCode::SUCCESS => {
                say(&format!("committed: {done} statements, all of them or none"));
                return Ok(ended);
            }
            Answer::Ready => return Ok(ended),
            Answer::Other => {}
        }
    }
}

fn ended_by(sqlstate: &str) -> ExitCode {
    match sqlstate {
        PENDING => ExitCode::from(PENDING_CODE),
        "42501" | "28000" | "28P01" => ExitCode::from(REFUSED_CODE),
        _ => ExitCode::FAILURE,
    }
}

fn options(arguments: &Arguments) -> String {
    let mut all = vec![("mode", if arguments.park { "park" } else { "hold" }.to_owned())];
    all.extend(arguments.reason.clone().map(|reason| ("reason", reason)));
    all.extend(arguments.rows_max.map(|rows| ("rows_max", rows.to_string())));
    let escaped = |value: &str| value.replace('\\', "\\\\").replace([' ', '\n'], "\\ ");
    let settings = all.iter().map(|(name, value)| format!("-c countersign.{name}={}", escaped(value)));
    settings.collect::<Vec<_>>().join(" ")
}

/// By what the agent shows who it is, and the hash of the gate's certificate where there is one.
struct Login {
    secret: Secret<String>,
    end_point: Option<Vec<u8>>,
}

/// The gate as its client sees it.
struct Gate<S> {
    stream: S,
    buffer: BytesMut,
}

/// What the gate says, as far as this client cares.
enum Answer {
    Notice(Told),
    Ran(String),
    Failed(Told),
    Ready,
    Other,
}

/// A notice or an error, ready for a terminal.
struct Told {
    code: String,
    said: Vec<(&'static str, String)>,
}

impl Told {
    fn new(word: &'static str, fields: &Fields<'_>) -> Self {
        let of = |code, word: &'static str| fields.text(code).map(|text| (word, visible_line(&text)));
        let said = [of(b'M', word), of(b'D', "detail"), of(b'H', "hint")].into_iter().flatten().collect();
        Self { code: fields.sqlstate().into_owned(), said }
    }

    fn lines(&self) -> String {
        self.said.iter().map(|(word, text)| format!("{word}: {text}")).collect::<Vec<_>>().join("\n")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    async fn log_in(&mut self, place: &Place, login: &Login, options: &str) -> Result<()> {
        let mut out = BytesMut::new();
        let params = [
            ("user", place.agent.as_str()),
            ("database", place.database.as_str()),
            ("application_name", "countersign propose"),
            ("options", options),
        ];
        write_frontend::startup(&mut out, write_frontend::PROTOCOL_3_0, &params)?;
        self.send(&out).await?;
        loop {
            let message = self.message().await?;
            match backend::parse(&message)? {
                Backend::Authentication(Authentication::CleartextPassword) => {
                    if login.secret.expose().starts_with(KEY_PREFIX) {
                        bail!(
                            "expected a gate that asks for the proof of a key: a key itself is sent nowhere"
                        );
                    }
                    let mut out = BytesMut::new();
                    write_frontend::password(&mut out, login.secret.expose())?;
                    self.send(&out).await?;
                }
                Backend::Authentication(Authentication::Sasl(mechanisms)) => {
                    self.prove(&mechanisms, login).await?;
                }
                Backend::Authentication(Authentication::Ok) => {}
                Backend::Authentication(_) => bail!("expected a gate that asks for a token"),
                Backend::ErrorResponse(fields) => bail!("{}", Told::new("refused", &fields).lines()),
                Backend::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// That it holds the key; and the gate, that it knows it.
    async fn prove(&mut self, mechanisms: &[&str], login: &Login) -> Result<()> {
        let (mechanism, binding) = choose_scram(mechanisms, login.end_point.clone())?;
        let mut scram = ScramSha256::new(login.secret.expose().as_bytes(), binding);
        let mut out = BytesMut::new();
        write_frontend::sasl_initial_response(&mut out, mechanism, scram.message())?;
        self.send(&out).await?;
        let message = self.message().await?;
        match backend::parse(&message)? {
            Backend::Authentication(Authentication::SaslContinue(challenge)) => scram.update(challenge)?,
            Backend::ErrorResponse(fields) => bail!("{}", Told::new("refused", &fields).lines()),
            _ => bail!("expected a challenge"),
        }
        let mut out = BytesMut::new();
        write_frontend::sasl_response(&mut out, scram.message())?;
        self.send(&out).await?;
        let message = self.message().await?;
        match backend::parse(&message)? {
            Backend::Authentication(Authentication::SaslFinal(proof)) => Ok(scram.finish(proof)?),
            Backend::ErrorResponse(fields) => bail!("{}", Told::new("refused", &fields).lines()),
            _ => bail!("expected the gate's own proof"),
        }
    }

    async fn next(&mut self) -> Result<Answer> {
        let message = self.message().await?;
        Ok(match backend::parse(&message)? {
            Backend::NoticeResponse(fields) => Answer::Notice(Told::new("notice", &fields)),
            Backend::ErrorResponse(fields) => Answer::Failed(Told::new("error", &fields)),
            Backend::CommandComplete(complete) => Answer::Ran(complete.tag.to_owned()),
            Backend::ReadyForQuery(_) => Answer::Ready,
            _ => Answer::Other,
        })
    }

    async fn message(&mut self) -> Result<countersign_protocols::postgres::codec::RawMessage> {
        loop {
            if let Some(message) = backend::next_message(&mut self.buffer, Limits::BACKEND)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!(
                    "the gate has hung up: if it was approved before that, see the request for what became of it"
                );
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_protocols::postgres::startup::parse_options;

    #[test]
    fn an_address_of_a_gate_is_read_and_holds_no_token() {
        let place = Place::parse("postgresql://etl@[::1]:6432/shop?sslmode=disable").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.is_near()), ("::1", 6432, true));
        assert_eq!((place.agent.as_str(), place.database.as_str()), ("etl", "shop"));
        for wrong in
            ["http://a@b:1/c", "postgresql://b:1/c", "postgresql://a@b/c", "postgresql://a:secret@b:1/c"]
        {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_frame_of_begin_and_commit_is_left_out_and_nothing_else() {
        assert_eq!(without_frame("BEGIN;\n\nDROP TABLE t;\n\nCOMMIT;\n\n"), "\n\nDROP TABLE t;\n\n");
        for whole in
            ["DROP TABLE t", "BEGIN;\nDROP TABLE t;", "BEGIN; DROP TABLE t; COMMIT;", "-- BEGIN;\nCOMMIT;\n"]
        {
            assert_eq!(without_frame(whole), whole);
        }
    }

    #[test]
    fn whatever_the_reason_is_it_stays_one_setting() {
        let arguments = Arguments {
            file: "-".into(),
            gate: None,
            token_file: None,
            ca: None,
            reason: Some("a \\ b -c countersign.mode=hold\nc".to_owned()),
            rows_max: Some(7),
            park: true,
        };
        let read = parse_options(&options(&arguments)).unwrap();
        let value = |name: &str| read.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(read.len(), 3, "{read:?}");
        assert_eq!(value("countersign.mode"), Some("park"));
        assert_eq!(value("countersign.reason"), Some("a \\ b -c countersign.mode=hold c"));
        assert_eq!(value("countersign.rows_max"), Some("7"));
    }
}
