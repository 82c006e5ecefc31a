//! Everything that is known of an address, as one record found by one look-up.
//!
//! GeoIP and the global networks are laid over each other when a snapshot is built, and every distinct combination
//! becomes a [`Record`]. A VRF has a table of its own for what its networks hold, again with GeoIP underneath; an address
//! that it does not hold is looked up globally, see [`crate::networks`].
//!
//! Of the country a network's own value goes before GeoIP's, and the city is left out where the two disagree. The order
//! of the sources of AS numbers is configured ([`AsOrder`]); what is known when the tables are built is decided then, so
//! that a row has to choose between at most three numbers.

use hashbrown::HashMap;
use helios_common::exporter::Address;
use helios_common::names::{NO_NAME, NameId};

use crate::config::{AsSource, GeoipConfig};
use crate::geoip::database::Layer;
use crate::geoip::layout::Wanted;
use crate::geoip::{Place, Places};
use crate::hits::{GEOIP_ASN, GEOIP_CITY, SourceSet, SourceSets};
use crate::inventory::Network;
use crate::lookup::PrefixTable;
use crate::lookup::runs::{Entry, Runs};
use crate::lookup::table::Table;
use crate::networks::{Flat, NetworkTables};

/// What is known of an address: half a cache line. The default is that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(align(32))]
pub struct Record {
    /// ISO 3166-1 alpha-2.
    pub country: NameId,
    /// English name.
    pub city: NameId,
    /// Of the sources behind the flow itself; 0 if none knows one.
    pub asn: u32,
    /// Of `asn`.
    pub as_name: NameId,
    /// Column `src_network` or `dst_network`: the name of the network.
    pub network: NameId,
    /// Of the network.
    pub site: NameId,
    /// Of the network.
    pub role: NameId,
    /// Of the network.
    pub tenant: NameId,
}

/// Which columns the tables can say anything about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knows {
    /// From GeoIP or networks.
    pub country: bool,
    /// From GeoIP.
    pub city: bool,
    /// Numbers of autonomous systems, or names for the numbers that flows bring.
    pub asn: bool,
    /// Names of networks.
    pub network: bool,
    /// Sites of networks.
    pub site: bool,
    /// Roles of networks.
    pub role: bool,
    /// Tenants of networks.
    pub tenant: bool,
}

/// Where AS numbers are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOrder {
    /// GeoIP's number or the network's, or the one and then the other; the flow's own comes in between.
    before: [Option<AsSource>; 2],
    after: [Option<AsSource>; 2],
    /// Whether a private AS number of the flow counts only when no source knows another number.
    pub except_private: bool,
}

impl AsOrder {
    pub(crate) fn new(sources: &[AsSource]) -> Self {
        let mut order = Self { before: [None; 2], after: [None; 2], except_private: false };
        let mut flow_seen = false;
        for &source in sources {
            if matches!(source, AsSource::Flow | AsSource::FlowExceptPrivate) {
                flow_seen = true;
                order.except_private = source == AsSource::FlowExceptPrivate;
                continue;
            }
            let slots = if flow_seen { &mut order.after } else { &mut order.before };
            if let Some(slot) = slots.iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(source);
            }
        }
        order
    }

    fn pick(sources: [Option<AsSource>; 2], place: &Place, network: &Network) -> u32 {
        let number = |source| if source == AsSource::Geoip { place.asn } else { network.asn };
        sources.into_iter().flatten().map(number).find(|&number| number != 0).unwrap_or(0)
    }
}

/// Which of the databases places and AS numbers are from.
#[derive(Debug, Clone, Copy)]
pub struct GeoipSources {
    place: SourceSet,
    asn: SourceSet,
}

impl GeoipSources {
    /// With one database everything is from it, see [`crate::geoip`].
    pub fn new(config: &GeoipConfig) -> Self {
        let place = if config.city.is_some() { GEOIP_CITY } else { GEOIP_ASN };
        let asn = if config.asn.is_some() { GEOIP_ASN } else { GEOIP_CITY };
        Self { place: SourceSet::of(place), asn: SourceSet::of(asn) }
    }

    fn knowing(self, place: &Place) -> SourceSet {
        let set = |known: bool, set| if known { set } else { SourceSet::default() };
        set(place.country | place.city != NO_NAME, self.place).with(set(place.asn != 0, self.asn))
    }
}

/// The tables, immutable.
#[derive(Debug)]
pub struct Addresses {
    global: PrefixTable,
    vrfs: Vec<PrefixTable>,
    records: Vec<Record>,
    /// Of each record, the number of the set of sources that know of it.
    tags: Vec<u16>,
    sets: SourceSets,
    /// Numbers that go before the flow's own; empty if no source does.
    first_as: Vec<u32>,
    except_private: bool,
    as_names: Table,
    knows: Knows,
    /// Position in `places` of each record: the way back to what GeoIP said alone.
    origins: Vec<u32>,
    places: Vec<Place>,
}

impl Addresses {
    /// Lays GeoIP under the networks, and its names of autonomous systems under `own_names`.
    pub fn new(
        geo: Option<Layer>,
        networks: &NetworkTables,
        own_names: &[(u32, NameId)],
        order: AsOrder,
        geoip: GeoipSources,
    ) -> Self {
        let geo =
            geo.unwrap_or_else(|| Layer { v4: Runs::default(), v6: Runs::default(), places: vec![Place::default()] });
        let mut records = Records::new(&geo.places, networks, own_names, order, geoip);
        let mut id = |place, network| records.id(place, network);
        let Flat { v4, v6 } = &networks.global;
        let v4 = geo.v4.join(v4, &mut id);
        let v6 = geo.v6.join(v6, &mut id);
        let global = PrefixTable::from_runs(&v4, &v6).with_carried_ipv4();
        let vrf = |flat: &Flat| {
            let v4 = flat.v4.join_within(&geo.v4, |network, place| records.id(place, network));
            let v6 = flat.v6.join_within(&geo.v6, |network, place| records.id(place, network));
            PrefixTable::from_runs(&v4, &v6)
        };
        let vrfs = networks.vrfs.iter().map(vrf).collect();
        let Records { list, tags, sets, first_as, origins, as_names, .. } = records;
        Self {
            global,
            vrfs,
            knows: knows(&list, &first_as, !own_names.is_empty()),
            records: list,
            tags,
            sets,
            first_as,
            except_private: order.except_private,
            as_names,
            origins,
            places: geo.places,
        }
    }

    /// What GeoIP alone said, a part of it: as if it had just been read from its file.
    pub fn layer(&self, wanted: Wanted) -> Layer {
        let mut places = Places::default();
        let ids: Vec<u32> = self.places.iter().map(|place| places.id(place.only(wanted))).collect();
        let id = |record: u32| {
            let place = self.origins.get(record as usize).copied().unwrap_or(0);
            ids.get(place as usize).copied().unwrap_or(0)
        };
        let (v4, v6) = self.global.runs();
        Layer { v4: v4.map(id), v6: v6.map(id), places: places.list }
    }

    /// Writes the record id of each address in the global table; `ids` is as long as `addresses`.
    pub fn lookup(&self, addresses: &[Address], ids: &mut [u32]) {
        self.global.lookup(addresses, ids);
    }

    /// The record id of an address by the networks of a VRF, 0 if they do not hold it. VRFs count from 1.
    pub fn lookup_in(&self, vrf: u16, address: Address) -> u32 {
        let table = usize::from(vrf).checked_sub(1).and_then(|vrf| self.vrfs.get(vrf));
        table.map_or(0, |table| table.get(address))
    }

    /// The record behind an id that these tables gave.
    #[inline(always)]
    pub fn record(&self, id: u32) -> &Record {
        static NOTHING: Record =
            Record { country: 0, city: 0, asn: 0, as_name: 0, network: 0, site: 0, role: 0, tenant: 0 };
        self.records.get(id as usize).unwrap_or(&NOTHING)
    }

    /// The numbers of the records' sets of sources.
    pub fn tags(&self) -> &[u16] {
        &self.tags
    }

    /// The sets of sources that records are from, by their numbers.
    pub fn sets(&self) -> &[SourceSet] {
        self.sets.list()
    }

    /// All that is known of one address, in a VRF or globally (0).
    pub fn record_of(&self, vrf: u16, address: Address) -> &Record {
        match self.lookup_in(vrf, address) {
            0 => self.record(self.global.get(address)),
            id => self.record(id),
        }
    }

    /// The AS number of a row whose own is `flow`.
    #[inline(always)]
    pub fn asn(&self, id: u32, flow: u32) -> u32 {
        if !self.first_as.is_empty() {
            let first = self.first_as.get(id as usize).copied().unwrap_or(0);
            if first != 0 {
                return first;
            }
        }
        let known = self.record(id).asn;
        let keeps = flow != 0 && !(self.except_private && known != 0 && is_private_as(flow));
        if keeps { flow } else { known }
    }

    /// The name of an AS number that need not come from here.
    #[inline(always)]
    pub fn as_name(&self, asn: u32) -> NameId {
        self.as_names.get(as_key(asn))
    }

    pub(crate) fn knows(&self) -> Knows {
        self.knows
    }

    /// Memory that the tables occupy.
    pub fn bytes(&self) -> usize {
        self.global.bytes()
            + self.vrfs.iter().map(PrefixTable::bytes).sum::<usize>()
            + self.as_names.bytes()
            + size_of_val(self.records.as_slice())
            + size_of_val(self.tags.as_slice())
            + size_of_val(self.first_as.as_slice())
            + size_of_val(self.origins.as_slice())
            + size_of_val(self.places.as_slice())
    }
}

/// Numbers for use inside of a network (RFC 6996 §5) and the reserved ones around them (RFC 7300, RFC 4893 §3).
pub const fn is_private_as(asn: u32) -> bool {
    matches!(asn, 23_456 | 64_512..=65_535 | 4_200_000_000..=u32::MAX)
}

fn knows(records: &[Record], first_as: &[u32], as_named: bool) -> Knows {
    let any = |value: fn(&Record) -> u32| records.iter().any(|record| value(record) != 0);
    Knows {
        country: any(|record| record.country),
        city: any(|record| record.city),
        asn: any(|record| record.asn) || first_as.iter().any(|&asn| asn != 0) || as_named,
        network: any(|record| record.network),
        site: any(|record| record.site),
        role: any(|record| record.role),
        tenant: any(|record| record.tenant),
    }
}

/// Distinct combinations of a place and a network; the id of each is its position, 0 is nothing at all.
struct Records<'a> {
    places: &'a [Place],
    networks: &'a [Network],
    order: AsOrder,
    as_names: Table,
    ids: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    list: Vec<Record>,
    geoip: GeoipSources,
    tags: Vec<u16>,
    sets: SourceSets,
    first_as: Vec<u32>,
    origins: Vec<u32>,
}

impl<'a> Records<'a> {
    fn new(
        places: &'a [Place],
        networks: &'a NetworkTables,
        own_names: &[(u32, NameId)],
        order: AsOrder,
        geoip: GeoipSources,
    ) -> Self {
        let mut records = Self {
            places,
            networks: &networks.networks,
            order,
            as_names: as_names(places, own_names),
            ids: HashMap::default(),
            list: Vec::new(),
            geoip,
            tags: Vec::new(),
            sets: SourceSets::default(),
            first_as: Vec::new(),
            origins: Vec::new(),
        };
        records.id(0, 0);
        records
    }

    fn id(&mut self, place: u32, network: u32) -> u32 {
        if let Some(&known) = self.ids.get(&(place, network)) {
            return known;
        }
        let id = self.list.len() as u32;
        self.ids.insert((place, network), id);
        self.push(place, network);
        id
    }

    fn push(&mut self, place_id: u32, network: u32) {
        let place = self.places.get(place_id as usize).copied().unwrap_or_default();
        let none = Network::new(helios_common::prefix::Prefix::ALL_IPV6);
        let network = self.networks.get(network as usize).unwrap_or(&none);
        let (country, city) = match network.country {
            NO_NAME => (place.country, place.city),
            own if own == place.country => (own, place.city),
            own => (own, NO_NAME),
        };
        let asn = AsOrder::pick(self.order.after, &place, network);
        self.list.push(Record {
            country,
            city,
            asn,
            as_name: self.as_names.get(as_key(asn)),
            network: network.name,
            site: network.site,
            role: network.role,
            tenant: network.tenant,
        });
        self.tags.push(self.sets.number(self.geoip.knowing(&place).with(network.sources)));
        self.origins.push(place_id);
        if self.order.before != [None; 2] {
            self.first_as.push(AsOrder::pick(self.order.before, &place, network));
        }
    }
}

/// From AS number to name: of several names for a number the first one, the network's own before GeoIP's.
fn as_names(places: &[Place], own: &[(u32, NameId)]) -> Table {
    let places = places.iter().map(|place| (place.asn, place.as_name));
    // Of two entries with the same key the later one counts.
    let named = own.iter().copied().chain(places).rev().filter(|&(asn, name)| asn != 0 && name != NO_NAME);
    Table::from_runs(&Runs::flatten(named.map(|(asn, name)| Entry { start: asn, bits: 32, value: name }).collect()))
}

/// AS numbers are looked up like IPv4 addresses.
fn as_key(asn: u32) -> u128 {
    u128::from(asn) << 96
}

#[cfg(test)]
impl Addresses {
    /// Tables of databases alone; `None` without any.
    pub(crate) fn of_geo(city: Option<Layer>, asn: Option<Layer>) -> Option<Self> {
        let networks = NetworkTables::new(&[], &[], &helios_common::names::Names::new());
        let order = AsOrder::new(&[AsSource::Flow, AsSource::Geoip]);
        let geoip = GeoipSources::new(&GeoipConfig::default());
        Some(Self::new(Some(Layer::merge(city, asn)?), &networks, &[], order, geoip))
    }

    pub(crate) fn place_of(&self, address: Address) -> Record {
        *self.record_of(0, address)
    }
}

#[cfg(test)]
mod tests;
