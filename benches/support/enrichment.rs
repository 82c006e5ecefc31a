//! A made-up internet with the files that describe it, flows through it, and the two ways to name them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use helios_common::columns::{DST_ADDR, IN_IF_INDEX, OUT_IF_INDEX, SRC_ADDR, SRC_AS, SRC_CITY, SRC_COUNTRY};
use helios_common::exporter::{Address, ExporterId, Exporters, address_of, ip_of};
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::names::Names;
use helios_enricher::config::rules::{Boundary, InterfaceRule};
use helios_enricher::config::{EnricherConfig, GeoipConfig, InventoryConfig, NetworksConfig};
use helios_enricher::memo::Memo;
use helios_enricher::rows;
use helios_enricher::snapshot::Snapshot;
use helios_enricher::sources::{Remotes, Sources};
use helios_lab::mmdb::{Writer, asn_record, city_record};
use maxminddb::{Reader, path};

/// Networks of the city database, a quarter of them IPv6, and distinct records in it.
const CITY_NETWORKS: u32 = 1_000_000;
const CITIES: u32 = 20_000;

/// Networks of the AS database, and systems.
const AS_NETWORKS: u32 = 200_000;
const SYSTEMS: u32 = 60_000;

/// The network that exports: devices with interfaces, and prefixes nested in 10.0.0.0/8.
const DEVICES: u32 = 500;
const INTERFACES: u32 = 48;
const PREFIXES: u32 = 20_000;

/// Hosts that Zipf traffic is between.
const HOSTS: usize = 200_000;

/// Rows of one exporter in a row: about a datagram.
const RUN: usize = 24;

/// Batches that a pass goes through: more addresses than any cache has seen.
const BATCHES: usize = 32;

/// Random numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }
}

/// One helios would be enriched from, and the databases for the peer.
pub struct World {
    pub geoip: Setting,
    pub all: Setting,
    city: Vec<u8>,
    asn: Vec<u8>,
    networks: Vec<IpAddr>,
}

/// Sources, loaded.
pub struct Setting {
    snapshot: Snapshot,
    exporters: Exporters,
    ids: Vec<ExporterId>,
    names: Arc<Names>,
}

impl World {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder for the databases");
        let file = |name: &str| directory.path().join(name);
        let mut random = Random(1);
        let networks: Vec<IpAddr> = (0..CITY_NETWORKS).map(|n| network(n, &mut random)).collect();
        write_databases(&file("city.mmdb"), &file("asn.mmdb"), &networks, &mut random);
        std::fs::write(file("devices.yaml"), devices()).expect("the folder takes files");
        std::fs::write(file("networks.csv"), prefixes(&mut random)).expect("the folder takes files");
        let geoip = EnricherConfig {
            geoip: GeoipConfig { city: Some(file("city.mmdb")), asn: Some(file("asn.mmdb")) },
            ..EnricherConfig::default()
        };
        let mut all = EnricherConfig {
            inventory: InventoryConfig { files: vec![file("devices.yaml")] },
            networks: NetworksConfig { files: vec![file("networks.csv")], http: Vec::new() },
            ..geoip.clone()
        };
        all.rules.interfaces = vec![InterfaceRule {
            match_description: Some("(?i)^transit: (?<provider>\\w+)".into()),
            provider: Some("$provider".into()),
            connectivity: Some("transit".into()),
            boundary: Some(Boundary::External),
            ..InterfaceRule::default()
        }];
        let read = |name: &str| std::fs::read(file(name)).expect("the database was just written");
        Self {
            geoip: Setting::new(&geoip),
            all: Setting::new(&all),
            city: read("city.mmdb"),
            asn: read("asn.mmdb"),
            networks,
        }
    }
}

impl Setting {
    fn new(config: &EnricherConfig) -> Self {
        let names = Arc::new(Names::new());
        let exporters = Exporters::new(Arc::clone(&names));
        let ids = (0..DEVICES).map(|n| exporters.intern(device_address(n))).collect();
        let (_, snapshot) =
            Sources::open(config, Vec::new(), Remotes::AskOnce, &names).expect("the files were just written");
        Self { snapshot, exporters, ids, names }
    }
}

/// A /24 or, one in four, a /48: where the public internet is, and nowhere twice as often as elsewhere.
fn network(n: u32, random: &mut Random) -> IpAddr {
    if n.is_multiple_of(4) {
        let upper = (0x2a00_u64 + u64::from(random.below(16))) << 48 | u64::from(random.below(1 << 16)) << 16;
        return Ipv6Addr::from(u128::from(upper) << 64).into();
    }
    Ipv4Addr::from((0x0b00_0000 + random.below(0xc000_0000)) & 0xffff_ff00).into()
}

fn bits(network: IpAddr) -> u8 {
    if network.is_ipv4() { 24 } else { 48 }
}

fn write_databases(city_path: &Path, asn_path: &Path, networks: &[IpAddr], random: &mut Random) {
    let (mut city, mut asn) = (Writer::new("GeoLite2-City"), Writer::new("GeoLite2-ASN"));
    let cities: Vec<_> = (0..CITIES)
        .map(|n| {
            let country = [b'A' + (n % 24) as u8, b'A' + (n / 24 % 10) as u8].map(char::from);
            let record = city_record(&String::from_iter(country), Some(&format!("City {n}")));
            city.record(&record)
        })
        .collect();
    let systems: Vec<_> = (0..SYSTEMS).map(|n| asn.record(&asn_record(n + 1, &format!("System {n}")))).collect();
    let prefix = |network: IpAddr| {
        helios_common::prefix::Prefix::new(network, bits(network)).expect("both families have these bits")
    };
    for (n, &network) in networks.iter().enumerate() {
        city.insert(prefix(network), cities[random.below(CITIES) as usize]);
        if n < AS_NETWORKS as usize {
            asn.insert(prefix(network), systems[random.below(SYSTEMS) as usize]);
        }
    }
    city.write(city_path).expect("the folder takes files");
    asn.write(asn_path).expect("the folder takes files");
}

fn device_address(n: u32) -> Address {
    address_of(Ipv4Addr::from(0x0aff_0000 + n).into())
}

fn devices() -> String {
    let mut yaml = String::from("devices:\n");
    for n in 0..DEVICES {
        let address = ip_of(device_address(n));
        yaml.push_str(&format!(
            "- {{name: edge{n}, addresses: [{address}], site: s{}, role: edge, interfaces: [",
            n % 40
        ));
        for index in 1..=INTERFACES {
            let description = if index % 8 == 0 { "Transit: Arelion" } else { "access" };
            yaml.push_str(&format!(
                "{{index: {index}, name: et-0/0/{index}, description: '{description}', speed: 10G}},"
            ));
        }
        yaml.push_str("]}\n");
    }
    yaml
}

fn prefixes(random: &mut Random) -> String {
    let mut csv = String::from("network,name,site,role,tenant\n10.0.0.0/8,corp,hq,,acme\n");
    for n in 0..PREFIXES {
        let bits = 16 + random.below(13);
        let address = Ipv4Addr::from(0x0a00_0000 | random.below(1 << 24) & !(u32::MAX >> bits));
        csv.push_str(&format!("{address}/{bits},net{n},s{},access,t{}\n", n % 40, n % 100));
    }
    csv
}

/// Families of the addresses.
#[derive(Clone, Copy)]
pub enum Mix {
    Ipv4,
    OneInFiveIpv6,
    Ipv6,
}

#[derive(Clone, Copy)]
pub enum Spread {
    /// Between [`HOSTS`] hosts, the n-th of which is seen 1/n as often as the first.
    Zipf,
    /// Every network equally often: the worst case for the caches.
    Uniform,
}

/// Rows to name: sources are of the own network for every second flow.
pub struct Flows {
    batches: Vec<[Vec<Address>; 2]>,
}

impl Flows {
    pub fn new(world: &World, mix: Mix, spread: Spread) -> Self {
        let mut random = Random(7);
        let of_family: Vec<IpAddr> = world
            .networks
            .iter()
            .enumerate()
            .filter(|(n, network)| match mix {
                Mix::Ipv4 => network.is_ipv4(),
                Mix::Ipv6 => network.is_ipv6(),
                Mix::OneInFiveIpv6 => network.is_ipv4() || n % 16 < 12,
            })
            .map(|(_, network)| *network)
            .collect();
        let host = |network: IpAddr, random: &mut Random| {
            let mut address = address_of(network);
            address[15] |= random.below(256) as u8;
            address
        };
        let hosts: Vec<Address> = (0..HOSTS)
            .map(|_| {
                let network = of_family[random.below(of_family.len() as u32) as usize];
                host(network, &mut random)
            })
            .collect();
        let zipf = Zipf::new(HOSTS);
        let address = |random: &mut Random| match spread {
            Spread::Zipf => hosts[zipf.draw(random)],
            Spread::Uniform => host(of_family[random.below(of_family.len() as u32) as usize], random),
        };
        let own = |random: &mut Random| address_of(Ipv4Addr::from(0x0a00_0000 | random.below(1 << 24)).into());
        let batch = |_| {
            let sources = (0..BATCH_ROWS).map(|row| if row % 2 == 0 { own(&mut random) } else { address(&mut random) });
            let sources: Vec<Address> = sources.collect();
            let destinations = (0..BATCH_ROWS).map(|_| address(&mut random)).collect();
            [sources, destinations]
        };
        Self { batches: (0..BATCHES).map(batch).collect() }
    }
}

/// Draws from a Zipf distribution with exponent 1 by its cumulated weights.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=n)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or(0.0);
        let at = random.next() as f64 / u64::MAX as f64 * total;
        self.0.partition_point(|&sum| sum < at).min(self.0.len() - 1)
    }
}

/// The enricher's work on batches.
pub struct Helios<'a> {
    setting: &'a Setting,
    memo: Memo,
    batch: FlowBatch,
}

impl<'a> Helios<'a> {
    pub fn new(setting: &'a Setting) -> Self {
        Self { setting, memo: Memo::default(), batch: FlowBatch::new() }
    }

    pub fn pass(&mut self, flows: &Flows) -> usize {
        for (at, batch) in flows.batches.iter().enumerate() {
            self.name(at, batch);
        }
        flows.batches.len() * BATCH_ROWS
    }

    fn name(&mut self, at: usize, [sources, destinations]: &[Vec<Address>; 2]) {
        self.batch.clear();
        let rows = sources.len();
        for start in (0..rows).step_by(RUN) {
            let end = rows.min(start + RUN);
            let n = start / RUN + at * 37;
            self.batch.open(SRC_ADDR).extend_from_slice(&sources[start..end]);
            self.batch.open(DST_ADDR).extend_from_slice(&destinations[start..end]);
            self.batch.fill(IN_IF_INDEX, end - start, 1 + n as u32 % INTERFACES);
            self.batch.fill(OUT_IF_INDEX, end - start, 1 + (n as u32 * 7) % INTERFACES);
            self.batch.advance(end - start, self.setting.ids[n % self.setting.ids.len()]);
        }
        rows::enrich(&mut self.batch, &self.setting.snapshot, &self.setting.exporters, &mut self.memo);
    }
}

/// The look-ups of both ends alone: the record that has every name of an address, with all sources.
pub struct Lookup<'a> {
    setting: &'a Setting,
    ids: Vec<u32>,
}

impl<'a> Lookup<'a> {
    pub fn new(setting: &'a Setting) -> Self {
        Self { setting, ids: vec![0; BATCH_ROWS] }
    }

    pub fn pass(&mut self, flows: &Flows) -> usize {
        for addresses in flows.batches.iter().flatten() {
            self.setting.snapshot.addresses.lookup(addresses, &mut self.ids);
            std::hint::black_box(&self.ids);
        }
        flows.batches.len() * BATCH_ROWS
    }
}

/// What one writes who has `maxminddb` and no table: four fields of both ends of every flow.
pub struct Peer<'a> {
    city: Reader<&'a [u8]>,
    asn: Reader<&'a [u8]>,
}

type Answer<'a> = (Option<&'a str>, Option<&'a str>, Option<u32>, Option<&'a str>);

impl<'a> Peer<'a> {
    pub fn new(world: &'a World) -> Self {
        let open = |bytes: &'a [u8]| Reader::from_source(bytes).expect("the database was just written");
        Self { city: open(&world.city), asn: open(&world.asn) }
    }

    fn answer(&self, address: Address) -> Answer<'_> {
        let ip = ip_of(address);
        let (mut country, mut city, mut asn, mut name) = Answer::default();
        if let Ok(found) = self.city.lookup(ip) {
            country = found.decode_path(&path!["country", "iso_code"]).ok().flatten();
            city = found.decode_path(&path!["city", "names", "en"]).ok().flatten();
        }
        if let Ok(found) = self.asn.lookup(ip) {
            asn = found.decode_path(&path!["autonomous_system_number"]).ok().flatten();
            name = found.decode_path(&path!["autonomous_system_organization"]).ok().flatten();
        }
        (country, city, asn, name)
    }

    /// A part of the batches: it takes as long as Helios for all of them and more.
    pub fn pass(&self, flows: &Flows) -> usize {
        let part = &flows.batches[..flows.batches.len() / 16];
        for [sources, destinations] in part {
            for address in sources.iter().zip(destinations).flat_map(|(source, destination)| [source, destination]) {
                std::hint::black_box(self.answer(*address));
            }
        }
        part.len() * BATCH_ROWS
    }
}

/// Helios says of every source what the databases say.
pub fn assert_same_answers(world: &World, flows: &Flows) {
    let (mut helios, peer) = (Helios::new(&world.geoip), Peer::new(world));
    let Some(batch) = flows.batches.first() else { return };
    helios.name(0, batch);
    let names = world.geoip.names.read();
    for (row, &address) in batch[0].iter().enumerate() {
        let (country, city, asn, _) = peer.answer(address);
        let own = [SRC_COUNTRY, SRC_CITY].map(|col| names.get(helios.batch.get(col, row)));
        assert_eq!(own, [country.unwrap_or(""), city.unwrap_or("")], "{}", ip_of(address));
        assert_eq!(helios.batch.get(SRC_AS, row), asn.unwrap_or(0), "{}", ip_of(address));
    }
}
