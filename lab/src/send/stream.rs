//! IPFIX over TCP (RFC 7011 §10.4): messages one after the other in a stream, as many in a segment as there are.
//!
//! The receiver takes as much as it can: a write waits for it, nothing is lost on the way. TLS is not spoken.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

/// Connects from `source` (port 0: any) to `target`.
pub fn connect(source: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.bind(&source.into())?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// Whether octets are one IPFIX message: in a stream, only its length tells where the next one begins.
pub fn is_message(octets: &[u8]) -> bool {
    matches!(octets, [0, 10, high, low, ..] if usize::from(u16::from_be_bytes([*high, *low])) == octets.len())
}

/// Writes messages. After an error, a message may be cut, and every further write fails as well.
pub fn write(stream: &mut TcpStream, messages: &[u8]) -> Result<(), Errno> {
    stream.write_all(messages).map_err(|error| error.raw_os_error().map_or(Errno::EPIPE, Errno::from_raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::{Burst, Failure, Sender};
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn messages_follow_each_other_from_the_source_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let mut sender = Sender::connect_tcp("127.7.7.7:0".parse().unwrap(), target).unwrap();
        let mut burst = Burst::default();
        burst.push(|out| out.extend([0, 10, 0, 5, 1]));
        burst.push(|out| out.extend([0, 10, 0, 6, 1, 2]));
        let mut failed = Vec::new();
        sender.send(&burst, &mut failed);
        let (mut accepted, from) = listener.accept().unwrap();
        drop(sender);
        let mut octets = Vec::new();
        accepted.read_to_end(&mut octets).unwrap();
        assert_eq!((from.ip().to_string().as_str(), failed.len()), ("127.7.7.7", 0));
        assert_eq!(octets, [0, 10, 0, 5, 1, 0, 10, 0, 6, 1, 2]);
    }

    #[test]
    fn what_a_closed_stream_did_not_take_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = Sender::connect_tcp("127.0.0.1:0".parse().unwrap(), listener.local_addr().unwrap()).unwrap();
        drop(listener.accept().unwrap());
        let mut burst = Burst::default();
        burst.push(|out| out.extend([0, 10, 0, 4]));
        let mut failed: Vec<(usize, Failure)> = Vec::new();
        // The first write after the end may still be taken by the kernel.
        while failed.is_empty() {
            sender.send(&burst, &mut failed);
        }
        assert_eq!(failed.len(), 1);
    }

    #[test]
    fn a_message_is_as_long_as_it_says() {
        assert!(is_message(&[0, 10, 0, 5, 1]));
        for other in [&[0, 10, 0, 4, 1][..], &[0, 10, 0, 6, 1], &[0, 9, 0, 5, 1], &[0, 10, 0], &[]] {
            assert!(!is_message(other), "{other:?}");
        }
    }
}
