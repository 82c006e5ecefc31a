//! Values as people write them, read as what a column can hold.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use helios_common::columns::{Column, ColumnKind, DST_COUNTRY, PROTO, SRC_COUNTRY, TCP_FLAGS};
use helios_common::exporter::{Address, address_of};

use crate::filter::{Pattern, Wanted};
use crate::protocols;
use crate::vocabulary::Operand;

/// Letters of the TCP control bits (RFC 9293 §3.1, ECN of RFC 3168), as nfdump writes them.
const TCP_FLAG_LETTERS: &[(char, u64)] = &[
    ('F', 0x01),
    ('S', 0x02),
    ('R', 0x04),
    ('P', 0x08),
    ('A', 0x10),
    ('U', 0x20),
    ('E', 0x40),
    ('W', 0x80),
    ('C', 0x80),
];

/// Reads all `texts` as values of `operand`.
///
/// # Errors
/// The place in `texts` of the first that is none, and what it should be.
pub(crate) fn read(operand: Operand, texts: &[&str]) -> Result<Wanted, (usize, String)> {
    let Operand::Column(column) = operand else { return numbers(texts, u64::MAX, number) };
    let kind = column.spec().kind;
    match kind {
        ColumnKind::U8 if column == PROTO.column() => numbers(texts, u8::MAX.into(), protocol),
        ColumnKind::U16 if column == TCP_FLAGS.column() => flags(texts),
        ColumnKind::U8 => numbers(texts, u8::MAX.into(), number),
        ColumnKind::U16 => numbers(texts, u16::MAX.into(), number),
        ColumnKind::U32 if is_as(column) => numbers(texts, u32::MAX.into(), as_number),
        ColumnKind::U32 => numbers(texts, u32::MAX.into(), number),
        ColumnKind::U64 => numbers(texts, u64::MAX, number),
        ColumnKind::Mac => each(texts, mac).map(Wanted::Numbers),
        ColumnKind::Enum(labels) => each(texts, |text| label(labels, text)).map(Wanted::Numbers),
        ColumnKind::Address => each(texts, addresses).map(Wanted::Addresses),
        ColumnKind::Name => Ok(Wanted::Names(texts.iter().map(|text| name(column, text)).collect())),
        ColumnKind::U32List => each(texts, list_item).map(Wanted::Holds),
        ColumnKind::U128List => each(texts, large_community).map(Wanted::Holds),
        ColumnKind::Time => {
            let name = column.spec().name;
            Err((0, format!("{name} is no field of a filter: choose the time with --last, --from and --to")))
        }
    }
}

fn each<T>(texts: &[&str], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, (usize, String)> {
    texts.iter().enumerate().map(|(at, text)| read(text).map_err(|message| (at, message))).collect()
}

/// Numbers and ranges of them, `1024-65535`.
fn numbers(texts: &[&str], max: u64, one: fn(&str) -> Result<u64, String>) -> Result<Wanted, (usize, String)> {
    let bounded = |text: &str| match one(text)? {
        value if value > max => Err(format!("must be from 0 to {max}, found {text}")),
        value => Ok(value),
    };
    let range = |text: &str| match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (bounded(first)?, bounded(last)?);
            if first > last { Err(format!("the range {text} ends before it begins")) } else { Ok(first..=last) }
        }
        None => bounded(text).map(|value| value..=value),
    };
    each(texts, range).map(Wanted::Numbers)
}

/// `10`, `10k`, `1.5M`: prefixes are decimal, as rates are.
fn number(text: &str) -> Result<u64, String> {
    const PREFIXES: &[(char, u64)] = &[('k', 1_000), ('m', 1_000_000), ('g', 1_000_000_000), ('t', 1_000_000_000_000)];
    let wrong = || format!("{text} is no number; write 10, 10k, 1.5M or a range such as 1024-65535");
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return u64::from_str_radix(hexadecimal, 16).map_err(|_| wrong());
    }
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = match PREFIXES.iter().find(|(letter, _)| lower.ends_with(*letter)) {
        Some((letter, factor)) => (lower.trim_end_matches(*letter), *factor),
        None => (lower.as_str(), 1),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || digits.ends_with('.') || fraction.len() > 12
    {
        return Err(wrong());
    }
    let places = 10_u128.pow(fraction.len() as u32);
    let all: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let value = all.checked_mul(factor.into()).ok_or_else(wrong)?;
    if value % places != 0 {
        return Err(wrong());
    }
    u64::try_from(value / places).map_err(|_| wrong())
}

fn protocol(text: &str) -> Result<u64, String> {
    let named = protocols::number(text).map(u64::from);
    named.map_or_else(
        || text.parse().map_err(|_| format!("{text} is no IP protocol; write a name such as tcp or its number")),
        Ok,
    )
}

/// The columns of AS numbers take `AS64500` as well.
fn is_as(column: Column) -> bool {
    column.spec().name.ends_with("_as")
}

fn as_number(text: &str) -> Result<u64, String> {
    let digits = match text.get(..2) {
        Some(letters) if letters.eq_ignore_ascii_case("as") => text.get(2..).unwrap_or_default(),
        _ => text,
    };
    // ASDOT (RFC 5396): the upper and the lower 16 bits.
    let half = |text: &str| text.parse::<u16>().map(u64::from);
    let value = match digits.split_once('.') {
        Some((upper, lower)) => half(upper).and_then(|upper| half(lower).map(|lower| upper << 16 | lower)),
        None => digits.parse(),
    };
    value.map_err(|_| format!("{text} is no AS number; write 64500 or AS64500"))
}

/// All of the letters' bits; or exactly a number, as nfdump does.
fn flags(texts: &[&str]) -> Result<Wanted, (usize, String)> {
    let letter =
        |c: char| TCP_FLAG_LETTERS.iter().find(|(letter, _)| letter.eq_ignore_ascii_case(&c)).map(|(_, bit)| *bit);
    let one = |text: &str| {
        let bits: Option<u64> = text.chars().map(letter).try_fold(0, |bits, bit| Some(bits | bit?));
        bits.filter(|bits| *bits != 0)
            .ok_or_else(|| format!("{text} names no TCP flags; write letters of FSRPAUEC, such as SA, or a number"))
    };
    match each(texts, one) {
        Ok(all) => Ok(Wanted::Bits(all.into_iter().fold(0, |bits, more| bits | more))),
        Err(error) => numbers(texts, u16::MAX.into(), number).map_err(|_| error),
    }
}

fn mac(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("{text} is no MAC address; write 00:12:34:56:78:9a");
    let digits: String = text.chars().filter(|c| !":-.".contains(*c)).collect();
    if digits.len() != 12 || !digits.is_ascii() {
        return Err(wrong());
    }
    u64::from_str_radix(&digits, 16).map(|mac| mac..=mac).map_err(|_| wrong())
}

fn label(labels: &[(u8, &str)], text: &str) -> Result<RangeInclusive<u64>, String> {
    let found = labels.iter().find(|(_, label)| label.eq_ignore_ascii_case(text));
    let known = || labels.iter().map(|(_, label)| *label).collect::<Vec<_>>().join(", ");
    found
        .map(|(value, _)| u64::from(*value)..=u64::from(*value))
        .ok_or_else(|| format!("must be one of {}, found {text}", known()))
}

/// An address, a prefix, or a range of addresses `10.0.0.1-10.0.0.9`.
fn addresses(text: &str) -> Result<RangeInclusive<Address>, String> {
    let wrong = || format!("{text} is no address or prefix; write 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32");
    let ip = |text: &str| text.parse::<IpAddr>().map_err(|_| wrong());
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (address_of(ip(first)?), address_of(ip(last)?));
        return if first > last { Err(format!("the range {text} ends before it begins")) } else { Ok(first..=last) };
    }
    let Some((network, length)) = text.split_once('/') else {
        let address = address_of(ip(text)?);
        return Ok(address..=address);
    };
    let network = ip(network)?;
    let (bits, offset) = if network.is_ipv4() { (32, 96) } else { (128, 0) };
    let length: u32 = length.parse().map_err(|_| wrong())?;
    if length > bits {
        return Err(format!("the prefix length must be from 0 to {bits}, found {length}"));
    }
    let hosts = u128::MAX.checked_shr(length + offset).unwrap_or(0);
    let address = u128::from_be_bytes(address_of(network));
    // Bits behind the prefix are nobody's mistake: 10.1.2.3/8 means 10.0.0.0/8, as it does for nfdump.
    Ok((address & !hosts).to_be_bytes()..=(address | hosts).to_be_bytes())
}

/// Countries are capital letters (ISO 3166-1); all other names are as they are.
fn name(column: Column, text: &str) -> Pattern {
    let country = column == SRC_COUNTRY.column() || column == DST_COUNTRY.column();
    Pattern(if country { text.to_ascii_uppercase() } else { text.to_owned() })
}

/// A label, an AS number, or a community `64500:100` (RFC 1997).
fn list_item(text: &str) -> Result<u128, String> {
    match text.split_once(':') {
        Some((upper, lower)) => {
            let half = |text: &str| text.parse::<u16>().ok();
            let halves = half(upper).zip(half(lower));
            halves
                .map(|(upper, lower)| u128::from(upper) << 16 | u128::from(lower))
                .ok_or_else(|| format!("{text} is no community; write 64500:100"))
        }
        None => as_number(text)
            .ok()
            .filter(|value| *value <= u32::MAX.into())
            .map(u128::from)
            .ok_or_else(|| format!("{text} is no number from 0 to {}", u32::MAX)),
    }
}

/// `64500:1:2` (RFC 8092).
fn large_community(text: &str) -> Result<u128, String> {
    let parts: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([global, first, second]) => Ok(u128::from(*global) << 64 | u128::from(*first) << 32 | u128::from(*second)),
        _ => Err(format!("{text} is no large community; write 64500:1:2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_decimal_prefixes() {
        for (text, value) in
            [("0", 0), ("443", 443), ("10k", 10_000), ("1.5M", 1_500_000), ("2G", 2_000_000_000), ("0x1b", 27)]
        {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for text in ["", "k", "1.", ".5", "1,5", "-1", "1.0001k1", "0.0001", "99999999999999999999", "1e3"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_the_range_of_its_addresses() {
        let range = |text| {
            let range = addresses(text).unwrap();
            [range.start(), range.end()].map(|address| helios_common::exporter::ip_of(*address).to_string())
        };
        assert_eq!(range("10.1.2.3/8"), ["10.0.0.0", "10.255.255.255"]);
        assert_eq!(range("0.0.0.0/0"), ["0.0.0.0", "255.255.255.255"]);
        assert_eq!(range("192.0.2.1/32"), ["192.0.2.1", "192.0.2.1"]);
        assert_eq!(range("2001:db8::/32"), ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"]);
        assert_eq!(range("10.0.0.1-10.0.0.9"), ["10.0.0.1", "10.0.0.9"]);
        for text in ["10.0.0.0/33", "::/129", "10.0.0", "10.0.0.9-10.0.0.1", "fra"] {
            assert!(addresses(text).is_err(), "{text}");
        }
        // `::/0` is every address, the mapped ones as well.
        assert_eq!(addresses("::/0"), Ok([0; 16]..=[255; 16]));
    }

    #[test]
    fn as_numbers_are_plain_or_dotted() {
        assert_eq!(as_number("AS64500"), Ok(64_500));
        assert_eq!(as_number("1.10"), Ok(65_546));
        assert!(as_number("AS").is_err() && as_number("1.70000").is_err());
    }

    #[test]
    fn communities_are_read_as_their_rfc_writes_them() {
        assert_eq!(list_item("64500:100"), Ok(64_500 << 16 | 100));
        assert_eq!(large_community("64500:1:2"), Ok(64_500 << 64 | 1 << 32 | 2));
        assert!(list_item("70000:1").is_err() && large_community("1:2").is_err());
    }

    #[test]
    fn flags_are_letters() {
        assert_eq!(flags(&["SA"]), Ok(Wanted::Bits(0x12)));
        assert_eq!(flags(&["0x12"]), Ok(Wanted::Numbers(vec![0x12..=0x12])));
        assert!(flags(&["X"]).is_err());
    }
}
