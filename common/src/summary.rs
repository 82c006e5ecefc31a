//! What `summary_1h` sums up: a few columns together, instead of every combination of all that rollups keep apart.
//!
//! An hour of `flows_1h` has a row for each combination of exporter, interfaces, AS, countries and all else. Most questions
//! ask for one of these groups of columns, over all others.

use crate::columns::{
    Column, DST_AS, DST_COUNTRY, DST_PEER_AS, DST_SITE, DST_TENANT, ETHER_TYPE, EXPORTER_NAME, EXPORTER_SITE,
    FLOW_DIRECTION, IN_IF_BOUNDARY, IN_IF_NAME, OUT_IF_BOUNDARY, OUT_IF_NAME, PROTO, SRC_AS, SRC_COUNTRY, SRC_PEER_AS,
    SRC_SITE, SRC_TENANT,
};

/// Columns that a row of `summary_1h` keeps together; its column `side` says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Summary {
    /// Exporters and their interfaces: all traffic.
    Interface = 1,
    /// Countries, sites, tenants and protocols: all traffic.
    Place = 2,
    /// The busiest pairs of AS, with their neighbours: a part of the traffic.
    As = 3,
}

/// What every summary keeps apart, so that a flow which several exporters saw can be counted once.
pub const IN_EVERY_SUMMARY: [Column; 3] = [IN_IF_BOUNDARY.column(), OUT_IF_BOUNDARY.column(), FLOW_DIRECTION.column()];

impl Summary {
    /// Those with all traffic first.
    pub const ALL: [Self; 3] = [Self::Interface, Self::Place, Self::As];

    /// The label in the column `side`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Place => "place",
            Self::As => "as",
        }
    }

    /// The columns that it keeps apart, without those of [`IN_EVERY_SUMMARY`].
    pub const fn columns(self) -> &'static [Column] {
        const INTERFACE: [Column; 4] =
            [EXPORTER_NAME.column(), EXPORTER_SITE.column(), IN_IF_NAME.column(), OUT_IF_NAME.column()];
        const PLACE: [Column; 8] = [
            SRC_COUNTRY.column(),
            DST_COUNTRY.column(),
            SRC_SITE.column(),
            DST_SITE.column(),
            SRC_TENANT.column(),
            DST_TENANT.column(),
            PROTO.column(),
            ETHER_TYPE.column(),
        ];
        const AS: [Column; 4] = [SRC_AS.column(), DST_AS.column(), SRC_PEER_AS.column(), DST_PEER_AS.column()];
        match self {
            Self::Interface => &INTERFACE,
            Self::Place => &PLACE,
            Self::As => &AS,
        }
    }

    /// Whether its rows add up to all traffic; those of AS are the busiest part of it.
    pub const fn is_whole(self) -> bool {
        !matches!(self, Self::As)
    }

    /// The summary that can tell values of all these columns apart; `None` where they belong to several.
    pub fn of(columns: impl IntoIterator<Item = Column> + Clone) -> Option<Self> {
        let has =
            |summary: &Self, column: &Column| IN_EVERY_SUMMARY.contains(column) || summary.columns().contains(column);
        Self::ALL.into_iter().find(|summary| columns.clone().into_iter().all(|column| has(summary, &column)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{Rollup, SRC_ADDR};

    #[test]
    fn every_dimension_is_in_one_summary_or_in_all() {
        for column in Column::all().filter(|column| column.spec().rollup == Rollup::Dimension) {
            let found = Summary::ALL.iter().filter(|summary| summary.columns().contains(&column)).count();
            assert_eq!(found + usize::from(IN_EVERY_SUMMARY.contains(&column)), 1, "{}", column.spec().name);
        }
    }

    #[test]
    fn columns_that_belong_together_are_answered_by_one_summary() {
        let of = |columns: &[Column]| Summary::of(columns.iter().copied());
        assert_eq!(of(&[]), Some(Summary::Interface));
        assert_eq!(of(&[FLOW_DIRECTION.column(), SRC_AS.column(), DST_PEER_AS.column()]), Some(Summary::As));
        assert_eq!(of(&[SRC_SITE.column(), PROTO.column()]), Some(Summary::Place));
        assert_eq!(of(&[SRC_AS.column(), PROTO.column()]), None);
        assert_eq!(of(&[SRC_ADDR.column()]), None);
    }
}
