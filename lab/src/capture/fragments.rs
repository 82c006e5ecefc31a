//! IP fragments to whole packets, for datagrams bigger than the path's MTU.
//!
//! Fragments are joined in whatever order they were captured. Of those that contradict each other the later ones count:
//! hosts use the numbers of their packets again and again. Datagrams that are never completed are given up and counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Counts;
use super::ip::{Fragment, Ip};

/// Datagrams that are incomplete at the same time; the oldest is given up for one more.
const MAX_INCOMPLETE: usize = 64;

/// The longest payload that an IP packet can have.
const MAX_OCTETS: usize = 65_535;

/// Datagrams of which fragments are missing, the one that got none for longest first.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    incomplete: Vec<Incomplete>,
}

#[derive(Debug)]
struct Incomplete {
    key: Key,
    /// By their offset.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Octets of all pieces.
    octets: usize,
    /// Where the last fragment ends, once it is there.
    end: Option<usize>,
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
    pub(super) fn join(&mut self, ip: &Ip<'_>, fragment: Fragment, counts: &mut Counts) -> Option<Vec<u8>> {
        let key = Key { src: ip.src, dst: ip.dst, id: fragment.id };
        let at = self.incomplete.iter().position(|incomplete| incomplete.key == key);
        let mut incomplete = at.map_or_else(|| Incomplete::new(key), |at| self.incomplete.remove(at));
        if !incomplete.add(fragment, ip.payload) {
            counts.fragments_lost += incomplete.fragments;
            incomplete = Incomplete::new(key);
            if !incomplete.add(fragment, ip.payload) {
                counts.fragments_lost += 1;
                return None;
            }
        }
        if let Some(whole) = incomplete.whole() {
            counts.fragments_joined += incomplete.fragments;
            return Some(whole);
        }
        if self.incomplete.len() == MAX_INCOMPLETE {
            counts.fragments_lost += self.incomplete.remove(0).fragments;
        }
        self.incomplete.push(incomplete);
        None
    }

    /// Gives up what is incomplete and returns how many fragments that were.
    pub(super) fn abandon(&mut self) -> u64 {
        self.incomplete.drain(..).map(|incomplete| incomplete.fragments).sum()
    }
}

impl Incomplete {
    fn new(key: Key) -> Self {
        Self { key, pieces: BTreeMap::new(), octets: 0, end: None, fragments: 0 }
    }

    /// Takes a fragment in, unless it contradicts those that are there. A fragment that was captured twice is no contradiction.
    fn add(&mut self, fragment: Fragment, payload: &[u8]) -> bool {
        let end = fragment.offset + payload.len();
        let ends_elsewhere = !fragment.more && self.end.is_some_and(|known| known != end);
        let known = self.pieces.get(&fragment.offset);
        if end > MAX_OCTETS || ends_elsewhere || known.is_some_and(|piece| piece != payload) {
            return false;
        }
        self.fragments += 1;
        if known.is_none() {
            self.octets += payload.len();
            self.pieces.insert(fragment.offset, payload.to_vec());
        }
        if !fragment.more {
            self.end = Some(end);
        }
        true
    }

    /// The payload, if it is all there.
    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end.filter(|&end| end == self.octets)?;
        let mut whole = Vec::with_capacity(end);
        for (&offset, piece) in &self.pieces {
            if offset != whole.len() {
                return None;
            }
            whole.extend_from_slice(piece);
        }
        Some(whole)
    }
}
