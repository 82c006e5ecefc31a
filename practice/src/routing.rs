//! Shortest paths by number of links; of two that are equal the one over the lower interface.

use std::collections::VecDeque;

/// From a device to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    pub output: usize,
    pub next: usize,
    /// The interface at the next device.
    pub input: usize,
}

/// For each device the one before it on the way from `start`, and the hop from there.
pub fn tree(neighbors: &[Vec<Hop>], start: usize) -> Vec<Option<(usize, Hop)>> {
    let mut before = vec![None; neighbors.len()];
    let mut waiting = VecDeque::from([start]);
    while let Some(device) = waiting.pop_front() {
        for hop in &neighbors[device] {
            if hop.next != start && before[hop.next].is_none() {
                before[hop.next] = Some((device, *hop));
                waiting.push_back(hop.next);
            }
        }
    }
    before
}

/// The hops from `start`, whose tree it is, to `end`; `None` where no way leads.
pub fn path(tree: &[Option<(usize, Hop)>], start: usize, end: usize) -> Option<Vec<Hop>> {
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

    #[test]
    fn the_shortest_way_is_taken_and_none_is_none() {
        let hop = |output, next| Hop { output, next, input: 0 };
        // 0 - 1 - 2 - 3 and 0 - 4 - 3; 5 is alone.
        let neighbors = vec![
            vec![hop(0, 1), hop(1, 4)],
            vec![hop(0, 0), hop(1, 2)],
            vec![hop(0, 1), hop(1, 3)],
            vec![hop(0, 2), hop(1, 4)],
            vec![hop(0, 0), hop(1, 3)],
            vec![],
        ];
        let tree = tree(&neighbors, 0);
        assert_eq!(path(&tree, 0, 3).unwrap(), [hop(1, 4), hop(1, 3)]);
        assert_eq!(path(&tree, 0, 5), None);
        assert_eq!(path(&tree, 0, 0).unwrap(), []);
    }
}
