//! Commands' side of the control socket: one HTTP call, one answer. Knows no command.

use super::api::No;
use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use tokio::net::UnixStream;

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A running gate.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The gate behind this socket.
    pub const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks.
    ///
    /// # Errors
    /// The gate does not run, or says no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.call(Method::GET, path, Bytes::new()).await?;
        read(answer).await
    }

    /// Says.
    ///
    /// # Errors
    /// The gate does not run, or says no.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.call(Method::POST, path, serde_json::to_vec(body)?.into()).await?;
        read(answer).await
    }

    /// Hears one JSON line after another, until the gate ends.
    ///
    /// # Errors
    /// The gate does not run, says no, or sends what is no line of JSON.
    pub async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        mut each: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let mut answer = self.call(Method::GET, path, Bytes::new()).await?;
        let mut line = Vec::new();
        while let Some(frame) = answer.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            for byte in data {
                if byte == b'\n' {
                    each(serde_json::from_slice(&line)?)?;
                    line.clear();
                } else if line.len() < ANSWER_BYTES_MAX {
                    line.push(byte);
                } else {
                    bail!("the gate sent a line of more than {ANSWER_BYTES_MAX} bytes");
                }
            }
        }
        Ok(())
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.with_context(|| {
            format!(
                "the gate does not answer at `{}`: start it with `countersign serve`",
                self.socket.display()
            )
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the last answer; an error of it shows as an error of the call.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "countersign")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await.context("the gate closed the connection")?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
        match serde_json::from_slice::<No>(&body) {
            Ok(no) => bail!("{}", no.error),
            Err(_) => bail!("the gate says {status}"),
        }
    }
}

async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T> {
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
    serde_json::from_slice(&body).context("the gate's answer cannot be understood: is it of this version?")
}
