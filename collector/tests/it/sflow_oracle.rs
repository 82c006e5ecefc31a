//! sFlow against an independent decoder, and against input that nobody would send.

use helios_collector::decode::packet::Decapsulate;
use helios_collector::decode::{DecodeError, SampleCounts};
use helios_common::columns::{BYTES, SRC_ADDR};
use helios_common::flow::FlowBatch;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sflow_compare::{compare, decode};

/// A word that means something more often than a random one does.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..32_u32, 0x3fff_fff0..0x4000_0110_u32, 0x8000_0000..0x8000_0010_u32, any::<u32>()]
}

fn octets(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}

fn words(n: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(word(), n).prop_map(octets)
}

fn tagged(format: u32, contents: &[u8]) -> Vec<u8> {
    [&octets([format, contents.len() as u32])[..], contents].concat()
}

fn address() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u32>().prop_map(|v4| octets([1, v4])),
        any::<[u32; 4]>().prop_map(|v6| octets([2].into_iter().chain(v6)))
    ]
}

fn list() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u32>(), 0..5).prop_map(|list| octets([list.len() as u32].into_iter().chain(list)))
}

/// A frame that is IPv4, IPv6, tagged or nonsense, cut somewhere.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ether_type =
        prop_oneof![Just([0x08, 0x00, 0x45]), Just([0x86, 0xdd, 0x60]), Just([0x81, 0x00, 0x00]), any::<[u8; 3]>()];
    (vec(any::<u8>(), 12), ether_type, vec(any::<u8>(), 0..120))
        .prop_map(|(macs, ty, rest)| [&macs[..], &ty, &rest].concat())
}

fn raw_header() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop_oneof![6 => Just(1_u32), 1 => 0..15_u32];
    (protocol, any::<[u32; 2]>(), frame()).prop_map(|(protocol, [length, stripped], mut frame)| {
        let head = octets([protocol, length, stripped, frame.len() as u32]);
        frame.resize(frame.len().next_multiple_of(4), 0);
        tagged(1, &[head, frame].concat())
    })
}

fn gateway() -> impl Strategy<Value = Vec<u8>> {
    let segments = vec((1..3_u32, list()), 0..4).prop_map(|segments| {
        let n = octets([segments.len() as u32]);
        segments.into_iter().fold(n, |all, (ty, list)| [all, octets([ty]), list].concat())
    });
    (address(), words(3), segments, list(), words(1)).prop_map(
        |(hop, ases, segments, communities, local_preference)| {
            tagged(1003, &[hop, ases, segments, communities, local_preference].concat())
        },
    )
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => raw_header(),
        1 => words(6).prop_map(|fields| tagged(2, &fields)),
        1 => words(8).prop_map(|fields| tagged(3, &fields)),
        1 => words(14).prop_map(|fields| tagged(4, &fields)),
        2 => words(4).prop_map(|fields| tagged(1001, &fields)),
        2 => (address(), words(2)).prop_map(|(hop, masks)| tagged(1002, &[hop, masks].concat())),
        2 => gateway(),
        1 => (address(), address()).prop_map(|(src, dst)| tagged(1007, &[src, dst].concat())),
        1 => words(2).prop_map(|ports| tagged(1020, &ports)),
        1 => (1008..1010_u32, "[a-z]{0,9}", words(2)).prop_map(|(format, name, fields)| {
            let padding = vec![0; name.len().wrapping_neg() % 4];
            tagged(format, &[&octets([name.len() as u32])[..], name.as_bytes(), &padding, &fields].concat())
        }),
        1 => words(1).prop_map(|length| tagged(1011, &length)),
        1 => words(5).prop_map(|socket| tagged(2100, &socket)),
        1 => words(11).prop_map(|socket| tagged(2101, &socket)),
        1 => (4096..u32::MAX, vec(any::<u8>(), 0..20)).prop_map(|(format, contents)| tagged(format, &contents)),
    ]
}

fn records() -> impl Strategy<Value = (u32, Vec<u8>)> {
    vec(record(), 0..6).prop_map(|records| (records.len() as u32, records.concat()))
}

fn counter_record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => words(22).prop_map(|counters| tagged(1, &counters)),
        2 => words(13).prop_map(|counters| tagged(2, &counters)),
        1 => words(7).prop_map(|counters| tagged(5, &counters)),
        1 => words(7).prop_map(|counters| tagged(1001, &counters)),
        1 => words(20).prop_map(|counters| tagged(6, &counters)),
        1 => (4096..u32::MAX, vec(any::<u8>(), 0..20)).prop_map(|(format, contents)| tagged(format, &contents)),
    ]
}

fn counters() -> impl Strategy<Value = (u32, Vec<u8>)> {
    vec(counter_record(), 0..5).prop_map(|records| (records.len() as u32, records.concat()))
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (words(7), records()).prop_map(|(head, (n, records))| tagged(1, &[head, octets([n]), records].concat())),
        2 => (words(10), records()).prop_map(|(head, (n, records))| tagged(3, &[head, octets([n]), records].concat())),
        1 => (words(2), counters()).prop_map(|(head, (n, counters))| tagged(2, &[head, octets([n]), counters].concat())),
        1 => (words(3), counters()).prop_map(|(head, (n, counters))| tagged(4, &[head, octets([n]), counters].concat())),
        1 => (6..u32::MAX, vec(any::<u8>(), 0..20)).prop_map(|(format, contents)| tagged(format, &contents)),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    (address(), words(3), vec(sample(), 0..24)).prop_map(|(agent, fields, samples)| {
        [octets([5]), agent, fields, octets([samples.len() as u32]), samples.concat()].concat()
    })
}

/// Where the samples of a message begin.
fn samples_at(message: &[u8]) -> usize {
    if message[7] == 1 { 28 } else { 40 }
}

/// Where each sample of a message ends; the first one begins at `at`.
fn ends(message: &[u8], at: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(at), |&at| {
        let length = message.get(at + 4..at + 8)?;
        Some(at + 8 + u32::from_be_bytes(length.try_into().unwrap()) as usize)
    })
    .skip(1)
}

proptest! {
    #[test]
    fn both_decoders_read_the_same(message in message()) {
        prop_assert!(compare(&message).is_some(), "the other decoder refuses a valid message");
    }

    /// Whatever else is accepted is read the same way, as far as both accept it.
    #[test]
    fn both_decoders_read_the_same_in_damaged_messages(
        message in message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut message = message;
        for (place, octet) in damage {
            let at = place.index(message.len());
            message[at] = octet;
        }
        compare(&message);
    }

    /// What is left is read as if the header announced the whole samples alone.
    #[test]
    fn a_message_cut_anywhere_is_read_as_far_as_its_samples_are_whole(
        message in message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(message.len());
        let mut out = FlowBatch::new();
        let (_, counts) = match decode(&message[..cut], Decapsulate::ALL, &mut out) {
            Ok(decoded) => decoded,
            Err(error) => {
                let samples = samples_at(&message);
                prop_assert!(matches!(error, DecodeError::Truncated | DecodeError::BadCount), "{:?}", error);
                // Fewer octets than the announced samples have in their tags, or no sample that is whole.
                let n_whole = ends(&message, samples).filter(|&end| end <= cut).count();
                prop_assert!(error == DecodeError::BadCount || n_whole == 0, "cut at {} with {} whole", cut, n_whole);
                return Ok(());
            }
        };
        let samples = samples_at(&message);
        let whole: Vec<usize> = ends(&message, samples).filter(|&end| end <= cut).collect();
        // Zeros behind a sample whose length is no multiple of four are padding, or the tag of the next one where a device
        // does not pad. The length of the whole message would tell; what is left of it does not.
        if let Some(unpadded) = whole.iter().position(|end| end % 4 != 0) {
            prop_assert!(counts.samples as usize > unpadded, "{} samples of {:?}", counts.samples, whole);
            return Ok(());
        }
        prop_assert_eq!(counts.samples as usize, whole.len());
        let mut shorter = message;
        shorter[samples - 4..samples].copy_from_slice(&counts.samples.to_be_bytes());
        let mut expected = FlowBatch::new();
        let (header, of_shorter) = decode(&shorter, Decapsulate::ALL, &mut expected).unwrap();
        prop_assert_eq!(SampleCounts { samples_left_out: counts.samples_left_out, ..of_shorter }, counts);
        prop_assert_eq!(header.n_samples, counts.samples);
        prop_assert_eq!(out.values(BYTES), expected.values(BYTES));
        prop_assert_eq!(out.values(SRC_ADDR), expected.values(SRC_ADDR));
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in vec(any::<u8>(), 0..400)) {
        let _ = decode(&octets, Decapsulate::ALL, &mut FlowBatch::new());
        let message = [&[0, 0, 0, 5, 0, 0, 0, 1][..], &octets].concat();
        let mut out = FlowBatch::new();
        if let Ok((_, counts)) = decode(&message, Decapsulate::ALL, &mut out) {
            prop_assert_eq!(out.rows(), counts.rows as usize);
        }
    }

    /// A row costs its sender at least the 40 octets of the shortest flow sample.
    #[test]
    fn rows_are_bounded_by_the_message(message in message()) {
        let mut out = FlowBatch::new();
        let (_, counts) = decode(&message, Decapsulate::ALL, &mut out).expect("it is valid");
        prop_assert!(counts.rows as usize * 40 <= message.len());
    }
}

#[test]
fn the_largest_datagram_of_the_shortest_samples_is_within_bounds() {
    let sample = tagged(1, &octets([0; 8]));
    let n = (65_507 - 28) / sample.len();
    let message = [octets([5, 1, 0, 0, 0, 0, n as u32]), sample.repeat(n)].concat();
    let mut out = FlowBatch::new();
    let (_, counts) = decode(&message, Decapsulate::ALL, &mut out).expect("it is valid");
    assert_eq!((counts.rows as usize, out.rows()), (n, n));
}
