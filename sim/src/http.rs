//! One HTTP/1.1 call to 127.0.0.1 or a Unix socket and its reply: enough for a WebDriver and a health page. No TLS, no redirects.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// How large a reply may be; a screenshot in base64 is some megabytes.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Calls `path` on a port of 127.0.0.1 over a connection of its own, with a JSON body when one is given.
///
/// # Errors
/// When nothing listens or the answer is not HTTP.
pub async fn call(port: u16, method: &str, path: &str, body: Option<&str>) -> Result<Reply> {
    call_with(port, method, path, &[], body).await
}

/// As [`call`], with more headers.
///
/// # Errors
/// As [`call`].
pub async fn call_with(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Reply> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.context("nothing listens there")?;
    let host = format!("localhost:{port}");
    ask(stream, &host, method, path, headers, body)
        .await
        .with_context(|| format!("{method} {path} on port {port}"))
}

/// Calls `path` on a Unix socket.
///
/// # Errors
/// As [`call`].
pub async fn call_socket(socket: &Path, method: &str, path: &str, body: Option<&str>) -> Result<Reply> {
    let stream = UnixStream::connect(socket).await.context("nothing listens there")?;
    let reply = ask(stream, "localhost", method, path, &[], body).await;
    reply.with_context(|| format!("{method} {path} on {}", socket.display()))
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Reply> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    stream.write_all(request.as_bytes()).await?;
    read_reply(&mut stream).await
}

/// Reads as far as the reply itself says it goes: not every server closes when asked to.
async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Result<Reply> {
    let mut raw = Vec::new();
    let mut limited = stream.take(REPLY_BYTES_MAX);
    loop {
        let read = limited.read_buf(&mut raw).await?;
        if let Some(reply) = parse(&raw, read == 0)? {
            return Ok(reply);
        }
        if read == 0 {
            bail!("the connection closed after {} bytes of a reply", raw.len());
        }
    }
}

/// The reply, once all of it is there.
fn parse(raw: &[u8], ended: bool) -> Result<Option<Reply>> {
    let Some(split) = raw.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, rest) = raw.split_at(split);
    let body = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).context("the reply's head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.context("no status line")?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: Vec::new() };
    if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse().context("the content length is no number")?;
        let Some(whole) = body.get(..length) else { return Ok(None) };
        reply.body = whole.to_vec();
    } else if reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let Some(whole) = unchunk(body)? else { return Ok(None) };
        reply.body = whole;
    } else if ended {
        reply.body = body.to_vec();
    } else {
        return Ok(None);
    }
    Ok(Some(reply))
}

fn unchunk(mut raw: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut whole = Vec::new();
    loop {
        let Some(line) = raw.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = raw.get(..line).unwrap_or_default();
        let size = std::str::from_utf8(size)?.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk without a size")?;
        if size == 0 {
            return Ok(Some(whole));
        }
        let Some(chunk) = raw.get(line + 2..line + 2 + size) else { return Ok(None) };
        whole.extend_from_slice(chunk);
        let Some(rest) = raw.get(line + 4 + size..) else { return Ok(None) };
        raw = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_reply_is_whole_only_when_its_last_byte_is_there() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(parse(&sized[..sized.len() - 1], false).unwrap().is_none());
        assert_eq!(parse(sized, false).unwrap().unwrap().body, b"abc");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert!(parse(&chunked[..chunked.len() - 6], false).unwrap().is_none());
        assert_eq!(parse(chunked, false).unwrap().unwrap().body, b"abc");
        let open = b"HTTP/1.1 404 Not Found\r\n\r\nabc";
        assert!(parse(open, false).unwrap().is_none());
        assert_eq!(parse(open, true).unwrap().unwrap().status, 404);
    }
}
