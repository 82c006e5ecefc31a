//! Messages of SNMPv2c in BER (RFC 3417 §8, X.690): what an agent reads and writes.

/// Sub-identifiers of an OID that are taken (RFC 3416 §4.1 has 128).
const SUBIDS_MAX: usize = 128;

/// Variables of a request that are taken.
const VARIABLES_MAX: usize = 512;

/// An object identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Oid(pub Vec<u32>);

impl Oid {
    /// The OID with so many more sub-identifiers.
    pub(crate) fn child(&self, rest: &[u32]) -> Self {
        Self(self.0.iter().chain(rest).copied().collect())
    }

    /// Without the last sub-identifier.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

/// A value (RFC 3416 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Octets(Vec<u8>),
    Oid(Oid),
    IpAddress([u8; 4]),
    Counter32(u32),
    Gauge32(u32),
    /// Hundredths of a second.
    TimeTicks(u32),
    Counter64(u64),
    NoSuchObject,
    NoSuchInstance,
    EndOfMibView,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PduKind {
    Get,
    GetNext,
    Response,
    GetBulk,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pdu {
    pub kind: PduKind,
    pub id: i64,
    /// Error status; of GETBULK non-repeaters.
    pub first: i64,
    /// Error index; of GETBULK max-repetitions.
    pub second: i64,
    pub variables: Vec<(Oid, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub community: Vec<u8>,
    pub pdu: Pdu,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const IP_ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TIME_TICKS: u8 = 0x43;
const COUNTER64: u8 = 0x46;
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_MIB_VIEW: u8 = 0x82;

/// `version` of SNMPv2c (RFC 1901 §3).
const VERSION_2C: i64 = 1;

const KINDS: [(u8, PduKind); 4] =
    [(0xa0, PduKind::Get), (0xa1, PduKind::GetNext), (0xa2, PduKind::Response), (0xa5, PduKind::GetBulk)];

/// A reader of tags, lengths and values that never leaves its octets.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next element: tag and content.
    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let tag = *self.take(1)?.first()?;
        let length = match *self.take(1)?.first()? {
            short @ 0..=0x7f => usize::from(short),
            0x81 => usize::from(*self.take(1)?.first()?),
            0x82 => self.take(2)?.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
            0x83 => self.take(3)?.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
            // The indefinite form is not allowed (RFC 3417 §8), and no datagram is longer.
            _ => return None,
        };
        Some((tag, self.take(length)?))
    }

    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn integer(&mut self) -> Option<i64> {
        integer(self.content(INTEGER)?)
    }
}

fn integer(content: &[u8]) -> Option<i64> {
    if content.is_empty() || content.len() > 8 {
        return None;
    }
    let sign = if content[0] & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |number, octet| number << 8 | i64::from(*octet)))
}

fn oid(content: &[u8]) -> Option<Oid> {
    let mut subids: Vec<u32> = Vec::new();
    let mut subid: u32 = 0;
    for octet in content {
        subid = subid.checked_mul(128)? | u32::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            // The first one holds two.
            match subids.is_empty() {
                true => subids.extend([(subid / 40).min(2), subid - 40 * (subid / 40).min(2)]),
                false => subids.push(subid),
            }
            subid = 0;
        }
    }
    (content.last().is_some_and(|last| last & 0x80 == 0) && subids.len() <= SUBIDS_MAX).then_some(Oid(subids))
}

impl Message {
    /// Reads a message of version 2c; `None` for anything else.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut message = Reader(Reader(datagram).content(SEQUENCE)?);
        if message.integer()? != VERSION_2C {
            return None;
        }
        let community = message.content(OCTET_STRING)?.to_vec();
        let (tag, content) = message.element()?;
        let kind = KINDS.iter().find(|(known, _)| *known == tag)?.1;
        let mut pdu = Reader(content);
        let (id, first, second) = (pdu.integer()?, pdu.integer()?, pdu.integer()?);
        let mut list = Reader(pdu.content(SEQUENCE)?);
        let mut variables = Vec::new();
        while !list.0.is_empty() {
            let mut variable = Reader(list.content(SEQUENCE)?);
            let name = oid(variable.content(OBJECT_IDENTIFIER)?)?;
            let (tag, content) = variable.element()?;
            variables.push((name, value(tag, content)?));
            if variables.len() > VARIABLES_MAX {
                return None;
            }
        }
        Some(Self { community, pdu: Pdu { kind, id, first, second, variables } })
    }

    /// The octets of the message.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Pdu { kind, id, first, second, variables } = &self.pdu;
        let mut list = Vec::new();
        for (name, value) in variables {
            let mut variable = Vec::new();
            put(OBJECT_IDENTIFIER, &oid_octets(name), &mut variable);
            value.put(&mut variable);
            put(SEQUENCE, &variable, &mut list);
        }
        let mut pdu = Vec::new();
        for number in [*id, *first, *second] {
            put(INTEGER, &signed(number), &mut pdu);
        }
        put(SEQUENCE, &list, &mut pdu);
        let tag = KINDS.iter().find(|(_, known)| known == kind).map_or(0xa2, |(tag, _)| *tag);
        let mut message = Vec::new();
        put(INTEGER, &signed(VERSION_2C), &mut message);
        put(OCTET_STRING, &self.community, &mut message);
        put(tag, &pdu, &mut message);
        let mut out = Vec::new();
        put(SEQUENCE, &message, &mut out);
        out
    }
}

fn value(tag: u8, content: &[u8]) -> Option<Value> {
    let unsigned = || u64::try_from(integer(content)?).ok();
    let narrow = || u32::try_from(integer(content)?).ok();
    Some(match tag {
        NULL => Value::Null,
        INTEGER => Value::Integer(integer(content)?),
        OCTET_STRING => Value::Octets(content.to_vec()),
        OBJECT_IDENTIFIER => Value::Oid(oid(content)?),
        IP_ADDRESS => Value::IpAddress(content.try_into().ok()?),
        COUNTER32 => Value::Counter32(narrow()?),
        GAUGE32 => Value::Gauge32(narrow()?),
        TIME_TICKS => Value::TimeTicks(narrow()?),
        // Nine octets where the first bit is set, which the leading zero keeps from being a sign.
        COUNTER64 if content.len() == 9 => Value::Counter64(u64::from_be_bytes(content.get(1..)?.try_into().ok()?)),
        COUNTER64 => Value::Counter64(unsigned()?),
        NO_SUCH_OBJECT => Value::NoSuchObject,
        NO_SUCH_INSTANCE => Value::NoSuchInstance,
        END_OF_MIB_VIEW => Value::EndOfMibView,
        _ => return None,
    })
}

impl Value {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => put(NULL, &[], out),
            Self::Integer(number) => put(INTEGER, &signed(*number), out),
            Self::Octets(octets) => put(OCTET_STRING, octets, out),
            Self::Oid(oid) => put(OBJECT_IDENTIFIER, &oid_octets(oid), out),
            Self::IpAddress(octets) => put(IP_ADDRESS, octets, out),
            Self::Counter32(number) => put(COUNTER32, &unsigned(u64::from(*number)), out),
            Self::Gauge32(number) => put(GAUGE32, &unsigned(u64::from(*number)), out),
            Self::TimeTicks(number) => put(TIME_TICKS, &unsigned(u64::from(*number)), out),
            Self::Counter64(number) => put(COUNTER64, &unsigned(*number), out),
            Self::NoSuchObject => put(NO_SUCH_OBJECT, &[], out),
            Self::NoSuchInstance => put(NO_SUCH_INSTANCE, &[], out),
            Self::EndOfMibView => put(END_OF_MIB_VIEW, &[], out),
        }
    }
}

fn put(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let length = content.len();
    let octets = length.to_be_bytes();
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        0x100..=0xffff => out.extend([0x82, octets[6], octets[7]]),
        _ => out.extend([0x83, octets[5], octets[6], octets[7]]),
    }
    out.extend(content);
}

/// The shortest form in two's complement (X.690 §8.3).
fn signed(number: i64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let redundant = octets
        .windows(2)
        .take_while(|pair| (pair[0] == 0 && pair[1] & 0x80 == 0) || (pair[0] == 0xff && pair[1] & 0x80 != 0));
    octets[redundant.count()..].to_vec()
}

/// The same of a number that is never negative.
fn unsigned(number: u64) -> Vec<u8> {
    match i64::try_from(number) {
        Ok(number) => signed(number),
        Err(_) => [0].into_iter().chain(number.to_be_bytes()).collect(),
    }
}

fn oid_octets(Oid(subids): &Oid) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, rest) = match subids.as_slice() {
        [first, second, rest @ ..] => (first * 40 + second, rest),
        [first] => (first * 40, &[][..]),
        [] => (0, &[][..]),
    };
    for subid in std::iter::once(&first).chain(rest) {
        let groups = (1..=5).find(|groups| u64::from(*subid) >> (7 * groups) == 0).unwrap_or(5);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            out.push(((subid >> (7 * group)) & 0x7f) as u8 | more);
        }
    }
    out
}
