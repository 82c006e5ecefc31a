//! What can be asked of a flow: the words of nfdump and tcpdump for it, and the columns that they stand for.

use helios_common::columns::{BYTES, Column, FLOW_END, FLOW_START, PACKETS};

/// What a test reads of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Column(Column),
    /// flow_end - flow_start in milliseconds.
    Duration,
    /// Octets of the record * 8 / duration, 0 for a duration of 0.
    BitsPerSecond,
    /// Packets of the record / duration, 0 for a duration of 0.
    PacketsPerSecond,
    /// Octets / packets of the record, 0 without packets.
    BytesPerPacket,
}

impl Operand {
    pub(crate) fn columns(self) -> Vec<Column> {
        let times = [FLOW_START.column(), FLOW_END.column()];
        match self {
            Self::Column(column) => vec![column],
            Self::Duration => times.to_vec(),
            Self::BitsPerSecond => [times.as_slice(), &[BYTES.column()]].concat(),
            Self::PacketsPerSecond => [times.as_slice(), &[PACKETS.column()]].concat(),
            Self::BytesPerPacket => vec![BYTES.column(), PACKETS.column()],
        }
    }
}

/// What a field stands for. Of the alternatives the first counts whose type can hold the value: `exporter 192.0.2.1` is an
/// address, `exporter core1` a name. Within an alternative, one of the operands has to match: `port 443` is either port.
pub(crate) type Field = Vec<Vec<Operand>>;

/// One side of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

/// Words that choose a side, for nouns that have sides of this kind.
const DIRECTIONS: &[(&str, Side)] = &[
    ("src", Side::First),
    ("source", Side::First),
    ("dst", Side::Second),
    ("dest", Side::Second),
    ("destination", Side::Second),
    ("in", Side::First),
    ("input", Side::First),
    ("ingress", Side::First),
    ("out", Side::Second),
    ("output", Side::Second),
    ("egress", Side::Second),
    ("prev", Side::First),
    ("next", Side::Second),
];

/// A thing with two sides.
struct Noun {
    /// The directions that it goes with.
    directions: &'static [&'static str],
    words: &'static [&'static str],
    /// Pairs of columns, first and second side, in the order in which a value is tried.
    columns: &'static [(&'static str, &'static str)],
}

const ENDS: &[&str] = &["src", "source", "dst", "dest", "destination"];
const WAYS: &[&str] = &["in", "input", "ingress", "out", "output", "egress"];
const NEIGHBOURS: &[&str] = &["prev", "next"];

const NOUNS: &[Noun] = &[
    Noun { directions: ENDS, words: &["ip", "host", "net", "addr", "address"], columns: &[("src_addr", "dst_addr")] },
    Noun { directions: ENDS, words: &["port"], columns: &[("src_port", "dst_port")] },
    Noun { directions: NEIGHBOURS, words: &["as"], columns: &[("src_peer_as", "dst_peer_as")] },
    Noun { directions: ENDS, words: &["as"], columns: &[("src_as", "dst_as"), ("src_as_name", "dst_as_name")] },
    Noun { directions: ENDS, words: &["mac"], columns: &[("src_mac", "dst_mac")] },
    Noun { directions: ENDS, words: &["mask"], columns: &[("src_mask", "dst_mask")] },
    Noun { directions: ENDS, words: &["vlan"], columns: &[("src_vlan", "dst_vlan")] },
    Noun { directions: ENDS, words: &["country", "geo"], columns: &[("src_country", "dst_country")] },
    Noun { directions: ENDS, words: &["city"], columns: &[("src_city", "dst_city")] },
    Noun { directions: ENDS, words: &["site"], columns: &[("src_site", "dst_site")] },
    Noun { directions: ENDS, words: &["role"], columns: &[("src_role", "dst_role")] },
    Noun { directions: ENDS, words: &["tenant"], columns: &[("src_tenant", "dst_tenant")] },
    Noun { directions: ENDS, words: &["network"], columns: &[("src_network", "dst_network")] },
    Noun {
        directions: WAYS,
        words: &["if", "interface"],
        columns: &[("in_if_index", "out_if_index"), ("in_if_name", "out_if_name")],
    },
    Noun {
        directions: WAYS,
        words: &["vrf"],
        columns: &[("ingress_vrf_id", "egress_vrf_id"), ("vrf_name", "vrf_name")],
    },
    Noun { directions: WAYS, words: &["provider"], columns: &[("in_if_provider", "out_if_provider")] },
    Noun { directions: WAYS, words: &["connectivity"], columns: &[("in_if_connectivity", "out_if_connectivity")] },
    Noun { directions: WAYS, words: &["boundary"], columns: &[("in_if_boundary", "out_if_boundary")] },
];

/// Single words and what they stand for, as direction and noun or as a column.
const SHORT: &[(&str, Side, &str)] = &[
    ("sport", Side::First, "port"),
    ("dport", Side::Second, "port"),
    ("sas", Side::First, "as"),
    ("das", Side::Second, "as"),
    ("sip", Side::First, "ip"),
    ("dip", Side::Second, "ip"),
];

/// Things without sides.
const COLUMNS: &[(&str, &[&str])] = &[
    ("exporter", &["exporter_address", "exporter_name"]),
    ("router", &["exporter_address", "exporter_name"]),
    ("protocol", &["proto"]),
    ("flags", &["tcp_flags"]),
    ("octets", &["bytes"]),
    ("nexthop", &["next_hop"]),
    ("label", &["mpls_labels"]),
    ("mpls", &["mpls_labels"]),
    ("app", &["application"]),
    ("direction", &["flow_direction"]),
    ("flowdir", &["flow_direction"]),
    ("path", &["as_path"]),
    ("community", &["communities"]),
    ("tunnel", &["tunnel_type"]),
];

/// Two words of nfdump for a thing without sides, and its one word here.
const PHRASES: &[(&str, &str, &str)] = &[
    ("router", "ip", "router"),
    ("exporter", "ip", "exporter"),
    ("next", "ip", "next_hop"),
    ("bgpnext", "ip", "bgp_next_hop"),
    ("in", "bytes", "bytes"),
    ("in", "packets", "packets"),
];

const COMPUTED: &[(&str, Operand)] = &[
    ("duration", Operand::Duration),
    ("bps", Operand::BitsPerSecond),
    ("pps", Operand::PacketsPerSecond),
    ("bpp", Operand::BytesPerPacket),
];

/// The field that `words` begin with, and how many of them name it. Words are lower case.
pub(crate) fn field(words: &[String]) -> Option<(Field, usize)> {
    let first = words.first()?.as_str();
    let phrase = PHRASES.iter().find(|(one, two, _)| *one == first && words.get(1).is_some_and(|word| word == two));
    if let Some((_, _, name)) = phrase {
        return field(&[(*name).to_owned()]).map(|(field, _)| (field, 2));
    }
    if let Some((_, side)) = DIRECTIONS.iter().find(|(word, _)| *word == first) {
        let noun = words.get(1).and_then(|second| noun(second, Some(first)));
        return match noun {
            Some(noun) => Some((side_of(noun, Some(*side)), 2)),
            // `src 10.0.0.1` is an address; `in` alone says nothing.
            None => ENDS.contains(&first).then(|| noun_of("ip", *side)).flatten().map(|field| (field, 1)),
        };
    }
    if let Some((_, side, noun)) = SHORT.iter().find(|(word, ..)| *word == first) {
        return noun_of(noun, *side).map(|field| (field, 1));
    }
    // `srcport`, `dstip`, as nfdump takes them as well.
    for (direction, side) in [("src", Side::First), ("dst", Side::Second)] {
        if let Some(field) = first.strip_prefix(direction).and_then(|rest| noun_of(rest, side)) {
            return Some((field, 1));
        }
    }
    if let Some(noun) = noun(first, None) {
        return Some((side_of(noun, None), 1));
    }
    if let Some((_, operand)) = COMPUTED.iter().find(|(word, _)| *word == first) {
        return Some((vec![vec![*operand]], 1));
    }
    let name = first.replace('-', "_");
    let names = COLUMNS.iter().find(|(word, _)| *word == first).map(|(_, names)| names.to_vec());
    let columns = names.unwrap_or_else(|| vec![name.as_str()]);
    let field: Field =
        columns.into_iter().filter_map(Column::by_name).map(|column| vec![Operand::Column(column)]).collect();
    (!field.is_empty()).then_some((field, 1))
}

/// Every word that a field can begin with, for suggestions.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let nouns = NOUNS.iter().flat_map(|noun| noun.words.iter().copied());
    let directions = DIRECTIONS.iter().map(|(word, _)| *word);
    let short = SHORT.iter().map(|(word, ..)| *word);
    let named = COLUMNS.iter().map(|(word, _)| *word).chain(COMPUTED.iter().map(|(word, _)| *word));
    short.chain(nouns).chain(directions).chain(named).chain(Column::all().map(|column| column.spec().name))
}

/// Something that goes with a direction, for whoever wrote the direction alone.
pub(crate) fn noun_with(direction: &str) -> Option<&'static str> {
    NOUNS.iter().find(|noun| noun.directions.contains(&direction))?.words.first().copied()
}

fn noun(word: &str, direction: Option<&str>) -> Option<&'static Noun> {
    NOUNS.iter().find(|noun| {
        // A neighbour's AS has to be asked for as one.
        let goes = direction.map_or(noun.directions != NEIGHBOURS, |direction| noun.directions.contains(&direction));
        noun.words.contains(&word) && goes
    })
}

fn noun_of(word: &str, side: Side) -> Option<Field> {
    noun(word, Some(if side == Side::First { "src" } else { "dst" })).map(|noun| side_of(noun, Some(side)))
}

fn side_of(noun: &Noun, side: Option<Side>) -> Field {
    let operands = |(first, second): &(&str, &str)| {
        let mut names = match side {
            Some(Side::First) => vec![*first],
            Some(Side::Second) => vec![*second],
            None => vec![*first, *second],
        };
        names.dedup();
        names.into_iter().filter_map(Column::by_name).map(Operand::Column).collect()
    };
    noun.columns.iter().map(operands).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of every alternative that `text` begins with.
    fn columns(text: &str) -> Option<Vec<Vec<&'static str>>> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let (field, length) = field(&words)?;
        assert_eq!(length, words.len(), "{text}");
        let names =
            |operands: &Vec<Operand>| operands.iter().flat_map(|o| o.columns()).map(|c| c.spec().name).collect();
        Some(field.iter().map(names).collect())
    }

    #[test]
    fn every_word_names_a_column() {
        for noun in NOUNS {
            for (first, second) in noun.columns {
                assert!(Column::by_name(first).is_some() && Column::by_name(second).is_some(), "{first} {second}");
            }
        }
        for (word, names) in COLUMNS {
            assert!(names.iter().all(|name| Column::by_name(name).is_some()), "{word}");
        }
        assert!(PHRASES.iter().all(|(_, _, name)| field(&[(*name).to_owned()]).is_some()));
        assert!(SHORT.iter().all(|(word, side, noun)| noun_of(noun, *side).is_some() && !word.is_empty()));
    }

    #[test]
    fn nfdump_and_tcpdump_words_are_understood() {
        for (text, first) in [
            ("src", vec!["src_addr"]),
            ("dst host", vec!["dst_addr"]),
            ("net", vec!["src_addr", "dst_addr"]),
            ("dport", vec!["dst_port"]),
            ("src port", vec!["src_port"]),
            ("srcport", vec!["src_port"]),
            ("as", vec!["src_as", "dst_as"]),
            ("prev as", vec!["src_peer_as"]),
            ("in if", vec!["in_if_index"]),
            ("if", vec!["in_if_index", "out_if_index"]),
            ("router", vec!["exporter_address"]),
            ("router ip", vec!["exporter_address"]),
            ("next ip", vec!["next_hop"]),
            ("in bytes", vec!["bytes"]),
            ("src geo", vec!["src_country"]),
            ("flowdir", vec!["flow_direction"]),
            ("icmp-type", vec!["icmp_type"]),
            ("flags", vec!["tcp_flags"]),
            ("vrf", vec!["ingress_vrf_id", "egress_vrf_id"]),
            ("src_tenant", vec!["src_tenant"]),
            ("bpp", vec!["bytes", "packets"]),
        ] {
            assert_eq!(columns(text).unwrap()[0], first, "{text}");
        }
        assert_eq!(columns("dprt"), None);
        assert_eq!(columns("in"), None);
        assert_eq!((noun_with("in"), noun_with("next"), noun_with("dport")), (Some("if"), Some("as"), None));
    }
}
