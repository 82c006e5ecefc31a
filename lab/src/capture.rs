//! Capture files: pcap, pcapng and IPFIX files to UDP datagrams, and datagrams to pcap.
//!
//! [`Capture`] iterates over the UDP datagrams of a file or of standard input, of a live `tcpdump -w -` too. What is
//! not UDP is skipped and counted; a capture that breaks off ends where it breaks off, and [`Counts::notes`] says
//! so. It does not decompress, does not verify checksums (captures of a sending host have none), and knows no more
//! of IP than it takes to find UDP: VLAN tags, IPv6 extension headers, fragments.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, tcpdump.org's list of link-layer header types.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::path::Path;

use helios_advice::counted;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{PcapError, create_reader};

mod blocks;
mod fragments;
mod ipfix_file;
mod ip;
mod link;
pub mod live;
pub mod writer;

use blocks::{Blocks, Packet};
use fragments::Fragments;
use ip::Ip;

pub use live::{Event, Live};
pub use writer::Writer;

/// Octets that are read at once: some hundred packets. More is not faster.
const BUFFER_OCTETS: usize = 256 << 10;

/// Octets of the longest packet. A file with a longer one is broken, and must not make the reader allocate so much.
const MAX_BLOCK_OCTETS: usize = 4 << 20;

/// A UDP datagram of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Since the Unix epoch.
    pub timestamp_ns: u64,
    /// From the IP and UDP headers; unspecified in a file of IPFIX messages, which has no headers.
    pub source: SocketAddr,
    /// From the IP and UDP headers, as `source`.
    pub destination: SocketAddr,
    /// UDP payload: one export message of NetFlow, IPFIX or sFlow.
    pub payload: Vec<u8>,
}

/// What a capture held, and what became of its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets of every kind, fragments counted one by one.
    pub packets: u64,
    /// Whole UDP datagrams, to whatever port.
    pub datagrams: u64,
    /// IP, but another protocol than UDP.
    pub not_udp: u64,
    /// Not IP, or headers that contradict each other.
    pub not_ip: u64,
    /// Of interfaces whose link type is not known here.
    pub other_link: u64,
    /// Fragments of datagrams that were completed.
    pub fragments_joined: u64,
    /// Fragments of datagrams that were never completed.
    pub fragments_lost: u64,
    /// Datagrams that are shorter than their headers say; they are counted in `datagrams`, too.
    pub cut_datagrams: u64,
    /// How the reading ended.
    pub end: End,
}

/// How a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// At the end of a packet, or not yet.
    #[default]
    Whole,
    /// In the middle of a packet.
    Cut,
    /// With octets that are no packet.
    Broken,
}

/// Why a capture cannot be read. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum CaptureError {
    #[error("cannot read capture {name}: {source}")]
    Io { name: String, source: io::Error },
    #[error(
        "capture {name} is empty: expected a pcap or pcapng file, as `tcpdump -w FILE udp` writes it, or an IPFIX file"
    )]
    Empty { name: String },
    #[error("capture {name} is compressed: decompress it first, e.g. `{tool} {name} | helios decode -`")]
    Compressed { name: String, tool: &'static str },
    #[error(
        "{name} is no capture: expected a pcap or pcapng file, as tcpdump -w and Wireshark write it, or an IPFIX file (RFC 5655)"
    )]
    NotACapture { name: String },
    #[error("cannot read on in capture {name} after {packets} packets: the device or pipe failed")]
    Interrupted { name: String, packets: u64 },
}

/// What a capture is read from.
enum Source {
    Packets(Box<dyn PcapReaderIterator + Send>),
    /// An IPFIX file.
    Messages(Box<dyn Read + Send>),
}

/// Reads the UDP datagrams of a capture, or the messages of an IPFIX file (RFC 5655).
pub struct Capture {
    name: String,
    reader: Source,
    blocks: Blocks,
    fragments: Fragments,
    counts: Counts,
    buffer_octets: usize,
    done: bool,
}

impl Capture {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::read("standard input", io::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| CaptureError::Io { name: name.clone(), source })?;
        Self::read(&name, file)
    }

    /// Reads from anything; `name` is for messages.
    ///
    /// # Errors
    /// When nothing can be read or it is no capture.
    pub fn read(name: &str, mut input: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let name = name.to_owned();
        let head = blocks::read_head(&mut input).map_err(|source| CaptureError::Io { name: name.clone(), source })?;
        let compressed = |tool| CaptureError::Compressed { name: name.clone(), tool };
        match head.as_slice() {
            [] => return Err(CaptureError::Empty { name }),
            [0x1f, 0x8b, ..] => return Err(compressed("gunzip -c")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(compressed("zstd -dc")),
            _ => {}
        }
        let reader = if head.starts_with(&ipfix_file::VERSION) {
            Source::Messages(Box::new(Cursor::new(head).chain(input)))
        } else {
            match create_reader(BUFFER_OCTETS, Cursor::new(head).chain(input)) {
                Ok(reader) => Source::Packets(reader),
                Err(_) => return Err(CaptureError::NotACapture { name }),
            }
        };
        Ok(Self {
            name,
            reader,
            blocks: Blocks::default(),
            fragments: Fragments::default(),
            counts: Counts::default(),
            buffer_octets: BUFFER_OCTETS,
            done: false,
        })
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads until the next datagram; `None` at the end.
    fn advance(&mut self) -> Result<Option<Datagram>, CaptureError> {
        loop {
            let reader = match &mut self.reader {
                Source::Packets(reader) => reader,
                Source::Messages(input) => {
                    let message = ipfix_file::next_message(input, &mut self.counts);
                    return message.map_err(|_| CaptureError::Interrupted {
                        name: self.name.clone(),
                        packets: self.counts.packets,
                    });
                }
            };
            let stop = match reader.next() {
                Ok((offset, block)) => {
                    let datagram = self
                        .blocks
                        .packet(&block)
                        .and_then(|packet| take(&packet, &mut self.fragments, &mut self.counts));
                    reader.consume(offset);
                    match datagram {
                        Some(datagram) => return Ok(Some(datagram)),
                        None => continue,
                    }
                }
                Err(error) => Stop::of(&error),
            };
            match stop {
                Stop::NeedsData => self.refill()?,
                Stop::NeedsRoom if self.grow() => self.refill()?,
                Stop::NeedsRoom | Stop::At(End::Broken) => return Ok(self.finish(End::Broken)),
                Stop::At(end) => return Ok(self.finish(end)),
            }
        }
    }

    fn refill(&mut self) -> Result<(), CaptureError> {
        let Source::Packets(reader) = &mut self.reader else { return Ok(()) };
        let interrupted = || CaptureError::Interrupted { name: self.name.clone(), packets: self.counts.packets };
        reader.refill().map_err(|_| interrupted())
    }

    fn grow(&mut self) -> bool {
        let Source::Packets(reader) = &mut self.reader else { return false };
        self.buffer_octets *= 2;
        self.buffer_octets <= MAX_BLOCK_OCTETS && reader.grow(self.buffer_octets)
    }

    fn finish(&mut self, end: End) -> Option<Datagram> {
        self.counts.end = end;
        self.counts.fragments_lost += self.fragments.abandon();
        None
    }
}

impl Iterator for Capture {
    type Item = Result<Datagram, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Why the reader does not give the next block.
enum Stop {
    NeedsData,
    NeedsRoom,
    At(End),
}

impl Stop {
    fn of(error: &PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Incomplete(_) => Self::NeedsData,
            PcapError::BufferTooSmall => Self::NeedsRoom,
            PcapError::Eof => Self::At(End::Whole),
            PcapError::UnexpectedEof => Self::At(End::Cut),
            _ => Self::At(End::Broken),
        }
    }
}

/// Finds the datagram that a packet is, or completes, and counts the packet.
fn take(packet: &Packet<'_>, fragments: &mut Fragments, counts: &mut Counts) -> Option<Datagram> {
    counts.packets += 1;
    let Some(link) = packet.link else {
        counts.other_link += 1;
        return None;
    };
    let Some(ip) = link.ip_packet(packet.octets).and_then(Ip::parse) else {
        counts.not_ip += 1;
        return None;
    };
    if ip.protocol != ip::UDP {
        counts.not_udp += 1;
        return None;
    }
    let joined;
    let payload = match ip.fragment {
        None => ip.payload,
        Some(fragment) => {
            joined = fragments.join(&ip, fragment, counts)?;
            &joined[..]
        }
    };
    let udp = ip.udp(payload);
    let Some(udp) = udp else {
        counts.not_ip += 1;
        return None;
    };
    counts.datagrams += 1;
    counts.cut_datagrams += u64::from(udp.cut);
    let payload = udp.payload.to_vec();
    Some(Datagram { timestamp_ns: packet.timestamp_ns, source: udp.source, destination: udp.destination, payload })
}

impl Counts {
    /// A sentence for each thing about the capture that a user should know.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |count: u64, what: &str, text: &str| {
            if count > 0 {
                notes.push(format!("{} {text}", counted(count, what)));
            }
        };
        note(self.other_link, "packet", "skipped: captured on a kind of interface that is not supported");
        note(self.fragments_lost, "IP fragment", "skipped: the other fragments of the datagram are missing");
        note(self.cut_datagrams, "datagram", "cut: capture with `tcpdump -s 0`");
        match self.end {
            End::Whole => {}
            End::Cut => notes.push(format!("the capture breaks off in the middle of packet {}", self.packets + 1)),
            End::Broken => {
                notes.push(format!("the capture is broken behind packet {}: the rest was not read", self.packets))
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests;
