//! From a UDP socket to columns, the kernel's part of receiving included.
//!
//! A thread sends the datagrams, the benching thread receives and decodes them as a worker does. It waits until all of
//! them lie in its receive buffer, so that only receiving is measured: on a router's link sending is not its work
//! either. None is ever lost: they fit.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use helios_collector::decode::DatagramMeta;
use helios_collector::udp::{Ring, SocketOptions, UdpSocket, Wait, bind_group};
use helios_common::flow::FlowBatch;
use helios_lab::send::{Burst, Sender as UdpSender};

use super::helios::Helios;
use super::traffic::Traffic;

/// As a receive worker has it.
const RING_BUFFERS: usize = 16;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A receiver, and the sender that it asks for datagrams.
pub struct Socket {
    helios: Helios,
    ring: Ring,
    socket: UdpSocket,
    meta: DatagramMeta,
    ask: Sender<()>,
    sent: Receiver<usize>,
}

impl Socket {
    /// Sends `traffic` of one exporter. With `gro` datagrams travel through the kernel as segments of larger ones.
    pub fn new(mut traffic: Traffic, gro: bool) -> Self {
        let options = SocketOptions { receive_buffer: 4 << 20, gro, wait: Duration::from_secs(5) };
        let socket = bind_group(ANY_PORT, 1, &options).expect("a port is free").remove(0);
        let mut sender = UdpSender::connect(ANY_PORT, socket.local_addr()).expect("the socket is bound");
        sender.set_segmentation(gro);
        let source = sender.local_addr().expect("it has an address");
        for datagram in &mut traffic.announcements {
            datagram.meta.source = source;
        }
        let meta = DatagramMeta { source, ..traffic.datagrams[0].meta };
        let helios = Helios::new(&traffic);
        let (ask, asked) = channel();
        let (tell, sent) = channel();
        thread::spawn(move || {
            let mut burst = Burst::default();
            while asked.recv().is_ok() {
                burst.clear();
                for datagram in &mut traffic.datagrams {
                    datagram.advance();
                    burst.push(|octets| octets.extend(&datagram.octets));
                }
                let mut failed = Vec::new();
                sender.send(&burst, &mut failed);
                assert!(failed.is_empty(), "the kernel takes what goes to its own socket");
                if tell.send(burst.len()).is_err() {
                    break;
                }
            }
        });
        Self { helios, ring: Ring::new(RING_BUFFERS), socket, meta, ask, sent }
    }

    /// Receives and decodes all datagrams once.
    pub fn pass(&mut self) -> usize {
        self.ask.send(()).expect("the sender runs");
        let mut left = self.sent.recv().expect("the sender runs");
        let mut rows = 0;
        while left > 0 {
            let before = left;
            for datagram in self.ring.receive(&self.socket, Wait::Timeout).expect("the socket is open") {
                rows += self.helios.take(datagram.octets, &self.meta, FlowBatch::seal);
                left -= 1;
            }
            assert!(left < before, "{left} datagrams were lost");
        }
        rows
    }
}
