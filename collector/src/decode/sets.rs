//! The walk over the sets of a NetFlow v9 or IPFIX message.
//!
//! ```text
//!  NetFlow v9 header, 20 octets (RFC 3954 §5.1)      IPFIX header, 16 octets (RFC 7011 §3.1)
//!   0  version = 9         2  count                   0  version = 10        2  length
//!   4  sysUptime, ms       8  unix_secs               4  export time, s
//!  12  sequence           16  source id               8  sequence           12  observation domain id
//!
//!  Set: 0 set id, 2 length (header included), 4 records and padding
//! ```
//!
//! v9's count counts records and is often wrong: the walk goes by length.

use super::DecodeError;
use super::cursor::Cursor;
use super::plan::Clock;
use super::template::{Form, MIN_DATA_SET_ID};

const SET_HEADER_OCTETS: usize = 4;

/// The header of a message, as far as both versions have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub export_ms: i64,
    /// NetFlow v9 only.
    pub sys_uptime_ms: Option<u32>,
    /// v9: messages sent before; IPFIX: data records sent before.
    pub sequence: u32,
    pub domain: u32,
}

impl Header {
    /// Reads a v9 header; the sets are what the cursor has left.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] for fewer than 20 octets.
    pub(super) fn parse_netflow9(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        cursor.skip(4)?;
        let sys_uptime_ms = Some(cursor.u32()?);
        let export_ms = i64::from(cursor.u32()?) * 1000;
        Ok(Self { export_ms, sys_uptime_ms, sequence: cursor.u32()?, domain: cursor.u32()? })
    }

    /// Reads an IPFIX header; the cursor stands in front of the first set then. Returns the octets that the datagram
    /// holds behind the end that the message's length gives it; less than none where that end is behind the datagram.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] for fewer than 16 octets, [`DecodeError::BadLength`] for a length below the header
    /// (RFC 7011 §9.1: such messages are discarded).
    pub(super) fn parse_ipfix(cursor: &mut Cursor<'_>) -> Result<(Self, isize), DecodeError> {
        let whole = cursor.remaining();
        cursor.skip(2)?;
        let length = usize::from(cursor.u16()?);
        let export_ms = i64::from(cursor.u32()?) * 1000;
        let header = Self { export_ms, sys_uptime_ms: None, sequence: cursor.u32()?, domain: cursor.u32()? };
        let header_octets = whole - cursor.remaining();
        if length < header_octets {
            return Err(DecodeError::BadLength);
        }
        Ok((header, whole as isize - length as isize))
    }

    /// `system_init_ms` is when the device booted, for IPFIX exporters that send sysUptime fields.
    pub(super) fn clock(&self, system_init_ms: Option<i64>) -> Clock {
        let export_ms = self.export_ms;
        let uptime_ms = self.sys_uptime_ms.or_else(|| system_init_ms.map(|init| (export_ms - init) as u32));
        Clock::new(export_ms, uptime_ms)
    }
}

/// A set of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set<'a> {
    /// Definitions of data or options templates.
    Templates(Form, &'a [u8]),
    /// Records of the template with this id.
    Data(u16, &'a [u8]),
    /// Reserved set ids: skipped (RFC 7011 §3.3.2).
    Reserved,
}

/// The sets of a message, one after the other.
///
/// The lengths of an IPFIX message, of its last set and of the datagram may contradict each other: a message whose length ends
/// inside its last set, which the datagram holds as a whole, is read to the end of that set, and one whose length ends
/// behind the datagram to the datagram's end. A set is read if it begins before the message's end and ends inside the
/// datagram.
#[derive(Debug, Clone)]
pub(super) struct Sets<'a> {
    ipfix: bool,
    rest: Cursor<'a>,
    /// Octets of `rest` that lie behind the end that the message's own length gives it.
    behind: usize,
    /// Whether a set ended behind the end of its message, or the message behind the datagram.
    pub contradict: bool,
}

impl<'a> Sets<'a> {
    /// The sets that `rest` begins with. `behind` octets of it are behind the message's own end.
    pub(super) const fn new(ipfix: bool, rest: Cursor<'a>, behind: isize) -> Self {
        let contradict = behind < 0;
        Self { ipfix, rest, behind: if contradict { 0 } else { behind as usize }, contradict }
    }

    /// The next set; `None` at the end of the message.
    ///
    /// Zeros behind the last set are padding that some devices add (Cisco ACI fills its datagrams).
    ///
    /// # Errors
    /// [`DecodeError::BadLength`] when a set's length is below its header or beyond the datagram: nothing tells where the
    /// next set begins. The sets before it are whole.
    pub(super) fn next_set(&mut self) -> Result<Option<Set<'a>>, DecodeError> {
        let message = &mut self.rest;
        let rest = message.rest();
        let left = rest.len().saturating_sub(self.behind);
        if left < SET_HEADER_OCTETS {
            return Ok(None);
        }
        let (id, length) = (message.u16()?, usize::from(message.u16()?));
        if id == 0 && length == 0 && rest.iter().all(|&octet| octet == 0) {
            message.skip(message.remaining())?;
            return Ok(None);
        }
        let body = length.checked_sub(SET_HEADER_OCTETS).ok_or(DecodeError::BadLength)?;
        let body = message.take(body).map_err(|_| DecodeError::BadLength)?;
        self.contradict |= length > left;
        Ok(Some(match (self.ipfix, id) {
            (false, 0) => Set::Templates(Form::Netflow9, body),
            (false, 1) => Set::Templates(Form::Netflow9Options, body),
            (true, 2) => Set::Templates(Form::Ipfix, body),
            (true, 3) => Set::Templates(Form::IpfixOptions, body),
            (_, MIN_DATA_SET_ID..) => Set::Data(id, body),
            _ => Set::Reserved,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(ipfix: bool, octets: &[u8]) -> Sets<'_> {
        Sets::new(ipfix, Cursor::new(octets), 0)
    }

    #[test]
    fn zeros_behind_the_last_set_are_padding() {
        let mut message = sets(false, &[0x01, 0x00, 0, 5, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message.next_set(), Ok(Some(Set::Data(256, &[7]))));
        assert_eq!(message.next_set(), Ok(None));
    }

    #[test]
    fn a_set_longer_than_the_message_or_shorter_than_its_header_is_refused() {
        assert_eq!(sets(true, &[1, 0, 0, 9, 0]).next_set(), Err(DecodeError::BadLength));
        assert_eq!(sets(true, &[1, 0, 0, 3, 0]).next_set(), Err(DecodeError::BadLength));
    }

    #[test]
    fn reserved_set_ids_are_skipped() {
        let mut message = sets(true, &[0, 4, 0, 5, 7, 1, 0, 0, 4]);
        assert_eq!(message.next_set(), Ok(Some(Set::Reserved)));
        assert_eq!(message.next_set(), Ok(Some(Set::Data(256, &[]))));
    }

    #[test]
    fn an_ipfix_length_beyond_the_datagram_contradicts_it_and_one_below_the_header_is_refused() {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0, 10, 0, 17]);
        assert_eq!(Header::parse_ipfix(&mut Cursor::new(&octets)).unwrap().1, -1);
        assert!(Sets::new(true, Cursor::new(&[]), -1).contradict);
        octets[3] = 15;
        assert_eq!(Header::parse_ipfix(&mut Cursor::new(&octets)).unwrap_err(), DecodeError::BadLength);
    }

    /// RFC 7011 §3.1: the length is that of the message with all of its sets.
    #[test]
    fn a_set_may_end_behind_a_message_that_is_too_short_for_it_but_not_begin_there() {
        let octets = [1, 0, 0, 6, 7, 8, 1, 0, 0, 5, 9];
        for behind in [5, 6, 7] {
            let mut message = Sets::new(true, Cursor::new(&octets), behind);
            assert_eq!(message.next_set(), Ok(Some(Set::Data(256, &[7, 8]))), "{behind} octets behind");
            assert_eq!(message.contradict, behind > 5);
            assert_eq!(message.next_set(), Ok(None));
        }
        assert_eq!(Sets::new(true, Cursor::new(&octets), 8).next_set(), Ok(None), "the set has no header");
    }
}
