//! Files of a log, from a folder or over HTTP. Refuses to follow a redirect and to read more than any file of a log
//! can hold.

use crate::tls;
use anyhow::{Context, Result, anyhow, bail};
use countersign_core::secret::Secret;
use countersign_verify::BUNDLE_BYTES_MAX;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Where Debian, Alpine, Fedora and their kin keep the certificates that a system trusts.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// How long one file may take.
const FILE_WAIT_MAX: Duration = Duration::from_secs(30);

/// A log in a folder.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder, or the one of its tiles where it is a store's.
    pub fn new(path: &str) -> Result<Self> {
        let folder = PathBuf::from(path);
        let tiles = folder.join("tiles");
        match (folder.join("checkpoint").is_file(), tiles.join("checkpoint").is_file()) {
            (true, _) => Ok(Self(folder)),
            (false, true) => Ok(Self(tiles)),
            (false, false) => bail!("expected a log's `checkpoint` in `{path}`, found none"),
        }
    }

    /// One file. Its path comes from the verifier: fixed words and numbers.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.0.join(path);
        let opened =
            std::fs::File::open(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let mut bytes = Vec::new();
        opened.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A log at an address.
pub struct Remote {
    base: Uri,
    token: Option<Secret<String>>,
    tls: Option<tokio_rustls::TlsConnector>,
    runtime: tokio::runtime::Runtime,
    sender: RefCell<Option<http1::SendRequest<Empty<Bytes>>>>,
}

impl Remote {
    /// The log at this address.
    pub fn new(address: &str, token: Option<Secret<String>>, ca: Option<&Path>) -> Result<Self> {
        let base: Uri = address.trim_end_matches('/').parse().with_context(|| format!("`{address}`"))?;
        let secure = base.scheme_str() == Some("https");
        let local = base.host().is_some_and(|h| h == "localhost" || h == "127.0.0.1" || h == "[::1]");
        if token.is_some() && !secure && !local {
            bail!("a token is sent over https only, found `{address}`");
        }
        let tls = if secure { Some(connector(ca)?) } else { None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { base, token, tls, runtime, sender: RefCell::new(None) })
    }

    /// One file.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.runtime.block_on(async {
            let fetched = tokio::time::timeout(FILE_WAIT_MAX, self.fetch(path)).await;
            fetched.map_err(|_| anyhow!("no answer within {FILE_WAIT_MAX:?}"))?
        })
    }

    async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let kept = self.sender.borrow_mut().take().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let host = self.base.authority().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .uri(format!("{}/{path}", self.base.path().trim_end_matches('/')))
            .header("host", host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        sender.ready().await?;
        let answer = sender.send_request(request.body(Empty::new())?).await?;
        if !answer.status().is_success() {
            bail!("`{path}`: the server says {}", answer.status());
        }
        let body = Limited::new(answer.into_body(), BUNDLE_BYTES_MAX + 1).collect().await;
        let bytes = body.map_err(|error| anyhow!("`{path}`: {error}"))?.to_bytes().to_vec();
        *self.sender.borrow_mut() = Some(sender);
        Ok(bytes)
    }

    async fn connect(&self) -> Result<http1::SendRequest<Empty<Bytes>>> {
        let host = self.base.host().context("expected an address with a host")?.to_owned();
        let port = self.base.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((bare.as_str(), port))
            .await
            .with_context(|| format!("cannot reach `{host}:{port}`"))?;
        match &self.tls {
            None => handshake(stream).await,
            Some(tls) => handshake(tls.connect(ServerName::try_from(bare)?, stream).await?).await,
        }
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<http1::SendRequest<Empty<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the last answer; an error of it shows as an error of the call.
    tokio::spawn(connection);
    Ok(sender)
}

fn connector(ca: Option<&Path>) -> Result<tokio_rustls::TlsConnector> {
    let roots = match ca {
        Some(path) => tls::roots(path)?,
        None => {
            let found = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file());
            tls::system_roots(found.context("the system's certificates are not found: name them with --ca")?)?
        }
    };
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config).into())
}
