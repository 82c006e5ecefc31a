//! Which senders are exporters at all (`collector.allow`).

use helios_common::exporter::Address;
use helios_common::prefix::Prefix;

/// Addresses that are accepted: ranges that do not overlap, in order, so that a sender is looked up by bisection for each
/// datagram. Without any prefix, everybody is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow(Vec<(u128, u128)>);

impl Allow {
    /// Accepts the addresses of these prefixes. An IPv6 prefix accepts no IPv4 address, not even `::/0`.
    pub fn new(prefixes: &[Prefix]) -> Self {
        let mut ranges: Vec<_> = prefixes.iter().flat_map(|&prefix| ranges_of(prefix)).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether datagrams from this address are accepted.
    pub fn accepts(&self, address: Address) -> bool {
        let key = u128::from_be_bytes(address);
        let behind = self.0.partition_point(|&(first, _)| first <= key);
        self.0.is_empty() || behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|&(_, last)| key <= last)
    }
}

/// The addresses of a prefix; those of a short IPv6 prefix are on both sides of the mapped IPv4 addresses.
fn ranges_of(prefix: Prefix) -> Vec<(u128, u128)> {
    const IPV4: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);
    let (first, last) = (prefix.start(), prefix.last());
    if prefix.ipv4().is_some() || last < IPV4.0 || first > IPV4.1 {
        return vec![(first, last)];
    }
    vec![(first, IPV4.0 - 1), (IPV4.1 + 1, last)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::address_of;

    fn allow(prefixes: &[&str]) -> Allow {
        Allow::new(&prefixes.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn without_a_prefix_everybody_is_accepted() {
        assert!(Allow::default().accepts(address_of("192.0.2.1".parse().unwrap())));
    }

    /// Against the definition of a prefix, address by address.
    #[test]
    fn an_address_is_accepted_if_one_of_the_prefixes_holds_it() {
        let lists = [
            &["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"][..],
            &["0.0.0.0/0"],
            &["::/0"],
            &["2001:db8::/32", "10.0.0.0/9", "10.128.0.0/9"],
        ];
        let addresses = [
            "9.255.255.255",
            "10.0.0.0",
            "10.1.2.3",
            "10.127.255.255",
            "10.128.0.0",
            "10.255.255.255",
            "11.0.0.0",
            "192.0.2.0",
            "192.0.2.1",
            "192.0.2.2",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ];
        for list in lists {
            let prefixes: Vec<Prefix> = list.iter().map(|text| text.parse().unwrap()).collect();
            for address in addresses {
                let key = address_of(address.parse().unwrap());
                let expected = prefixes.iter().any(|prefix| prefix.holds(key));
                assert_eq!(allow(list).accepts(key), expected, "{address} in {list:?}");
            }
        }
    }
}
