//! Questions that the tables of the busiest can answer: who sent, who received, which pairs of hosts, which services.
//!
//! These tables have a column `side`, which says what a row is about. Their other columns have other names than in `flows`.

use helios_common::columns::{Column, DST_ADDR, EXPORTER_NAME, PROTO, SRC_ADDR};

use crate::filter::Filter;
use crate::key::Key;

/// What a row of these tables is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Src,
    Dst,
    Pair,
    Service,
}

impl Side {
    const ALL: [Self; 4] = [Self::Src, Self::Dst, Self::Pair, Self::Service];

    /// The label in the column `side`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Src => "src",
            Self::Dst => "dst",
            Self::Pair => "pair",
            Self::Service => "service",
        }
    }

    /// The side whose rows answer a question; `None` where none does. Its keys are those of the side, and the exporter's
    /// name if it is asked for; a filter may name exporters alone, because only their totals are known.
    pub(crate) fn of(by: &[Key], filter: &Filter) -> Option<Self> {
        let exporter = EXPORTER_NAME.column();
        if !filter.columns().iter().all(|column| column == exporter) {
            return None;
        }
        let keys: Vec<Key> = by.iter().copied().filter(|key| *key != Key::Column(exporter)).collect();
        let is_of =
            |side: &Self| side.keys().len() == keys.len() && side.keys().iter().all(|(key, _)| keys.contains(key));
        Self::ALL.into_iter().find(is_of)
    }

    /// The keys that tell rows apart, and the columns that hold them.
    fn keys(self) -> Vec<(Key, &'static str)> {
        let of = |column: Column, name| (Key::Column(column), name);
        match self {
            Self::Src => vec![of(SRC_ADDR.column(), "host")],
            Self::Dst => vec![of(DST_ADDR.column(), "host")],
            Self::Pair => vec![of(SRC_ADDR.column(), "host"), of(DST_ADDR.column(), "peer")],
            Self::Service => vec![of(PROTO.column(), "proto"), (Key::ServicePort, "port")],
        }
    }

    /// The column that holds a key: the side's name for it, or else the key's own.
    pub(crate) fn column_of(self, key: Key) -> &'static str {
        self.keys().into_iter().find(|(known, _)| *known == key).map_or(key.name(), |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_answers_for_its_keys_and_for_exporters_alone() {
        let of = |by: &str, filter: &str| Side::of(&Key::parse_list(by).unwrap(), &Filter::parse(filter).unwrap());
        assert_eq!(of("src", ""), Some(Side::Src));
        assert_eq!(of("dst,exporter", "exporter fra-*"), Some(Side::Dst));
        assert_eq!(of("pair", ""), Some(Side::Pair));
        assert_eq!(of("port", ""), Some(Side::Service));
        for (by, filter) in [
            ("src", "proto tcp"),
            ("src", "src 192.0.2.1"),
            ("src,src_as", ""),
            ("proto", ""),
            ("dport", ""),
            ("exporter", ""),
            ("src,in_if_name", ""),
        ] {
            assert_eq!(of(by, filter), None, "{by} {filter}");
        }
        assert_eq!(
            (Side::Pair.column_of(Key::Column(DST_ADDR.column())), Side::Service.column_of(Key::ServicePort)),
            ("peer", "port")
        );
    }
}
