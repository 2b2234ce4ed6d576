//! Who has which address: what a switch learns from the frames that it sees.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// How long an address is known that is not seen (IEEE 802.1D-2004, table 7-5).
const AGE: Duration = Duration::from_secs(300);
/// Addresses that one member can have, so that none can push out those of others. Frames
/// to any more of them go to all.
pub(super) const EACH: usize = 256;
/// Least time between two looks for addresses that are too old.
const SWEEP: Duration = Duration::from_secs(1);

/// Whether an address is one card's, rather than a group's.
pub(super) fn is_unicast(mac: &Mac) -> bool {
    let [first, ..] = mac;
    first & 1 == 0
}

/// The addresses of all members, each named by a number.
#[derive(Default)]
pub(super) struct Macs {
    known: HashMap<Mac, (u64, Instant)>,
    /// How many each member has.
    counts: HashMap<u64, usize>,
    swept: Option<Instant>,
}

impl Macs {
    /// A frame came from the address, of this member. The latest counts: a machine may
    /// have moved.
    pub(super) fn learn(&mut self, mac: Mac, member: u64, now: Instant) {
        if !is_unicast(&mac) {
            return;
        }
        if let Some((of, seen)) = self.known.get_mut(&mac)
            && *of == member
        {
            *seen = now;
            return;
        }
        if self.count(member) >= EACH {
            self.sweep(now);
        }
        if self.count(member) < EACH {
            if let Some((of, _)) = self.known.insert(mac, (member, now)) {
                self.uncount(of);
            }
            *self.counts.entry(member).or_default() += 1;
        }
    }

    /// Who has the address.
    pub(super) fn find(&self, mac: &Mac, now: Instant) -> Option<u64> {
        let (member, seen) = self.known.get(mac)?;
        (now.saturating_duration_since(*seen) < AGE).then_some(*member)
    }

    /// The member is gone.
    pub(super) fn forget(&mut self, member: u64) {
        self.known.retain(|_, (of, _)| *of != member);
        self.counts.remove(&member);
    }

    /// Forgets what is too old; seldom, as it takes a look at everything.
    fn sweep(&mut self, now: Instant) {
        let lately = |swept: Instant| now.saturating_duration_since(swept) < SWEEP;
        if self.swept.is_some_and(lately) {
            return;
        }
        self.swept = Some(now);
        self.known
            .retain(|_, (_, seen)| now.saturating_duration_since(*seen) < AGE);
        self.counts.clear();
        for (member, _) in self.known.values() {
            *self.counts.entry(*member).or_default() += 1;
        }
    }

    fn count(&self, member: u64) -> usize {
        self.counts.get(&member).copied().unwrap_or(0)
    }

    fn uncount(&mut self, member: u64) {
        if let Some(count) = self.counts.get_mut(&member) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: usize) -> Mac {
        let [.., a, b, c] = number.to_be_bytes();
        [0x52, 0x54, 0, a, b, c]
    }

    #[test]
    fn the_latest_place_of_an_address_counts_until_it_is_too_old() {
        let (mut macs, now) = (Macs::default(), Instant::now());
        macs.learn(mac(1), 1, now);
        assert_eq!(macs.find(&mac(1), now), Some(1));
        macs.learn(mac(1), 2, now);
        assert_eq!(macs.find(&mac(1), now), Some(2));
        assert_eq!((macs.count(1), macs.count(2)), (0, 1));
        assert_eq!(macs.find(&mac(1), now + AGE), None);
        macs.learn([0xFF; 6], 1, now);
        assert_eq!(macs.find(&[0xFF; 6], now), None);
        macs.forget(2);
        assert_eq!(macs.find(&mac(1), now), None);
    }

    #[test]
    fn one_member_takes_only_its_own_share() {
        let (mut macs, now) = (Macs::default(), Instant::now());
        macs.learn(mac(1 << 20), 2, now);
        for number in 0..100_000 {
            macs.learn(mac(number), 1, now);
        }
        assert_eq!(macs.known.len(), EACH + 1);
        assert_eq!(macs.find(&mac(1 << 20), now), Some(2));
        macs.learn(mac(99_999), 1, now + AGE);
        assert_eq!(macs.known.len(), 1);
        assert_eq!(macs.find(&mac(99_999), now + AGE), Some(1));
    }
}
