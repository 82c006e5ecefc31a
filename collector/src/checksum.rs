//! The Internet checksum (RFC 1071) over headers and, with a pseudo header, over transport segments.

/// The addresses that TCP, UDP and ICMPv6 cover with their checksum.
#[derive(Debug, Clone, Copy)]
pub enum Pseudo {
    /// No IP header is around the segment: only ICMP of IPv4 has a checksum without addresses.
    None,
    /// Source and destination of the IPv4 header (RFC 9293 §3.1, RFC 768).
    Ipv4([u8; 4], [u8; 4]),
    /// Source and destination of the IPv6 header (RFC 8200 §8.1).
    Ipv6([u8; 16], [u8; 16]),
}

/// The checksum of `octets`, added to the sum of a pseudo header.
pub fn checksum(octets: &[u8], pseudo_sum: u32) -> u16 {
    let mut sum = pseudo_sum + words(octets);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Writes the checksum of the segment that begins at `start` to `at` octets behind it.
///
/// Nothing is written where there is no IP header around the segment. A UDP checksum that comes out as zero is
/// sent as all ones, since zero says that there is none (RFC 768).
pub fn seal_transport(out: &mut [u8], start: usize, at: usize, pseudo: Pseudo, protocol: u8) {
    const ICMP: u8 = 1;
    const UDP: u8 = 17;
    let segment = &out[start..];
    let length = segment.len() as u32;
    let pseudo_sum = match pseudo {
        Pseudo::Ipv4(src, dst) => words(&src) + words(&dst) + u32::from(protocol) + length,
        Pseudo::Ipv6(src, dst) => words(&src) + words(&dst) + u32::from(protocol) + length,
        Pseudo::None if protocol == ICMP => 0,
        Pseudo::None => return,
    };
    let sum = match checksum(segment, pseudo_sum) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    out[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of 16-bit words; at most 64 KiB of octets, so that it fits.
fn words(octets: &[u8]) -> u32 {
    let pairs = octets.chunks_exact(2);
    let odd = pairs.remainder().first().map_or(0, |&last| u32::from(last) << 8);
    pairs.fold(odd, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // RFC 1071 §3: 0001 f203 f4f5 f6f7 sum to ddf2 with the carries added.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
    }

    #[test]
    fn an_odd_octet_counts_as_the_upper_half_of_a_word() {
        assert_eq!(checksum(&[0x12], 0), !0x1200);
    }
}
