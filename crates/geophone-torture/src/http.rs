//! The little HTTP/1.1 that a fault proxy needs: whole requests, whole answers, one of each a connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head; no AWS client comes near it.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest body: the largest object of an archive, with room.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The operation: Kinesis and DynamoDB name it in a header, SNS in its form, S3 by its method.
    pub fn operation(&self) -> String {
        if let Some(target) = self.header("x-amz-target") {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        let form = String::from_utf8_lossy(&self.body[..self.body.len().min(4_096)]).into_owned();
        let action = form.split('&').find_map(|field| field.strip_prefix("Action="));
        action.map_or_else(|| self.head.split(' ').next().unwrap_or_default().to_owned(), str::to_owned)
    }

    /// The body, where it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The request with another body, to be answered and closed.
    fn bytes(&self, body: &[u8]) -> Vec<u8> {
        let kept = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            !["connection", "content-length", "expect"].iter().any(|left_out| name.eq_ignore_ascii_case(left_out))
        };
        let mut head: String = self.head.lines().filter(kept).flat_map(|line| [line, "\r\n"]).collect();
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Reads one request; `None` where the other side closed, or speaks something else.
pub async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::with_capacity(4_096);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD_BYTES_MAX || socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut request = Request { head, body };
    let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return None;
    }
    while request.body.len() < length {
        if socket.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

/// Passes a request on, with `body` in place of its own, and returns the whole answer as bytes.
pub async fn forward(upstream: &str, request: &Request, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(upstream).await?;
    socket.write_all(&request.bytes(body)).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// An answer of the proxy's own.
pub fn answer(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Injected\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// The body of a `GET`; `None` where nobody answers 200.
pub async fn get(address: &str, path: &str) -> Option<String> {
    let ask = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = tokio::time::timeout(ANSWER, ask).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1) == Some("200")).then(|| body.to_owned())
}
