//! From a UDP socket to the pieces of a block, nothing is allocated per record.
//!
//! One thread does what those of `helios run` do, so that one counter sees all of it: it receives, decodes, passes
//! batches through a queue, enriches them and appends them to blocks. A program of its own, because it counts with an
//! allocator of its own.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use helios_collector::decode::Decoder;
use helios_collector::udp::{self, Ring, SocketOptions, Wait};
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::queue::{BatchReceiver, BatchSender, Received, bounded_queue};
use helios_enricher::memo::Memo;
use helios_sink::block::Assembler;
use helios_sink::config::Compression;
use helios_testkit::alloc::{Counting, allocations};

#[path = "../benches/support/simulated.rs"]
#[allow(dead_code, reason = "the benches decode without a socket")]
mod simulated;

use simulated::Simulated;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What was done, and what it allocated.
#[derive(Debug, Default)]
struct Costs {
    rows: usize,
    batches: u64,
    /// Of socket, decoder, queue and enricher.
    before_block: u64,
    /// Of the assembler.
    block: u64,
}

struct Way<'a> {
    traffic: &'a Simulated,
    socket: udp::UdpSocket,
    ring: Ring,
    sender: UdpSocket,
    decoder: Decoder,
    batch: FlowBatch,
    queue: (BatchSender, BatchReceiver),
    memo: Memo,
    assembler: Assembler,
}

impl<'a> Way<'a> {
    fn new(traffic: &'a Simulated) -> Self {
        let options = SocketOptions { receive_buffer: 1 << 20, gro: true, wait: Duration::from_secs(10) };
        let socket = udp::bind_group(ANY_PORT, 1, &options).unwrap().remove(0);
        let sender = UdpSocket::bind(ANY_PORT).unwrap();
        sender.connect(socket.local_addr()).unwrap();
        Self {
            traffic,
            socket,
            ring: Ring::new(1),
            sender,
            decoder: traffic.decoder(),
            batch: FlowBatch::new(),
            queue: bounded_queue(1),
            memo: Memo::default(),
            assembler: traffic.assembler(Compression::Lz4),
        }
    }

    /// Sends, receives and stores all datagrams once. They travel from this host: the addresses that they were made
    /// for are kept beside them.
    fn pass(&mut self) -> Costs {
        let (mut costs, start) = (Costs::default(), allocations());
        for (octets, meta) in &self.traffic.datagrams {
            self.sender.send(octets).unwrap();
            for datagram in self.ring.receive(&self.socket, Wait::Timeout).unwrap() {
                costs.rows += self.decoder.decode(datagram.octets, meta, &mut self.batch).unwrap().rows as usize;
            }
            if self.batch.rows() >= BATCH_ROWS {
                costs.batches += 1;
                costs.block += self.store();
            }
        }
        costs.before_block = allocations() - start - costs.block;
        costs
    }

    /// Hands the open batch on; returns what the assembler allocated.
    fn store(&mut self) -> u64 {
        let (sender, receiver) = &self.queue;
        let full = std::mem::replace(&mut self.batch, sender.take_empty());
        assert!(sender.send(full).is_ok(), "the queue is empty");
        let Received::Batch(mut batch) = receiver.receive(Duration::ZERO) else { unreachable!("a batch was sent") };
        self.traffic.enrich(&mut batch, &mut self.memo);
        let before = allocations();
        self.assembler.append(&batch, |block, _| drop(block)).unwrap();
        let block = allocations() - before;
        receiver.give_back(batch);
        block
    }
}

#[test]
fn from_a_socket_to_a_block_nothing_is_allocated_per_record() {
    let traffic = Simulated::new();
    let mut way = Way::new(&traffic);
    // After two passes every exporter, name, column and buffer has been there.
    way.pass();
    way.pass();
    let costs = way.pass();
    assert!(costs.rows > 20 * BATCH_ROWS, "{costs:?}");
    // 8,192 rows are a batch. Lists may still find a longer one than they ever held.
    assert!(costs.before_block <= costs.batches / 4, "{costs:?}");
    // A chunk that is full is encoded: some allocations for headers and a handle, none for its rows.
    assert!(costs.block <= 16 * costs.batches, "{costs:?}");
}
