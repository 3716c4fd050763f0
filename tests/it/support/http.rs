//! The little HTTP that tests ask with: HTTP/1.0, whose answer ends where the connection ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for one answer.
pub const ANSWER: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    /// An answer from its bytes; `None` where it was cut off.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok())?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Asks `address` for `path`; `None` where nobody answers.
pub async fn get(address: &str, path: &str) -> Option<Reply> {
    send(address, "GET", path, &[], "").await
}

/// Sends `address` a request with these headers and this body; `None` where nobody answers.
pub async fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Reply> {
    let request = request(address, method, path, headers, body);
    tokio::time::timeout(ANSWER, ask(address, &request)).await.ok()?.ok()?
}

/// A request as it goes over the wire.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = if headers.contains("host:") { String::new() } else { format!("host: {address}\r\n") };
    format!("{method} {path} HTTP/1.0\r\n{host}content-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn ask(address: &str, request: &str) -> std::io::Result<Option<Reply>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await?;
    Ok(Reply::read(&bytes))
}
