//! A network: leading bits of an address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::exporter::{Address, address_of, ip_of};

/// Bits in front of the IPv4 address in its mapped form.
const MAPPED_BITS: u8 = 96;

/// A network, held like every address: IPv4 mapped into IPv6, so `192.0.2.0/24` has 120 bits. Host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: Address,
    bits: u8,
}

impl Prefix {
    /// `::/0`.
    pub const ALL_IPV6: Self = Self { address: [0; 16], bits: 0 };

    /// The network of `ip` with `bits` of its own family; `None` if the family has fewer. Host bits are cleared.
    pub fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        let bits = match ip {
            IpAddr::V4(_) => bits.checked_add(MAPPED_BITS)?,
            IpAddr::V6(_) => bits,
        };
        let host_bits = 128_u32.checked_sub(bits.into())?;
        let network = u128::from_be_bytes(address_of(ip)) & !host_mask(host_bits);
        Some(Self { address: network.to_be_bytes(), bits })
    }

    /// Leading bits that count, of 128.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The first address, as a number.
    pub fn start(self) -> u128 {
        u128::from_be_bytes(self.address)
    }

    /// The last address, as a number.
    pub fn last(self) -> u128 {
        self.start() | host_mask(128 - u32::from(self.bits))
    }

    /// Network and bits as IPv4 counts them; `None` for a network that is not all IPv4.
    pub fn ipv4(self) -> Option<(u32, u8)> {
        let bits = self.bits.checked_sub(MAPPED_BITS)?;
        is_ipv4(self.start()).then_some((self.start() as u32, bits))
    }

    /// Whether the network holds an address of its own family: IPv6 networks hold no IPv4 addresses, not even `::/0`.
    pub fn holds(self, address: Address) -> bool {
        let key = u128::from_be_bytes(address);
        (self.start()..=self.last()).contains(&key) && is_ipv4(key) == self.ipv4().is_some()
    }
}

fn is_ipv4(key: u128) -> bool {
    key >> 32 == 0xffff
}

fn host_mask(host_bits: u32) -> u128 {
    1_u128.checked_shl(host_bits).map_or(u128::MAX, |beyond| beyond - 1)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ipv4() {
            Some((_, bits)) => write!(f, "{}/{bits}", ip_of(self.address)),
            None => write!(f, "{}/{}", Ipv6Addr::from(self.address), self.bits),
        }
    }
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: write it as 192.0.2.0/24 or 2001:db8::/32")]
pub struct NotAPrefix(String);

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let parse = || {
            let (ip, bits) = text.split_once('/')?;
            Self::new(ip.parse().ok()?, bits.parse().ok()?)
        };
        parse().ok_or_else(|| NotAPrefix(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_with_host_bits_cleared() {
        for (text, network) in [
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), network);
        }
    }

    #[test]
    fn what_is_no_network_is_said_to_be_none() {
        for text in ["192.0.2.0", "192.0.2.0/33", "2001:db8::/129", "192.0.2/24", "/24", ""] {
            assert_eq!(text.parse::<Prefix>(), Err(NotAPrefix(text.into())));
        }
    }

    #[test]
    fn families_do_not_hold_each_other() {
        let holds = |prefix: &str, ip: &str| prefix.parse::<Prefix>().unwrap().holds(address_of(ip.parse().unwrap()));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("::/0", "192.0.2.1"));
        assert!(!holds("0.0.0.0/0", "::1"));
    }
}
