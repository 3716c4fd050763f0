//! What is remembered about one credential's use: from which networks and with which agents, and what was said about it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::table::Stamped;
use crate::time::{EventTime, HOUR, MINUTE};

/// Places that are told apart; the one that was quiet longest gives way.
const PLACES_MAX: usize = 6;
/// A use after this much quiet is another sitting: somebody went home and came back.
const SITTING_QUIET: i64 = 30 * MINUTE;

/// Where a credential was longer ago than this is no comparison any more.
const PLACE_LIFETIME: i64 = 6 * HOUR;

/// A network: a /24 of IPv4, a /48 of IPv6, or a name that the record has in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Network {
    /// First three bytes.
    V4([u8; 3]),
    /// First six bytes.
    V6([u8; 6]),
}

impl Network {
    /// Whether two networks can be compared: a machine may have an IPv4 and an IPv6 address at once.
    pub const fn is_comparable(&self, other: &Self) -> bool {
        matches!((self, other), (Self::V4(_), Self::V4(_)) | (Self::V6(_), Self::V6(_)))
    }

    /// The network of an address; `None` where the record has a service's name.
    pub fn of(source_ip: &str) -> Option<Self> {
        match source_ip.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Some(Self::V4([a, b, c]))
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                Some(Self::V6([a, b, c, d, e, f]))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6([a, b, c, d, e, g]) => write!(f, "{a:x}{b:02x}:{c:x}{d:02x}:{e:x}{g:02x}::/48"),
        }
    }
}

/// Where and with what a credential was used, in one sitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The network.
    pub network: Network,
    /// Whether the calls came through a VPC endpoint.
    pub by_endpoint: bool,
    /// Hash of tool and operating system.
    pub agent: u64,
    /// Hash of the operating system alone.
    pub system: u64,
    /// Hash of region and plane that were called: each may be reached by a way of its own.
    pub scope: u64,
    /// Version of the metadata service that handed the credentials out; 0 where none did.
    pub delivery: u8,
    /// First call of the sitting.
    pub first: EventTime,
    /// Latest call of the sitting.
    pub last: EventTime,
}

/// A credential.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeyState {
    /// Where it was used, the latest last.
    pub places: Vec<Place>,
    /// Latest use.
    pub last: EventTime,
    /// The worst that `session-theft` has said, counted from 1; 0 where nothing.
    pub thefts_said: u8,
    /// The slot of time in which, of 256.
    pub theft_slot: u8,
    /// Calls outside of the perimeter, by reason: endpoint, region, TLS.
    pub outside: [u32; 3],
    /// Calls outside of the perimeter, whatever the reasons.
    pub outside_calls: u64,
    /// The slot of time in which each was said last.
    pub outside_said: [i64; 3],
}

impl KeyState {
    /// Notes a use, and gives back its place. Late uses count as if they had come in order.
    pub fn visit(&mut self, seen: Place) -> Place {
        self.last = self.last.max(seen.last);
        self.places.retain(|place| seen.last.since(place.last) <= PLACE_LIFETIME);
        let same = |place: &&mut Place| {
            (place.network, place.by_endpoint, place.agent, place.scope) == (seen.network, seen.by_endpoint, seen.agent, seen.scope)
                && place.delivery == seen.delivery
                && seen.first.since(place.last) <= SITTING_QUIET
                && place.first.since(seen.last) <= SITTING_QUIET
        };
        if let Some(place) = self.places.iter_mut().find(same) {
            place.first = place.first.min(seen.first);
            place.last = place.last.max(seen.last);
            return *place;
        }
        if self.places.len() >= PLACES_MAX {
            let oldest = (0..self.places.len()).min_by_key(|index| self.places[*index].last).unwrap_or(0);
            self.places.remove(oldest);
        }
        self.places.push(seen);
        seen
    }
}

impl Place {
    /// Whether the sittings overlap: one was used while the other was.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl Stamped for KeyState {
    fn last_used(&self) -> EventTime {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ip: &str, time: i64) -> Place {
        let time = EventTime::from_unix(time);
        Place {
            network: Network::of(ip).expect("an address"),
            by_endpoint: false,
            agent: 1,
            system: 1,
            scope: 1,
            delivery: 0,
            first: time,
            last: time,
        }
    }

    #[test]
    fn sittings_overlap_or_follow_each_other() {
        let mut key = KeyState::default();
        let home = key.visit(place("192.0.2.1", 0));
        let office = key.visit(place("198.51.100.1", 600));
        assert!(!home.overlaps(&office));
        assert!(key.visit(place("192.0.2.77", 900)).overlaps(&office), "the same /24 again, while the other was used");
        let evening = key.visit(place("192.0.2.1", 20_000));
        assert!(!evening.overlaps(&office) && key.places.len() == 3);
    }

    #[test]
    fn networks() {
        assert_eq!(Network::of("192.0.2.9"), Some(Network::V4([192, 0, 2])));
        assert_eq!(Network::of("::ffff:192.0.2.9"), Some(Network::V4([192, 0, 2])));
        assert_eq!(Network::of("2001:db8:1::9"), Some(Network::V6([0x20, 1, 0xd, 0xb8, 0, 1])));
        assert_eq!(Network::of("lambda.amazonaws.com"), None);
    }
}
