//! GeoIP: country, city and autonomous system of an address.
//!
//! One or two MaxMind DB files ([`database`], [`layout`]) become one table from address to [`Place`], so that an
//! address is looked up once, whatever the number of files. A look-up in the files themselves costs a walk of up
//! to 128 nodes and a decode, over and over; here the whole file is walked once when it is loaded. [`reload`]
//! takes replaced files up.
//!
//! With two files countries and cities come from `city` and autonomous systems from `asn`, with one everything
//! that it has. The name of an AS is a function of its number, so flows that bring their AS get the name too.

pub mod database;
pub mod layout;
pub mod reload;

use std::path::PathBuf;
use std::{fmt, io};

use hashbrown::HashMap;
use helios_common::exporter::Address;
use helios_common::names::{NO_NAME, NameId};
use maxminddb::MaxMindDbError;

use crate::lookup::PrefixTable;
use crate::lookup::runs::{Entry, Runs};
use crate::lookup::table::Table;
use database::Layer;
use layout::Wanted;

/// What is known of an address. The default is that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: NameId,
    pub city: NameId,
    /// 0 if none is known.
    pub asn: u32,
    pub as_name: NameId,
}

impl Place {
    /// The part of the place that is wanted.
    fn only(self, wanted: Wanted) -> Self {
        let (country, city) = if wanted.place { (self.country, self.city) } else { (NO_NAME, NO_NAME) };
        let (asn, as_name) = if wanted.asn { (self.asn, self.as_name) } else { (0, NO_NAME) };
        Self { country, city, asn, as_name }
    }

    /// Country and city of this place, the autonomous system of another.
    fn with_as_of(self, other: Self) -> Self {
        Self { asn: other.asn, as_name: other.as_name, ..self }
    }
}

/// Distinct places; the id of each is its position, 0 is the default.
#[derive(Debug)]
struct Places {
    list: Vec<Place>,
    ids: HashMap<Place, u32, foldhash::fast::RandomState>,
}

impl Default for Places {
    fn default() -> Self {
        Self { list: vec![Place::default()], ids: std::iter::once((Place::default(), 0)).collect() }
    }
}

impl Places {
    fn id(&mut self, place: Place) -> u32 {
        *self.ids.entry(place).or_insert_with(|| {
            self.list.push(place);
            self.list.len() as u32 - 1
        })
    }
}

/// Which columns a [`Geo`] can say anything about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knows {
    pub country: bool,
    pub city: bool,
    pub asn: bool,
}

/// The places of all addresses, immutable.
#[derive(Debug)]
pub struct Geo {
    table: PrefixTable,
    places: Vec<Place>,
    as_names: Table,
    knows: Knows,
}

impl Geo {
    /// Merges what was read from the files; `None` if there are none.
    pub fn merge(city: Option<Layer>, asn: Option<Layer>) -> Option<Self> {
        let layer = match (city, asn) {
            (Some(city), Some(asn)) => city.join(&asn),
            (only, None) | (None, only) => only?,
        };
        Some(Self::new(layer))
    }

    fn new(layer: Layer) -> Self {
        let mut places = layer.places;
        let as_names = as_names(&places);
        for place in &mut places {
            place.as_name = as_names.get(as_key(place.asn));
        }
        let knows = Knows {
            country: places.iter().any(|place| place.country != NO_NAME),
            city: places.iter().any(|place| place.city != NO_NAME),
            asn: places.iter().any(|place| place.asn != 0),
        };
        let table = PrefixTable::from_runs(&layer.v4, &layer.v6).with_carried_ipv4();
        Self { table, places, as_names, knows }
    }

    /// A part of this table as if it had just been read from its file.
    fn layer(&self, wanted: Wanted) -> Layer {
        let mut places = Places::default();
        let ids: Vec<u32> = self.places.iter().map(|place| places.id(place.only(wanted))).collect();
        let id = |id: u32| ids.get(id as usize).copied().unwrap_or(0);
        let (v4, v6) = self.table.runs();
        Layer { v4: v4.map(id), v6: v6.map(id), places: places.list }
    }

    /// Writes the place id of each address; `ids` is as long as `addresses`.
    pub fn lookup(&self, addresses: &[Address], ids: &mut [u32]) {
        self.table.lookup(addresses, ids);
    }

    /// The place behind an id that [`lookup`](Self::lookup) of the same table wrote.
    #[inline(always)]
    pub fn place(&self, id: u32) -> Place {
        self.places.get(id as usize).copied().unwrap_or_default()
    }

    /// The place of one address.
    pub fn place_of(&self, address: Address) -> Place {
        self.place(self.table.get(address))
    }

    /// The name of an AS number that need not come from here.
    #[inline(always)]
    pub fn as_name(&self, asn: u32) -> NameId {
        self.as_names.get(as_key(asn))
    }

    pub fn knows(&self) -> Knows {
        self.knows
    }

    /// Distinct places.
    pub fn len(&self) -> usize {
        self.places.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the tables occupy.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.as_names.bytes() + self.places.len() * size_of::<Place>()
    }
}

/// From AS number to name: of several names for a number the first one.
fn as_names(places: &[Place]) -> Table {
    let named = places.iter().rev().filter(|place| place.asn != 0 && place.as_name != NO_NAME);
    Table::from_runs(&Runs::flatten(
        named.map(|place| Entry { start: place.asn, bits: 32, value: place.as_name }).collect(),
    ))
}

/// AS numbers are looked up like IPv4 addresses.
fn as_key(asn: u32) -> u128 {
    u128::from(asn) << 96
}

/// What a configured file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    City,
    Asn,
}

impl Role {
    /// The metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::City => "geoip_city",
            Self::Asn => "geoip_asn",
        }
    }

    const fn contents(self) -> &'static str {
        match self {
            Self::City => "country or city",
            Self::Asn => "AS number",
        }
    }
}

/// Where the file is configured.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::City => "enricher.geoip.city (GEOIP_CITY_DB)",
            Self::Asn => "enricher.geoip.asn (GEOIP_ASN_DB)",
        })
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoipError {
    #[error("{role}: cannot read {}: {error}; correct the path, or leave it out to run without", path.display())]
    Unreadable { role: Role, path: PathBuf, error: io::Error },
    #[error("{role}: {} is no intact MaxMind DB file: {error}; download it again", path.display())]
    Broken { role: Role, path: PathBuf, error: MaxMindDbError },
    #[error("{role}: {} is no intact MaxMind DB file: its search tree is no tree; download it again", path.display())]
    NoTree { role: Role, path: PathBuf },
    #[error(
        "{role}: no record of {} has a {}; it is of type {database_type:?}, another one is needed",
        path.display(), role.contents()
    )]
    OtherContents { role: Role, path: PathBuf, database_type: String },
}

#[cfg(test)]
mod tests;
