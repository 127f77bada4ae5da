//! `countersign propose`: puts the statements of a file before people as one plan, through the gate and as an agent, and
//! runs them in one transaction once they are approved. Decides nothing and has no way around the gate.

use super::{block_on, say};
use crate::config::{SecretRef, variable};
use crate::proposing::{Answer, Gate, Login, PLAN_BYTES_MAX, Shown, without_frame};
use crate::tls;
use anyhow::{Context, Result, anyhow, bail};
use countersign_core::view::visible_line;
use countersign_protocols::postgres::startup::ALPN;
use countersign_protocols::postgres::upstream::end_point;
use countersign_protocols::postgres::wording::PENDING;
use rustls_pki_types::ServerName;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Where the token is, where no file is named.
const TOKEN_VARIABLE: &str = "COUNTERSIGN_TOKEN";
/// Where the gate is, where it is not named.
const GATE_VARIABLE: &str = "COUNTERSIGN_GATE";
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
    let shown = |end_point| Shown { secret: &token, end_point };
    block_on(async {
        let stream = TcpStream::connect((place.host.as_str(), place.port))
            .await
            .with_context(|| format!("cannot reach `{}:{}`", place.host, place.port))?;
        match &arguments.ca {
            None if place.is_near() => propose(stream, &place, &shown(None), &text, arguments).await,
            None => bail!("a token is sent over TLS only: name the certificates to trust by --ca"),
            Some(ca) => {
                let stream = encrypted(stream, &place, ca).await?;
                let end_point = end_point(stream.get_ref().1);
                propose(stream, &place, &shown(end_point), &text, arguments).await
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
    source.take(PLAN_BYTES_MAX as u64 + 1).read_to_string(&mut text).context("expected text in UTF-8")?;
    if text.len() > PLAN_BYTES_MAX {
        bail!("expected a plan of at most {PLAN_BYTES_MAX} bytes");
    }
    Ok(without_frame(&text).to_owned())
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
    shown: &Shown<'_>,
    text: &str,
    arguments: &Arguments,
) -> Result<ExitCode> {
    let mut gate = Gate::new(stream);
    let login = Login {
        agent: &place.agent,
        database: &place.database,
        application: "countersign propose",
        reason: arguments.reason.as_deref(),
        rows_max: arguments.rows_max,
        parks: arguments.park,
    };
    gate.log_in(&login, shown).await?;
    gate.propose(text).await?;
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
                ended = ended_by(&told.sqlstate);
                if ended == ExitCode::FAILURE && told.refusal.is_none() {
                    eprintln!("statement {} failed: nothing of the plan stands", done + 1);
                }
            }
            Answer::Ready { settled: false } if ended == ExitCode::SUCCESS => {
                eprintln!("the plan leaves a transaction open: nothing of it stands");
                return Ok(ExitCode::FAILURE);
            }
            Answer::Ready { .. } if ended == ExitCode::SUCCESS => {
                say(&format!("committed: {done} statements, all of them or none"));
                return Ok(ended);
            }
            Answer::Ready { .. } => return Ok(ended),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
