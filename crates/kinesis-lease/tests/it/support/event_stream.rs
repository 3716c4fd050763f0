//! What `SubscribeToShard` sends: `application/vnd.amazon.eventstream`, put together by the book.

/// CRC-32 as in gzip, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend(name.as_bytes());
        block.push(7);
        block.extend((value.len() as u16).to_be_bytes());
        block.extend(value.as_bytes());
    }
    let mut message = Vec::new();
    message.extend((16 + block.len() as u32 + payload.len() as u32).to_be_bytes());
    message.extend((block.len() as u32).to_be_bytes());
    message.extend(crc32(&message).to_be_bytes());
    message.extend(block);
    message.extend(payload.as_bytes());
    message.extend(crc32(&message).to_be_bytes());
    message
}

/// What comes first.
pub fn initial_response() -> Vec<u8> {
    message(&[(":message-type", "event"), (":event-type", "initial-response"), (":content-type", "application/json")], "{}")
}

/// An event with this body.
pub fn event(json: &str) -> Vec<u8> {
    message(&[(":message-type", "event"), (":event-type", "SubscribeToShardEvent"), (":content-type", "application/json")], json)
}

/// An exception, which ends the stream.
pub fn exception(code: &str) -> Vec<u8> {
    let headers = [(":message-type", "exception"), (":exception-type", code), (":content-type", "application/json")];
    message(&headers, r#"{"message":"injected"}"#)
}
