//! How often an address may be wrong.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong logins that an address has in [`WINDOW`].
const WRONG_MAX: u32 = 10;
/// After it the count begins again.
const WINDOW: Duration = Duration::from_secs(300);
/// Addresses that are remembered; beyond it the one goes whose count began first.
const ADDRESSES_MAX: usize = 4_096;

/// Attempts of addresses that have not been right since.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_address: HashMap<IpAddr, (u32, Instant)>,
}

/// What is one guest: an address, or the network of 64 bits that a household or a machine has of IPv6.
pub(super) fn guest(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Attempts {
    /// Counts an attempt *before* it is looked at, so that a hundred at once are no more than ten.
    ///
    /// # Errors
    /// Too many: how long to wait.
    pub(super) fn begin(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = guest(address);
        if !self.by_address.contains_key(&address) && self.by_address.len() >= ADDRESSES_MAX {
            self.make_room(now);
        }
        let (count, since) = self.by_address.entry(address).or_insert((0, now));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        if *count >= WRONG_MAX {
            return Err(WINDOW - now.saturating_duration_since(*since));
        }
        *count += 1;
        Ok(())
    }

    /// It was right: it does not count, and others of the address still do.
    pub(super) fn was_right(&mut self, address: IpAddr) {
        if let Some((count, _)) = self.by_address.get_mut(&guest(address)) {
            *count = count.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.by_address.retain(|_, (_, since)| now.saturating_duration_since(*since) < WINDOW);
        if self.by_address.len() >= ADDRESSES_MAX
            && let Some(oldest) = self.by_address.iter().min_by_key(|(_, (_, since))| *since).map(|(address, _)| *address)
        {
            self.by_address.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn ten_wrong_ones_are_enough_for_five_minutes_and_right_ones_are_free() {
        let (mut attempts, start) = (Attempts::default(), moment());
        for _ in 0..100 {
            assert_eq!(attempts.begin(address(1), start), Ok(()));
            attempts.was_right(address(1));
        }
        for _ in 0..WRONG_MAX {
            assert_eq!(attempts.begin(address(1), start), Ok(()));
        }
        let later = start + Duration::from_secs(100);
        assert_eq!(attempts.begin(address(1), later), Err(Duration::from_secs(200)));
        assert_eq!(attempts.begin(address(2), later), Ok(()), "another address");
        assert_eq!(attempts.begin(address(1), start + WINDOW), Ok(()));
    }

    #[test]
    fn a_network_of_addresses_is_one_guest() {
        let of = |text: &str| guest(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
    }

    #[test]
    fn however_many_addresses_come_so_many_are_remembered() {
        let (mut attempts, start) = (Attempts::default(), moment());
        for n in 0..ADDRESSES_MAX as u32 * 2 {
            assert_eq!(attempts.begin(address(n), start + Duration::from_millis(u64::from(n))), Ok(()));
            assert!(attempts.by_address.len() <= ADDRESSES_MAX);
        }
        assert!(attempts.by_address.contains_key(&address(ADDRESSES_MAX as u32 * 2 - 1)), "the oldest goes");
    }
}
