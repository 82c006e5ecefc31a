//! Datagrams to flow rows: version dispatch, state per exporter, outcome of a message.

use std::net::SocketAddr;

use helios_common::time::UnixMs;

pub mod cursor;

/// What is known of a datagram besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct DatagramMeta {
    pub source: SocketAddr,
    /// Read from the clock once per receive call.
    pub received_at: UnixMs,
}

/// Why a message was discarded. A closed set: [`reason`](Self::reason) is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    #[error("the first octets belong to no version of NetFlow, IPFIX or sFlow that Helios decodes")]
    UnknownVersion,
    #[error("the message ends before a field that its header or a length promised")]
    Truncated,
    #[error("a length in the message contradicts another one")]
    BadLength,
    #[error("the header's record count does not fit the message")]
    BadCount,
    #[error("the message asks for more output than one datagram may have")]
    TooMuchOutput,
}

impl DecodeError {
    pub const ALL: [Self; 5] =
        [Self::UnknownVersion, Self::Truncated, Self::BadLength, Self::BadCount, Self::TooMuchOutput];

    /// The metric label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownVersion => "unknown_version",
            Self::Truncated => "truncated",
            Self::BadLength => "bad_length",
            Self::BadCount => "bad_count",
            Self::TooMuchOutput => "too_much_output",
        }
    }
}

/// Protocols, by the value of the `export_protocol` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    Netflow5 = 5,
    Netflow7 = 7,
    Netflow9 = 9,
    Ipfix = 10,
    Sflow5 = 15,
}

impl Protocol {
    pub const ALL: [Self; 5] = [Self::Netflow5, Self::Netflow7, Self::Netflow9, Self::Ipfix, Self::Sflow5];

    /// The label of the `export_protocol` column and of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netflow5 => "netflow5",
            Self::Netflow7 => "netflow7",
            Self::Netflow9 => "netflow9",
            Self::Ipfix => "ipfix",
            Self::Sflow5 => "sflow5",
        }
    }
}
