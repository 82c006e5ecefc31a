//! Messages in a stream: RFC 7011 §10.4.2, each tells its own length.

/// The stream holds something else than IPFIX messages. The begin of the next message cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has no IPFIX message where one should begin (version {version}, length {length})")]
pub(crate) struct NotIpfix {
    version: u16,
    length: u16,
}

const VERSION: u16 = 10;

/// A message is at least its header (RFC 7011 §3.1).
const HEADER_OCTETS: usize = 16;

/// What was read of a stream and not yet taken out of it: at most one message and what came in one call.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    octets: Vec<u8>,
    taken: usize,
}

impl Stream {
    /// Where to read more to. What was taken out is forgotten.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        self.octets.drain(..self.taken);
        self.taken = 0;
        &mut self.octets
    }

    /// Whether all that was read was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.octets.len()
    }

    /// The next whole message, if it is all there.
    ///
    /// # Errors
    /// [`NotIpfix`] when what follows is no message; the stream is of no use then.
    pub(crate) fn next_message(&mut self) -> Result<Option<&[u8]>, NotIpfix> {
        let rest = self.octets.get(self.taken..).unwrap_or(&[]);
        let Some(&[v0, v1, l0, l1]) = rest.first_chunk() else { return Ok(None) };
        let (version, length) = (u16::from_be_bytes([v0, v1]), u16::from_be_bytes([l0, l1]));
        if version != VERSION || usize::from(length) < HEADER_OCTETS {
            return Err(NotIpfix { version, length });
        }
        let Some(message) = rest.get(..usize::from(length)) else { return Ok(None) };
        self.taken += message.len();
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u16) -> Vec<u8> {
        let mut octets = vec![0; length.into()];
        octets[1] = 10;
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    }

    /// The lengths of all messages when the stream comes in pieces of `size` octets.
    fn lengths(stream: &[u8], size: usize) -> Vec<usize> {
        let (mut input, mut lengths) = (Stream::default(), Vec::new());
        for piece in stream.chunks(size) {
            input.tail().extend_from_slice(piece);
            while let Some(message) = input.next_message().unwrap() {
                lengths.push(message.len());
            }
        }
        lengths
    }

    #[test]
    fn several_messages_in_a_segment_and_a_message_over_several() {
        let stream = [message(16), message(1400), message(65_535), message(17)].concat();
        for size in [1, 7, 1448, stream.len()] {
            assert_eq!(lengths(&stream, size), [16, 1400, 65_535, 17], "in pieces of {size}");
        }
    }

    #[test]
    fn anything_else_ends_the_stream() {
        for (octets, version, length) in [([0, 9, 0, 20], 9, 20), ([0, 10, 0, 15], 10, 15), (*b"GET ", 0x4745, 0x5420)]
        {
            let mut input = Stream::default();
            input.tail().extend_from_slice(&octets);
            assert_eq!(input.next_message(), Err(NotIpfix { version, length }));
        }
    }
}
