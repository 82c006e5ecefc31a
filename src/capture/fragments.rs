//! IP fragments to whole packets, for datagrams bigger than the path's MTU.
//!
//! Fragments are joined as captured: the first one first, each continuing where the last one ended. That is how
//! hosts send them. Anything else (reordered, overlapping, lost) gives the datagram up, and its fragments are counted.

use std::net::IpAddr;

use super::Counts;
use super::ip::{Fragment, Ip};

/// Datagrams that are incomplete at the same time; the oldest is given up for one more.
const MAX_INCOMPLETE: usize = 64;

/// The longest payload that an IP packet can have.
const MAX_OCTETS: usize = 65_535;

/// Datagrams of which the last fragment is missing, oldest first.
#[derive(Debug, Default)]
pub struct Fragments {
    incomplete: Vec<Incomplete>,
}

#[derive(Debug)]
struct Incomplete {
    key: Key,
    octets: Vec<u8>,
    fragments: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
}

impl Fragments {
    /// Takes a fragment in and returns the payload of the packet that it completes.
    pub fn join(&mut self, ip: &Ip<'_>, fragment: Fragment, counts: &mut Counts) -> Option<Vec<u8>> {
        let key = Key { src: ip.src, dst: ip.dst, id: fragment.id };
        let at = self.incomplete.iter().position(|incomplete| incomplete.key == key);
        let mut incomplete = match at {
            Some(at) => self.incomplete.remove(at),
            None => Incomplete { key, octets: Vec::new(), fragments: 0 },
        };
        incomplete.fragments += 1;
        let continues = fragment.offset == incomplete.octets.len();
        if !continues || incomplete.octets.len() + ip.payload.len() > MAX_OCTETS {
            counts.fragments_lost += incomplete.fragments;
            return None;
        }
        incomplete.octets.extend_from_slice(ip.payload);
        if !fragment.more {
            counts.fragments_joined += incomplete.fragments;
            return Some(incomplete.octets);
        }
        if self.incomplete.len() == MAX_INCOMPLETE {
            counts.fragments_lost += self.incomplete.remove(0).fragments;
        }
        self.incomplete.push(incomplete);
        None
    }

    /// Gives up what is incomplete and returns how many fragments that were.
    pub fn abandon(&mut self) -> u64 {
        self.incomplete.drain(..).map(|incomplete| incomplete.fragments).sum()
    }
}
