//! A yes that is prepared and signed before it is given, so that what comes after it can be timed by itself.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::house::{APPROVER, House};
use crate::http;

/// What a person signs, and under which name.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const NAMESPACE: &str = "decision@countersign";

/// A signed yes.
#[derive(Debug)]
pub struct SignedYes {
    socket: PathBuf,
    path: String,
    body: String,
}

impl SignedYes {
    /// The first approver's yes to a request, signed with the SSH key.
    ///
    /// # Errors
    /// The gate prepares none, or the key does not sign.
    pub async fn to(house: &House, id: &str) -> Result<Self> {
        let socket = house.folder().join("data/control.sock");
        let asked = json!({ "person": APPROVER, "key_id": fingerprint(house).await?, "choice": "approved" });
        let path = format!("/requests/{id}/prepare");
        let prepared = http::call_socket(&socket, "POST", &path, Some(&asked.to_string())).await?;
        let said = String::from_utf8_lossy(&prepared.body).into_owned();
        let prepared: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        let payload = prepared.get("payload").and_then(Value::as_str).with_context(|| said.clone())?;
        let bytes = STANDARD.decode(payload)?;
        // DSSE's pre-authentication encoding.
        let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), bytes.len());
        let signature = sign(house, &[head.as_bytes(), &bytes].concat()).await?;
        let body = json!({ "payload": payload, "signature": signature }).to_string();
        Ok(Self { socket, path: format!("/requests/{id}/review"), body })
    }

    /// Gives it.
    ///
    /// # Errors
    /// The gate says no.
    pub async fn give(&self) -> Result<()> {
        let reply = http::call_socket(&self.socket, "POST", &self.path, Some(&self.body)).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        Ok(())
    }
}

async fn fingerprint(house: &House) -> Result<String> {
    let mut ask = Command::new("ssh-keygen");
    ask.arg("-lf").arg(house.key()).stdin(Stdio::null());
    let said = String::from_utf8(ask.output().await?.stdout)?;
    let fingerprint = said.split_whitespace().nth(1).with_context(|| format!("a fingerprint in `{said}`"))?;
    Ok(format!("ssh:{fingerprint}"))
}

async fn sign(house: &House, message: &[u8]) -> Result<String> {
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(house.key());
    sign.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = sign.spawn().context("ssh-keygen")?;
    child.stdin.take().context("its input")?.write_all(message).await?;
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "ssh-keygen ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
