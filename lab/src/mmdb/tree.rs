//! The search tree: a binary trie whose nodes are two pointers.

/// What a pointer of the tree leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Empty,
    Node(u32),
    /// Offset in the data section.
    Data(u32),
}

/// Nodes in order of creation; the first one is the root.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<[Slot; 2]>,
}

/// Prefixes under which readers find the IPv4 subtree again: mapped addresses, 6to4, Teredo.
const ALIASES: [(u128, u8); 3] = [(0xffff << 32, 96), (0x2002 << 112, 16), (0x2001_0000 << 96, 32)];

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![[Slot::Empty; 2]] }
    }
}

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Puts `slot` at the end of a path of left-aligned bits. A longer path divides data that it passes.
    ///
    /// A path of no bits stands for both halves of the root.
    pub(super) fn insert(&mut self, path: u128, bits: u8, slot: Slot) {
        if bits == 0 {
            self.nodes[0] = [slot; 2];
            return;
        }
        let mut node = 0;
        for depth in 0..bits - 1 {
            let side = side(path, depth);
            node = match self.nodes[node][side] {
                Slot::Node(next) => next as usize,
                passed => {
                    self.nodes.push([passed; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Slot::Node(next as u32);
                    next
                }
            };
        }
        self.nodes[node][side(path, bits - 1)] = slot;
    }

    /// Lets the aliases of IPv4 lead to the subtree at `::/96`, where networks have not taken their place.
    pub(super) fn alias_ipv4(&mut self) {
        let Slot::Node(ipv4) = self.find(0, 96) else { return };
        for (path, bits) in ALIASES {
            if self.find(path, bits) == Slot::Empty {
                self.insert(path, bits, Slot::Node(ipv4));
            }
        }
    }

    /// What lies at the end of a path, or where the tree ends before it.
    fn find(&self, path: u128, bits: u8) -> Slot {
        let mut slot = Slot::Node(0);
        for depth in 0..bits {
            let Slot::Node(node) = slot else { break };
            slot = self.nodes[node as usize][side(path, depth)];
        }
        slot
    }

    /// The octets of all nodes, `None` if a pointer does not fit into `record_size` bits.
    pub(super) fn encode(&self, record_size: u16) -> Option<Vec<u8>> {
        let nodes = self.nodes.len() as u64;
        let pointer = |slot| match slot {
            Slot::Node(node) => u64::from(node),
            Slot::Empty => nodes,
            Slot::Data(offset) => nodes + 16 + u64::from(offset),
        };
        let mut bytes = Vec::with_capacity(self.nodes.len() * usize::from(record_size) / 4);
        for node in &self.nodes {
            let [left, right] = node.map(pointer);
            if left.max(right) >> record_size != 0 {
                return None;
            }
            let ([l0, l1, l2, l3], [r0, r1, r2, r3]) = ((left as u32).to_be_bytes(), (right as u32).to_be_bytes());
            match record_size {
                24 => bytes.extend([l1, l2, l3, r1, r2, r3]),
                // The octet in the middle holds the top four bits of both.
                28 => bytes.extend([l1, l2, l3, l0 << 4 | r0, r1, r2, r3]),
                _ => bytes.extend([l0, l1, l2, l3, r0, r1, r2, r3]),
            }
        }
        Some(bytes)
    }
}

fn side(path: u128, depth: u8) -> usize {
    (path >> (127 - depth) & 1) as usize
}
