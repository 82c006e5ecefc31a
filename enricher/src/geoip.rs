//! GeoIP: country, city and autonomous system of an address.
//!
//! One or two MaxMind DB files ([`database`], [`layout`]) become one [`database::Layer`] from address to [`Place`], which
//! [`crate::addresses`] lays under the networks. A look-up in the files themselves costs a walk of up to 128 nodes and
//! a decode, over and over; here the whole file is walked once when it is loaded. [`reload`] takes replaced files up.
//!
//! With two files countries and cities come from `city` and autonomous systems from `asn`, with one everything
//! that it has. The name of an AS is a function of its number, so flows that bring their AS get the name too.

pub mod database;
pub mod layout;
pub mod reload;

use std::path::PathBuf;
use std::{fmt, io};

use hashbrown::HashMap;
use helios_common::names::{NO_NAME, NameId};
use maxminddb::MaxMindDbError;

use layout::Wanted;

/// What is known of an address. The default is that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: NameId,
    /// English name.
    pub city: NameId,
    /// 0 if none is known.
    pub asn: u32,
    /// Organisation behind `asn`, as the database calls it.
    pub as_name: NameId,
}

impl Place {
    /// The part of the place that is wanted.
    pub(crate) fn only(self, wanted: Wanted) -> Self {
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
pub(crate) struct Places {
    pub(crate) list: Vec<Place>,
    ids: HashMap<Place, u32, foldhash::fast::RandomState>,
}

impl Default for Places {
    fn default() -> Self {
        Self { list: vec![Place::default()], ids: std::iter::once((Place::default(), 0)).collect() }
    }
}

impl Places {
    pub(crate) fn id(&mut self, place: Place) -> u32 {
        *self.ids.entry(place).or_insert_with(|| {
            self.list.push(place);
            self.list.len() as u32 - 1
        })
    }
}

/// What a configured file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Countries and cities; also AS numbers if no file is configured for them.
    City,
    /// AS numbers and names; also countries and cities if no file is configured for them.
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
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum GeoipError {
    #[error("{role}: cannot read {}: {error}; correct the path, or leave it out to run without", path.display())]
    Unreadable { role: Role, path: PathBuf, error: io::Error },
    #[error("{role}: {} is not a valid MaxMind DB file: {error}; download it again", path.display())]
    Broken { role: Role, path: PathBuf, error: MaxMindDbError },
    #[error("{role}: {} is not a valid MaxMind DB file: its search tree is damaged; download it again", path.display())]
    NoTree { role: Role, path: PathBuf },
    #[error(
        "{role}: no record of {} has a {}; it is of type {database_type:?}, another one is needed",
        path.display(), role.contents()
    )]
    OtherContents { role: Role, path: PathBuf, database_type: String },
}

#[cfg(test)]
mod tests;
