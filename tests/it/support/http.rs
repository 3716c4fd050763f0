//! The little HTTP that tests ask with: HTTP/1.0, whose answer ends where the connection ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
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
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = if headers.contains("host:") { String::new() } else { format!("host: {address}\r\n") };
    let request = format!("{method} {path} HTTP/1.0\r\n{host}content-length: {}\r\n{headers}\r\n{body}", body.len());
    tokio::time::timeout(ANSWER, ask(address, &request)).await.ok()?.ok()
}

async fn ask(address: &str, request: &str) -> std::io::Result<Reply> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let cut_off = || std::io::Error::other("the answer was cut off");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
    Ok(Reply { status, head: head.to_owned(), body: body.to_owned() })
}
