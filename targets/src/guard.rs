//! Refuses a plan that lost too many targets. An empty list would stop every collector, and a token that lost a permission
//! in NetBox looks like a network that was switched off.

use crate::document::{Documents, ListKind};

/// Targets that went, and more than may go.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the targets of {kind} would go from {before} to {after}, more than targets.max_loss ({max_loss}) allows: nothing was \
     written. Look at `helios targets --dry-run`; if it is right, run once with --allow-loss"
)]
pub struct Refused {
    /// Label of the [`ListKind`].
    pub kind: &'static str,
    /// Published targets.
    pub before: usize,
    /// Published targets that stay: new ones do not count.
    pub after: usize,
    /// `targets.max_loss`: a share from 0 to 1.
    pub max_loss: f64,
}

/// Compares what is published with what is planned.
///
/// # Errors
/// For each collector that would lose all of its targets, or a larger share of them than `max_loss`.
pub fn check(published: &Documents, planned: &Documents, max_loss: f64) -> Result<(), Vec<Refused>> {
    let lost = ListKind::ALL.into_iter().filter_map(|kind| {
        let (before, after) = (published.len(kind), planned.len(kind));
        // Only targets that stay count: new ones do not make up for those that went.
        let stay = published.get(kind).map_or(0, |old| {
            old.entries().filter(|(key, _)| planned.get(kind).is_some_and(|new| new.get(key).is_some())).count()
        });
        let too_much = before > 0 && (after == 0 || (stay as f64) < before as f64 * (1.0 - max_loss));
        too_much.then_some(Refused { kind: kind.name(), before, after: stay.min(after), max_loss })
    });
    let lost: Vec<Refused> = lost.collect();
    if lost.is_empty() { Ok(()) } else { Err(lost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(kind: ListKind, devices: std::ops::Range<u32>) -> Documents {
        let mut documents = Documents::default();
        let text: String =
            devices.map(|at| format!("{{\"targets\":[\"a\"],\"labels\":{{\"device\":\"d{at}\"}}}},\n")).collect();
        *documents.get_mut(kind) = crate::Document::parse(kind, &text).unwrap();
        documents
    }

    #[test]
    fn a_share_may_go_and_never_all() {
        let ten = documents(ListKind::Icmp, 0..10);
        let check = |after, max_loss| check(&ten, &documents(ListKind::Icmp, after), max_loss);
        assert_eq!(check(0..5, 0.5), Ok(()));
        let refused = check(0..4, 0.5).unwrap_err();
        assert_eq!((refused[0].before, refused[0].after), (10, 4));
        assert!(refused[0].to_string().contains("from 10 to 4"), "{}", refused[0]);
        assert!(check(0..0, 1.0).is_err(), "all of them may never go");
        assert!(check(10..20, 0.5).is_err(), "ten others are not the same ten");
        assert!(check(0..20, 0.0).is_ok());
    }

    #[test]
    fn one_collector_that_loses_all_is_enough() {
        let mut before = documents(ListKind::Icmp, 0..10);
        *before.get_mut(ListKind::Snmp) = documents(ListKind::Snmp, 0..1).get(ListKind::Snmp).cloned().unwrap();
        let refused = check(&before, &documents(ListKind::Icmp, 0..10), 0.5).unwrap_err();
        assert_eq!(refused.iter().map(|refused| refused.kind).collect::<Vec<_>>(), ["snmp"]);
    }

    #[test]
    fn the_first_plan_may_be_anything() {
        assert_eq!(check(&Documents::default(), &Documents::default(), 0.0), Ok(()));
        assert_eq!(check(&Documents::default(), &documents(ListKind::Tcp, 0..3), 0.0), Ok(()));
    }
}
