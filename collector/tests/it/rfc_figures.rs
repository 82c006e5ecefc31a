//! The figures and examples of the RFCs, octet by octet: each is written down as it stands there and decoded. Then what
//! they say of integers of any width ([`reduced_size`]) and of counters and events ([`events`]).
//!
//! [`figure`] reads them: pairs of hexadecimal digits, with what the RFC calls them behind a `#`. Where an RFC leaves a
//! value open (an export time, an enterprise number), the test chooses one and its comment says which.

mod biflow;
mod events;
mod ipfix;
mod netflow5;
mod netflow9;
mod reduced_size;
mod structured;

/// The octets of a figure: pairs of hexadecimal digits; a `#` begins a comment.
fn figure(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::chars)
        .filter(|character| !character.is_whitespace())
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "half an octet");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// An IPFIX message of the figures of its sets, exported at the bench's moment, with the length that they have.
fn message(sets: &[&str]) -> Vec<u8> {
    message_in(0, sets)
}

/// The same of another observation domain.
fn message_in(domain: u32, sets: &[&str]) -> Vec<u8> {
    let mut message = figure("000a 0000 6553f100 00000000");
    message.extend(domain.to_be_bytes());
    sets.iter().for_each(|set| message.extend(figure(set)));
    let length = (message.len() as u16).to_be_bytes();
    message[2..4].copy_from_slice(&length);
    message
}

#[test]
fn figures_are_read_as_they_are_written() {
    assert_eq!(figure("000a 0098 # Version, Length\n\n  c0 00 02 0c"), [0, 10, 0, 0x98, 192, 0, 2, 12]);
    assert_eq!(message(&["0100 0005 07"]).len(), 21);
}
