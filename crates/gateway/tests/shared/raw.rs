//! A client that speaks PostgreSQL's protocol byte by byte, also wrongly. Knows the frame of a message and no more.

use super::WITHIN;
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::shop;
use std::net::Ipv4Addr;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What bytes go over: TCP, or TLS over it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection.
pub struct Raw {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// By which it can be cancelled, once it is logged in.
    key: Vec<u8>,
}

/// One message of the gate.
#[derive(Debug)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub async fn dial(house: &House) -> Self {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, house.ports.gate)).await.unwrap())
    }

    /// Speaks over a stream that is there.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), key: Vec::new() }
    }

    /// Connects as the agent, up to the first ReadyForQuery.
    pub async fn login(house: &House) -> Self {
        let mut raw = Self::dial(house).await;
        raw.login_with(&startup(AGENT), house).await;
        raw
    }

    /// Logs in with a startup packet of one's own; all that the gate said up to the first ReadyForQuery.
    pub async fn login_with(&mut self, startup: &[u8], house: &House) -> Vec<Message> {
        self.show(startup, &house.token).await
    }

    /// Logs in with a token of one's own.
    pub async fn login_by(house: &House, token: &str) -> Self {
        let mut raw = Self::dial(house).await;
        raw.show(&startup(AGENT), token).await;
        raw
    }

    async fn show(&mut self, startup: &[u8], token: &str) -> Vec<Message> {
        self.send(startup).await;
        self.send(&message(b'p', &text(token))).await;
        let welcome = self.until(b'Z').await;
        self.key =
            welcome.iter().find(|message| message.tag == b'K').expect("a key to cancel by").body.clone();
        welcome
    }

    /// One byte that belongs to no message; none once the gate has hung up.
    pub async fn byte(&mut self) -> Option<u8> {
        assert!(self.buffer.is_empty(), "{:?}", self.buffer);
        timeout(WITHIN, self.stream.read_u8()).await.expect("a byte or an end").ok()
    }

    /// Asks to cancel what this connection does, and returns once the gate has dealt with it, as libpq does.
    pub async fn cancel(&self, house: &House) {
        self.canceller().cancel(house).await;
    }

    /// Whoever may cancel what this connection does.
    pub fn canceller(&self) -> Canceller {
        Canceller { key: self.key.clone() }
    }

    /// Sends bytes. Whether the other side still reads them is seen by what it answers.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(WITHIN, self.stream.write_all(bytes)).await.expect("the gate reads on or hangs up");
    }

    /// Sends messages and takes the answers up to ReadyForQuery.
    pub async fn ask(&mut self, messages: &[&[u8]]) -> Vec<Message> {
        self.send(&messages.concat()).await;
        self.until(b'Z').await
    }

    /// The notice that says what is held; everything before it is passed over.
    pub async fn held(&mut self) -> Held {
        loop {
            let message = self.next().await.expect("a notice before the gate hangs up");
            assert!(!matches!(message.tag, b'E' | b'Z'), "expected a hold, found {message:?}");
            if let Some(held) = message.field(b'H').as_deref().and_then(Held::parse) {
                return held;
            }
        }
    }

    /// Says that nothing more comes.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next message; none once the gate has hung up.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            let read =
                timeout(WITHIN, self.stream.read_buf(&mut self.buffer)).await.expect("an answer or an end");
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Message> {
        let tag = *self.buffer.first()?;
        let length = self.buffer.get(1..5)?.try_into().map(u32::from_be_bytes).ok()? as usize;
        let body = self.buffer.get(5..length + 1)?.to_vec();
        self.buffer.drain(..=length);
        Some(Message { tag, body })
    }

    /// The messages up to the first of a tag, that one included.
    pub async fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut seen = Vec::new();
        let begun = Instant::now();
        while let Some(message) = self.next().await {
            let last = message.tag == tag;
            seen.push(message);
            if last {
                return seen;
            }
            // Signs of life are no answer.
            assert!(begun.elapsed() < WITHIN, "no `{}` in time: {seen:?}", char::from(tag));
        }
        panic!("the gate hung up before `{}`: {seen:?}", char::from(tag));
    }

    /// What the gate still says before it hangs up.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut seen = Vec::new();
        while let Some(message) = self.next().await {
            seen.push(message);
        }
        seen
    }
}

/// The key of another connection.
#[derive(Clone)]
pub struct Canceller {
    key: Vec<u8>,
}

impl Canceller {
    /// Asks to cancel what that connection does, and returns once the gate has dealt with it, as libpq does.
    pub async fn cancel(&self, house: &House) {
        self.cancel_over(Raw::dial(house).await).await;
    }

    /// The process id that the client was told.
    pub fn pid(&self) -> &[u8] {
        self.key.get(..4).unwrap_or_default()
    }

    /// The same over a connection that is there.
    pub async fn cancel_over(&self, mut other: Raw) {
        other.send(&packet(&[&[0x04, 0xd2, 0x16, 0x2e], self.key.as_slice()].concat())).await;
        other.rest().await;
    }
}

impl Message {
    /// A field of an error or a notice.
    pub fn field(&self, code: u8) -> Option<String> {
        let mut fields = self.body.split(|byte| *byte == 0);
        let field = fields.find(|field| field.first() == Some(&code))?;
        Some(String::from_utf8_lossy(field.get(1..)?).into_owned())
    }
}

/// The SQLSTATE of the first error among messages.
pub fn sqlstate(messages: &[Message]) -> Option<String> {
    messages.iter().find(|message| message.tag == b'E')?.field(b'C')
}

/// A message with its tag and its length.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

/// A text that ends as the protocol's texts end.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// Asks for TLS.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Asks for encryption by GSSAPI.
pub const GSS_ENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// A startup packet of protocol 3.0 for a user.
pub fn startup(user: &str) -> Vec<u8> {
    startup_of(user, 0, &[])
}

/// A startup packet of another minor version of the protocol, with more parameters.
pub fn startup_of(user: &str, minor: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut body = (0x0003_0000 | minor).to_be_bytes().to_vec();
    for (name, value) in [("user", user), ("database", shop::DATABASE)].iter().chain(more) {
        body.extend([text(name), text(value)].concat());
    }
    body.push(0);
    packet(&body)
}

/// An opening packet: a length and a body, without a tag.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [length.to_be_bytes().as_slice(), body].concat()
}

/// Messages of the extended protocol, as a client would send them.
pub mod extended {
    use super::{Message, message, text};

    pub const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];
    pub const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];

    pub fn query(sql: &str) -> Vec<u8> {
        message(b'Q', &text(sql))
    }

    pub fn parse(name: &str, sql: &str) -> Vec<u8> {
        message(b'P', &[text(name), text(sql), vec![0, 0]].concat())
    }

    /// Without values; everything as text.
    pub fn bind(portal: &str, statement: &str) -> Vec<u8> {
        message(b'B', &[text(portal), text(statement), vec![0; 6]].concat())
    }

    /// With one value, as text.
    pub fn bind_with(portal: &str, statement: &str, value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        let body = [&text(portal), &text(statement), &[0, 0, 0, 1][..], &length, value, &[0, 0]];
        message(b'B', &body.concat())
    }

    pub fn describe(what: u8, name: &str) -> Vec<u8> {
        message(b'D', &[vec![what], text(name)].concat())
    }

    pub fn close(what: u8, name: &str) -> Vec<u8> {
        message(b'C', &[vec![what], text(name)].concat())
    }

    pub fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
        message(b'E', &[text(portal), rows_max.to_be_bytes().to_vec()].concat())
    }

    /// A text as the unnamed statement, bound and executed.
    pub fn run(sql: &str) -> Vec<u8> {
        [parse("", sql), bind("", ""), execute("", 0)].concat()
    }

    /// The tags of messages, without what a server may say at any time.
    pub fn tags(messages: &[Message]) -> String {
        messages.iter().map(|message| char::from(message.tag)).filter(|tag| !"SN".contains(*tag)).collect()
    }

    /// The first cell of each row.
    pub fn cells(messages: &[Message]) -> Vec<String> {
        let rows = messages.iter().filter(|message| message.tag == b'D');
        rows.map(|row| {
            let length = u32::from_be_bytes(row.body[2..6].try_into().unwrap());
            let end = if length == u32::MAX { 6 } else { 6 + length as usize };
            String::from_utf8_lossy(&row.body[6..end]).into_owned()
        })
        .collect()
    }
}
