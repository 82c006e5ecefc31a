//! IPFIX files (RFC 5655 §7): messages, one behind the other, as an exporter would send them over TCP.

use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddr};

use super::{Counts, Datagram, End};

/// A file begins with the version of its first message.
pub(super) const VERSION: [u8; 2] = [0, 10];

const HEADER_OCTETS: usize = 16;
const NS_PER_SEC: u64 = 1_000_000_000;

/// Nobody sent the messages: their exporter is the unspecified address.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Reads the next message as a datagram that arrived when it was exported; `None` at the end, of which `counts` then tell.
///
/// # Errors
/// When the input cannot be read.
pub(super) fn next_message(input: &mut dyn Read, counts: &mut Counts) -> io::Result<Option<Datagram>> {
    let mut payload = vec![0; HEADER_OCTETS];
    let read = fill(input, &mut payload)?;
    let &[v0, v1, l0, l1, e0, e1, e2, e3, ..] = payload.as_slice() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    counts.end = match read {
        0 => End::Whole,
        HEADER_OCTETS if [v0, v1] != VERSION || length < HEADER_OCTETS => End::Broken,
        HEADER_OCTETS => {
            payload.resize(length, 0);
            let behind = payload.get_mut(HEADER_OCTETS..).unwrap_or_default();
            if fill(input, behind)? == behind.len() {
                counts.packets += 1;
                counts.datagrams += 1;
                let export_secs = u64::from(u32::from_be_bytes([e0, e1, e2, e3]));
                let timestamp_ns = export_secs * NS_PER_SEC;
                return Ok(Some(Datagram { timestamp_ns, source: NOBODY, destination: NOBODY, payload }));
            }
            End::Cut
        }
        _ => End::Cut,
    };
    Ok(None)
}

/// Reads until `octets` are full or the input ends; returns how many came.
fn fill(input: &mut dyn Read, octets: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room @ [_, ..]) = octets.get_mut(filled..) {
        match input.read(room) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::Capture;
    use super::*;

    fn message(export_secs: u32, set: &[u8]) -> Vec<u8> {
        let length = (HEADER_OCTETS + set.len()) as u16;
        [&VERSION[..], &length.to_be_bytes(), &export_secs.to_be_bytes(), &[0; 8], set].concat()
    }

    fn read(octets: Vec<u8>) -> (Vec<Datagram>, Counts) {
        let mut capture = Capture::read("a file", io::Cursor::new(octets)).unwrap();
        let datagrams = capture.by_ref().map(Result::unwrap).collect();
        (datagrams, capture.counts())
    }

    #[test]
    fn messages_of_a_file_are_datagrams_of_the_time_when_they_were_exported() {
        let file = [message(1_700_000_000, &[1, 0, 0, 5, 7]), message(1_700_000_001, &[])].concat();
        let (datagrams, counts) = read(file);
        assert_eq!(datagrams.iter().map(|datagram| datagram.payload.len()).collect::<Vec<_>>(), [21, 16]);
        assert_eq!(datagrams[1].timestamp_ns, 1_700_000_001_000_000_000);
        assert_eq!((counts.datagrams, counts.end), (2, End::Whole));
    }

    #[test]
    fn a_file_that_breaks_off_or_is_broken_is_read_up_to_there() {
        let whole = message(1, &[1, 0, 0, 5, 7]);
        for cut in 1..whole.len() {
            let (datagrams, counts) = read([&whole[..], &whole[..cut]].concat());
            assert_eq!((datagrams.len(), counts.end), (1, End::Cut), "{cut}");
        }
        let (datagrams, counts) = read([&whole[..], &[0, 9], &[0; 20]].concat());
        assert_eq!((datagrams.len(), counts.end), (1, End::Broken));
    }
}
