//! Shortest paths by the metrics of links; of two that are equal the one over the lower interface.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// From a device to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub output: usize,
    pub next: usize,
    /// The interface at the next device.
    pub input: usize,
    /// Metric of the output.
    pub cost: u32,
}

/// For each device the one before it on the way from `start`, and the hop from there. `passes` says which devices let traffic of
/// others through.
pub(crate) fn tree(neighbors: &[Vec<Hop>], start: usize, passes: &[bool]) -> Vec<Option<(usize, Hop)>> {
    let mut before = vec![None; neighbors.len()];
    let mut costs = vec![u64::MAX; neighbors.len()];
    costs[start] = 0;
    // Of equal ones the one that was found first.
    let mut found = 0_u64;
    let mut waiting = BinaryHeap::from([Reverse((0_u64, found, start))]);
    while let Some(Reverse((cost, _, device))) = waiting.pop() {
        if cost > costs[device] || (device != start && !passes[device]) {
            continue;
        }
        for hop in &neighbors[device] {
            let next = cost + u64::from(hop.cost);
            if next < costs[hop.next] {
                (costs[hop.next], before[hop.next]) = (next, Some((device, *hop)));
                found += 1;
                waiting.push(Reverse((next, found, hop.next)));
            }
        }
    }
    before
}

/// The hops from `start`, whose tree it is, to `end`; `None` where no way leads.
pub(crate) fn path(tree: &[Option<(usize, Hop)>], start: usize, end: usize) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut at = end;
    while at != start {
        let (before, hop) = tree[at]?;
        hops.push(hop);
        at = before;
    }
    hops.reverse();
    Some(hops)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [bool; 6] = [true; 6];

    fn hop(output: usize, next: usize) -> Hop {
        Hop { output, next, input: 0, cost: 10 }
    }

    /// 0 - 1 - 2 - 3 and 0 - 4 - 3; 5 is alone.
    fn neighbors() -> Vec<Vec<Hop>> {
        vec![
            vec![hop(0, 1), hop(1, 4)],
            vec![hop(0, 0), hop(1, 2)],
            vec![hop(0, 1), hop(1, 3)],
            vec![hop(0, 2), hop(1, 4)],
            vec![hop(0, 0), hop(1, 3)],
            vec![],
        ]
    }

    #[test]
    fn the_shortest_way_is_taken_and_none_is_none() {
        let tree = tree(&neighbors(), 0, &ALL);
        assert_eq!(path(&tree, 0, 3).unwrap(), [hop(1, 4), hop(1, 3)]);
        assert_eq!(path(&tree, 0, 5), None);
        assert_eq!(path(&tree, 0, 0).unwrap(), []);
    }

    #[test]
    fn a_metric_moves_traffic_and_an_overloaded_device_is_an_end_alone() {
        let mut drained = neighbors();
        drained[4][1].cost = 1_000;
        let over = |tree: &[Option<(usize, Hop)>], end| path(tree, 0, end).unwrap().len();
        assert_eq!(over(&tree(&drained, 0, &ALL), 3), 3);
        let mut passes = ALL;
        passes[4] = false;
        let around = tree(&neighbors(), 0, &passes);
        assert_eq!((over(&around, 3), over(&around, 4)), (3, 1));
    }
}
