//! What a call shows of its context, as numbers that a baseline can remember.

use std::net::Ipv6Addr;

use xxhash_rust::xxh3::xxh3_64;

use crate::baseline::Sight;
use crate::observation::Call;

/// The network (/24 or /48; the text where it is no address), region, model and client of a call.
pub fn sight(call: &Call) -> Sight {
    let invocation = &call.invocation;
    let model = invocation.model.as_ref().map_or("", |model| &model.id);
    let mut sight = Sight::of(["", &invocation.region, model, ""]);
    sight.values[0] = hashed(network(&invocation.source_ip).as_bytes());
    sight.values[3] = if invocation.user_agent.text.is_empty() { 0 } else { ((invocation.user_agent.tool_hash >> 40) as u32).max(1) };
    sight
}

/// The network that an address belongs to, in words: `198.51.100.0/24`, `2001:db8:1::/48`; what is no address stays as it
/// is.
pub fn spoken_network(address: &str) -> String {
    match network(address) {
        Network::Six(bytes) => {
            let [a, b, c, d, e, f] = bytes;
            let group = |high: u8, low: u8| u16::from(high) << 8 | u16::from(low);
            let prefix = Ipv6Addr::new(group(a, b), group(c, d), group(e, f), 0, 0, 0, 0, 0);
            format!("{prefix}/48")
        }
        Network::Four(prefix) => format!("{prefix}.0/24"),
        Network::Text(text) => text.to_owned(),
    }
}

enum Network<'a> {
    Six([u8; 6]),
    Four(&'a str),
    Text(&'a str),
}

impl Network<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Six(bytes) => bytes,
            Self::Four(text) | Self::Text(text) => text.as_bytes(),
        }
    }
}

fn network(address: &str) -> Network<'_> {
    let is_four = address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if let Some(last) = address.rfind('.').filter(|_| is_four) {
        return Network::Four(&address[..last]);
    }
    if let Ok(six) = address.parse::<Ipv6Addr>() {
        let [a, b, c, d, e, f, ..] = six.octets();
        return Network::Six([a, b, c, d, e, f]);
    }
    Network::Text(address)
}

fn hashed(bytes: &[u8]) -> u32 {
    if bytes.is_empty() { 0 } else { ((xxh3_64(bytes) >> 40) as u32).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_their_first_parts() {
        let network = |address: &str| hashed(network(address).as_bytes());
        assert_eq!(network("198.51.100.7"), network("198.51.100.250"));
        assert_ne!(network("198.51.100.7"), network("198.51.101.7"));
        assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:ffff::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_ne!(network("bedrock.amazonaws.com"), network("lambda.amazonaws.com"));
        assert_eq!(network(""), 0);
    }

    #[test]
    fn networks_have_names() {
        assert_eq!(spoken_network("198.51.100.7"), "198.51.100.0/24");
        assert_eq!(spoken_network("2001:db8:1:2::3"), "2001:db8:1::/48");
        assert_eq!(spoken_network("bedrock.amazonaws.com"), "bedrock.amazonaws.com");
    }
}
