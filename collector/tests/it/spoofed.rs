//! Made-up senders, domains and templates by the million: an honest exporter keeps what it has, and can add to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use helios_collector::decode::{DatagramMeta, DecodeError, Decoded, DecoderConfig, Discarded, ExporterStats};
use helios_collector::encode::{Field, Put, field, ipfix};
use helios_common::columns::{BYTES, SAMPLING_INTERVAL, SAMPLING_SOURCE, VRF_NAME};

use crate::bench::{Bench, NOW};

/// Octets, and the sampler that chose the packets.
const FLOW: [Field; 2] = [field(1, 4), field(48, 2)];
const SAMPLERS: [Field; 2] = [field(48, 2), field(50, 4)];
const SAMPLER: u8 = 2;

const DOMAIN: u32 = 7;
const MILLION: u32 = 1_000_000;
const MAX_DOMAINS: usize = 256;
const MAX_EXPORTERS: usize = 65_536;
const MAX_EXPORTER_TEMPLATES: usize = 4096;
const MAX_WORKER_TEMPLATES: usize = 131_072;
const MAX_WORKER_HELD_OCTETS: usize = 64 << 20;

fn honest() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

fn spoofer(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), 4000)
}

fn message(domain: u32, write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    crate::bench::ipfix_in(domain, write)
}

fn flows(template: u16) -> Vec<u8> {
    message(DOMAIN, |m| {
        m.data(template, |out| {
            out.put_u32(1500);
            out.put_u16(3);
        });
    })
}

/// A decoder that has known an honest exporter for an hour.
struct Stand(Bench);

impl Stand {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(configure: impl FnOnce(&mut DecoderConfig)) -> Self {
        let mut stand = Self(Bench::with(configure));
        let announcement = message(DOMAIN, |m| {
            m.template(256, &FLOW);
            m.options_template(257, 1, &SAMPLERS);
            m.data(257, |out| {
                out.put_u16(3);
                out.put_u32(512);
            });
        });
        stand.send(honest(), NOW - 3_600_000, &announcement).unwrap();
        stand.works(256);
        stand
    }

    fn send(&mut self, source: SocketAddr, received_at: i64, datagram: &[u8]) -> Result<Decoded, Discarded> {
        self.0.decoder.decode(datagram, &DatagramMeta { source, received_at }, &mut self.0.out)
    }

    /// Honest data becomes a row with the interval of its sampler.
    fn works(&mut self, template: u16) {
        self.0.out.clear();
        let decoded = self.send(honest(), NOW, &flows(template)).unwrap();
        let out = &self.0.out;
        assert_eq!((decoded.rows, out.get(BYTES, 0)), (1, 1500));
        assert_eq!((out.get(SAMPLING_INTERVAL, 0), out.get(SAMPLING_SOURCE, 0)), (512, SAMPLER));
    }

    /// The honest exporter is as it was, and new definitions of it count.
    fn check(&mut self) {
        self.works(256);
        self.send(honest(), NOW, &message(DOMAIN, |m| m.template(300, &FLOW))).unwrap();
        self.works(300);
        self.works(256);
        self.0.decoder.expire(NOW);
        self.works(256);
        self.works(300);
    }

    fn spoofed(&self) -> impl Iterator<Item = ExporterStats> + '_ {
        let honest = helios_common::exporter::address_of(honest().ip());
        self.0.decoder.exporters().filter(move |exporter| exporter.address != honest)
    }

    fn templates(&self) -> usize {
        self.0.decoder.exporters().map(|exporter| exporter.templates).sum()
    }
}

/// Puts a number at `at` into a message that was written once: writing a million anew takes longer than reading them.
fn patch(message: &mut [u8], at: usize, octets: &[u8]) {
    message[at..at + octets.len()].copy_from_slice(octets);
}

#[test]
fn a_million_domains() {
    let mut stand = Stand::new();
    let mut template = message(0, |m| m.template(256, &FLOW));
    let mut refused = 0;
    for domain in 0..MILLION {
        patch(&mut template, 12, &domain.to_be_bytes());
        match stand.send(spoofer(1), NOW, &template) {
            Ok(_) => {}
            Err(discarded) => {
                assert_eq!(discarded.error, DecodeError::TooManyDomains);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, MILLION as usize - MAX_DOMAINS);
    let seen = stand.spoofed().next().unwrap();
    assert_eq!((seen.domains, seen.templates), (MAX_DOMAINS, MAX_DOMAINS));
    stand.check();
}

#[test]
fn more_domains_of_many_senders_than_there_is_room_for() {
    const ROOM: usize = 8000;
    let mut stand = Stand::with(|config| config.max_domains = ROOM);
    let mut nothing = message(0, |_| ());
    for n in 0..200 {
        for domain in 0..MAX_DOMAINS as u32 {
            patch(&mut nothing, 12, &domain.to_be_bytes());
            let refused = stand.send(spoofer(n), NOW, &nothing).is_err();
            assert!(!(refused && domain == 0), "everybody has room for one");
        }
    }
    let domains: usize = stand.spoofed().map(|exporter| exporter.domains).sum();
    assert!(domains <= ROOM - ROOM / 8 + 200, "{domains} domains");
    stand.check();
    for domain in 100..200 {
        stand.send(honest(), NOW, &message(domain, |m| m.template(256, &FLOW))).expect("the established have room");
    }
}

#[test]
fn a_million_template_definitions_of_one_sender() {
    let mut stand = Stand::new();
    let fields = [field(1, 4)];
    let mut sent = 0;
    let definitions = |from: u32| {
        message(from % 200, |m| {
            for n in 0..1000 {
                m.template(256 + ((from + n) % 60_000) as u16, &fields);
            }
        })
    };
    while sent < 20_000 {
        stand.send(spoofer(1), NOW, &definitions(sent)).unwrap();
        sent += 1000;
    }
    // The others are that are there already: a refresh each.
    let refresh = definitions(sent - 1000);
    while sent < MILLION {
        stand.send(spoofer(1), NOW, &refresh).unwrap();
        sent += 1000;
    }
    let seen = stand.spoofed().next().unwrap();
    assert!(seen.templates <= MAX_EXPORTER_TEMPLATES, "{} templates", seen.templates);
    assert_eq!(seen.stats.tally.template_definitions, u64::from(MILLION));
    stand.check();
}

#[test]
fn more_senders_than_state_is_kept_for_each_with_templates() {
    let mut stand = Stand::new();
    let announcement = message(0, |m| (256..259).for_each(|id| m.template(id, &[field(1, 4)])));
    let mut refused = 0;
    for n in 0..70_000 {
        if let Err(discarded) = stand.send(spoofer(n), NOW, &announcement) {
            assert_eq!(discarded.error, DecodeError::TooManyExporters);
            refused += 1;
        }
    }
    assert_eq!((stand.spoofed().count() + 1, refused), (MAX_EXPORTERS, 70_001 - MAX_EXPORTERS));
    let templates = stand.templates();
    assert!(templates < MAX_WORKER_TEMPLATES, "{templates} templates leave an established exporter no room");
    stand.check();
    assert_eq!(stand.templates(), templates + 1, "a new template of the honest one took no other's place");
}

#[test]
fn more_samplers_than_there_is_room_for() {
    const MAX_ENTRIES: usize = 80_000;
    let mut stand = Stand::with(|config| config.max_entries = MAX_ENTRIES);
    let announce = |samplers: std::ops::Range<u16>| {
        message(DOMAIN, |m| {
            m.options_template(257, 1, &SAMPLERS);
            m.data(257, |out| {
                for id in samplers {
                    out.put_u16(id);
                    out.put_u32(1000);
                }
            });
        })
    };
    let many = announce(0..1000);
    for n in 0..100 {
        stand.send(spoofer(n), NOW, &many).unwrap();
    }
    // A sampler is an entry of its domain and one of the exporter. Who comes late gets none.
    let refused: u64 = stand.spoofed().map(|exporter| exporter.options_refused).sum();
    assert_eq!(refused as usize, 100 * 2000 - (MAX_ENTRIES - MAX_ENTRIES / 8 - 2));
    stand.check();
    stand.send(honest(), NOW, &announce(3..4)).unwrap();
    stand.0.out.clear();
    stand.send(honest(), NOW, &flows(256)).unwrap();
    assert_eq!(stand.0.out.get(SAMPLING_INTERVAL, 0), 1000, "what is there can change");
    stand.send(honest(), NOW, &announce(4..900)).unwrap();
    let of_honest = stand.0.decoder.exporters().map(|exporter| exporter.options_refused).sum::<u64>() - refused;
    assert_eq!(of_honest, 0, "an established exporter has room for more");
}

#[test]
fn more_names_than_there_is_room_for() {
    const ROOM: usize = 4000;
    const NAME: Field = field(236, 8); // VRFname
    let mut stand = Stand::with(|config| config.max_names = ROOM);
    let named = |id: u16, names: std::ops::Range<u32>| {
        message(DOMAIN, |m| {
            m.template(id, &[NAME]);
            m.data(id, |out| names.for_each(|name| out.put(format!("{name:08}").as_bytes())));
        })
    };
    for n in 0..10 {
        stand.send(spoofer(n), NOW, &named(500, n * 1000..(n + 1) * 1000)).unwrap();
    }
    let named_rows = stand.0.out.values(VRF_NAME).iter().filter(|&&name| name != 0).count();
    assert_eq!(named_rows, ROOM - ROOM / 8, "the addresses of the exporters have room of their own");
    stand.0.out.clear();
    stand.send(honest(), NOW, &named(500, 9999..10_000)).unwrap();
    assert_eq!(
        stand.0.names_of(stand.0.out.values(VRF_NAME)),
        ["00009999"],
        "an established exporter has room for more"
    );
}

#[test]
fn data_that_waits_for_templates_that_never_come() {
    let mut stand = Stand::new();
    let data = message(0, |m| m.data(999, |out| out.put(&[0; 60_000])));
    for n in 0..400 {
        for _ in 0..5 {
            stand.send(spoofer(n), NOW, &data).unwrap();
        }
    }
    // Four of these fit into what one exporter may have waiting.
    let held: u64 = stand
        .spoofed()
        .map(|exporter| exporter.held_sets.held - exporter.held_sets.evicted.min(exporter.held_sets.held))
        .sum();
    assert!(held as usize * 60_000 <= MAX_WORKER_HELD_OCTETS, "{held} sets held");
    assert!(stand.spoofed().any(|exporter| exporter.held_sets.held == 0), "the worker's limit was reached");
    stand.check();
    stand.0.decoder.expire(NOW + 31 * 60_000);
    let waiting = |stats: &ExporterStats| stats.held_sets.held - stats.held_sets.expired;
    assert!(stand.spoofed().all(|exporter| waiting(&exporter) <= exporter.held_sets.evicted));
    let template = message(0, |m| m.template(999, &[field(1, 4)]));
    assert_eq!(stand.send(spoofer(1), NOW + 31 * 60_000, &template).unwrap().held_records, 0, "all of them expired");
}

#[test]
fn held_rows_come_out_in_portions() {
    let mut bench = Bench::new();
    let held = message(0, |m| m.data(256, |out| out.put(&[6; 5000])));
    (0..4).for_each(|_| _ = bench.decode(&held));
    let portions = [message(0, |m| m.template(256, &[field(4, 1)])), message(0, |_| ()), message(0, |_| ())];
    assert_eq!(portions.map(|message| bench.decode(&message).held_rows), [10_000, 10_000, 0]);
}

#[test]
fn the_domains_of_an_exporter_share_what_it_may_have_waiting() {
    let mut bench = Bench::new();
    for domain in 0..250 {
        bench.decode(&message(domain, |m| m.data(999, |out| out.put(&[0; 10_000]))));
    }
    let held = bench.decoder.exporters().next().unwrap().held_sets;
    assert_eq!((held.held, held.evicted), (25, 225), "256 KiB take 25 sets of 10,000 octets, queues included");
    assert_eq!(bench.decode(&message(0, |m| m.template(999, &[field(1, 4)]))).held_records, 2500);
}
