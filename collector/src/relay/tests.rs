use std::net::UdpSocket;
use std::process::Command;

use super::*;

/// A receiver that gives up after a minute.
fn receiver(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let to = socket.local_addr().unwrap();
    (socket, to)
}

fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut octets = vec![0; 1 << 16];
    let (length, from) = socket.recv_from(&mut octets).unwrap();
    octets.truncate(length);
    (octets, from)
}

fn to(to: SocketAddr, source: RelaySource) -> RelayConfig {
    RelayConfig { to, source }
}

fn exporter() -> SocketAddr {
    "192.0.2.7:40000".parse().unwrap()
}

#[test]
fn every_destination_gets_every_datagram_as_it_came() {
    let receivers = [receiver("127.0.0.1"), receiver("::1")];
    let relay =
        Relay::start(&receivers.each_ref().map(|(_, address)| to(*address, RelaySource::Helios))).unwrap().unwrap();
    let mut copier = relay.copier();
    let datagrams = [vec![0, 5, 1, 2, 3], Vec::new(), vec![7; 9000]];
    for datagram in &datagrams {
        copier.copy(exporter(), datagram);
    }
    copier.hand_on();
    for (socket, _) in &receivers {
        for datagram in &datagrams {
            assert_eq!(&received(socket).0, datagram);
        }
    }
    drop(copier);
    let shared = Arc::clone(&relay.shared);
    relay.stop();
    let sent: Vec<_> = shared.destinations.iter().map(|(_, counters)| counters.sent.load(Ordering::Relaxed)).collect();
    assert_eq!((sent, shared.waiting_octets.load(Ordering::Relaxed)), (vec![3, 3], 0));
}

#[test]
fn what_finds_no_room_is_left_out_and_counted_and_nobody_waits() {
    let shared = Shared { destinations: Vec::new(), waiting_octets: AtomicUsize::new(0), left_out: AtomicU64::new(0) };
    let shared = Arc::new(shared);
    // Nobody takes anything from the queue.
    let ((queue, waiting), (_, spare)) = (bounded(1), bounded(1));
    let mut copier = Copier { shared: Arc::clone(&shared), queue, spare, open: Copies::default() };
    for _ in 0..3 {
        copier.copy(exporter(), &[1; 100]);
        copier.copy(exporter(), &[2; 100]);
        copier.hand_on();
    }
    let figures = || (shared.left_out.load(Ordering::Relaxed), shared.waiting_octets.load(Ordering::Relaxed));
    assert_eq!(figures(), (4, 200));
    // There is room in the queue, but not for so many octets.
    waiting.try_receive().unwrap();
    shared.waiting_octets.store(MAX_WAITING_OCTETS - 99, Ordering::Relaxed);
    copier.copy(exporter(), &[3; 100]);
    copier.hand_on();
    assert_eq!(figures(), (5, MAX_WAITING_OCTETS - 99));
}

#[test]
fn a_destination_that_nobody_listens_on_is_counted_and_holds_up_no_other() {
    let (closed, nobody) = receiver("127.0.0.1");
    drop(closed);
    let (socket, somebody) = receiver("127.0.0.1");
    let relay = Relay::start(&[to(nobody, RelaySource::Helios), to(somebody, RelaySource::Helios)]).unwrap().unwrap();
    let mut copier = relay.copier();
    for number in 0..3 {
        copier.copy(exporter(), &[number]);
        copier.hand_on();
        assert_eq!(received(&socket).0, [number]);
    }
    drop(copier);
    let shared = Arc::clone(&relay.shared);
    relay.stop();
    let failed = |at: usize| shared.destinations[at].1.failed[Failure::Error as usize].load(Ordering::Relaxed);
    // The kernel tells with the next datagram that the one before was refused.
    assert_eq!((failed(0), failed(1)), (2, 0));
}

/// Runs in a network namespace of its own, where a user without rights may open raw sockets, and whose loopback has the
/// MTU of Ethernet: long datagrams have to be fragmented.
#[test]
fn the_exporters_address_and_port_are_kept_in_both_families() {
    const INSIDE: &str = "HELIOS_TEST_INSIDE_NAMESPACE";
    let name = "relay::tests::the_exporters_address_and_port_are_kept_in_both_families";
    if std::env::var_os(INSIDE).is_none() {
        let script = "ip link set lo mtu 1500 up && exec \"$0\" --exact \"$1\"";
        let this = std::env::current_exe().unwrap();
        let mut unshare = Command::new("unshare");
        let output = unshare.args(["-rn", "sh", "-c", script]).arg(this).arg(name).env(INSIDE, "1").output();
        let output = output.expect("`unshare` (util-linux) is needed for this test");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let needs = "this test needs a user and network namespace (`unshare -rn true`) and `ip` (iproute2)";
        assert!(output.status.success() && said.contains("1 passed"), "{needs}: {said}");
        return;
    }
    for (address, source, other) in
        [("127.0.0.1", "192.0.2.7:40000", "[2001:db8::7]:40000"), ("::1", "[2001:db8::7]:40001", "192.0.2.7:40001")]
    {
        let (socket, address) = receiver(address);
        let (source, other): (SocketAddr, SocketAddr) = (source.parse().unwrap(), other.parse().unwrap());
        let mut outlet = Outlet::open(&to(address, RelaySource::Exporter)).unwrap();
        for length in [0, 1, 1400, 9001, 60_000] {
            let octets: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
            outlet.send(source, &octets).unwrap();
            assert_eq!(received(&socket), (octets, source));
        }
        let failure = outlet.send(other, &[1]).map_err(|(failure, _)| failure);
        assert_eq!(failure, Err(Failure::AddressFamily));
    }
    // As a socket for both families tells an IPv4 address.
    let (socket, address) = receiver("127.0.0.1");
    let mut outlet = Outlet::open(&to(address, RelaySource::Exporter)).unwrap();
    outlet.send("[::ffff:192.0.2.7]:40000".parse().unwrap(), &[1, 2]).unwrap();
    assert_eq!(received(&socket), (vec![1, 2], exporter()));
}
