//! Reads a MaxMind DB file into a [`Layer`].
//!
//! A file is walked whole and every record that a network has is decoded, which also is its verification: what
//! cannot be read shows now and not at a look-up. `Reader::verify` is not called on top; it refuses files of
//! vendors that leave out their description. Files are read into memory and not mapped, because a file that is
//! overwritten in place would change below the reader.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use hashbrown::HashMap;
use helios_common::names::{NO_NAME, Names};
use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};

use super::layout::{Value, Wanted};
use super::{GeoipError, Place, Places, Role};
use crate::lookup::Entries;
use crate::lookup::runs::{Entry, Runs};
use helios_common::prefix::Prefix;

/// What a file says about all addresses, before it is put into a table.
#[derive(Debug)]
pub struct Layer {
    /// Values are positions in `places`.
    pub v4: Runs<u32>,
    /// As in `v4`.
    pub v6: Runs<u128>,
    /// Distinct places; the first one is that nothing is known.
    pub places: Vec<Place>,
}

impl Layer {
    /// One layer of one file or two; `None` without any.
    pub fn merge(city: Option<Self>, asn: Option<Self>) -> Option<Self> {
        match (city, asn) {
            (Some(city), Some(asn)) => Some(city.join(&asn)),
            (only, None) | (None, only) => only,
        }
    }

    /// Countries and cities of this layer with the autonomous systems of the other.
    pub fn join(&self, other: &Self) -> Self {
        let mut places = Places::default();
        let place = |layer: &Self, id: u32| layer.places.get(id as usize).copied().unwrap_or_default();
        let mut id = |ours, theirs| places.id(place(self, ours).with_as_of(place(other, theirs)));
        let v4 = self.v4.join(&other.v4, &mut id);
        let v6 = self.v6.join(&other.v6, &mut id);
        Self { v4, v6, places: places.list }
    }
}

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// `database_type` of the metadata, such as `GeoLite2-City`.
    pub database_type: String,
    /// Unix seconds.
    pub build_epoch: u64,
    /// Networks with a record.
    pub networks: u64,
    /// Distinct records.
    pub records: u64,
    /// Size of the file.
    pub file_bytes: u64,
}

/// Reads `path` and takes from it what is wanted.
///
/// # Errors
/// Says which file cannot be used, why, and what to do.
pub fn read(role: Role, path: &Path, wanted: Wanted, names: &Names) -> Result<(Layer, Info), GeoipError> {
    let bytes = fs::read(path).map_err(|error| GeoipError::Unreadable { role, path: path.into(), error })?;
    parse(role, path, &bytes, wanted, names)
}

fn parse(role: Role, path: &Path, bytes: &[u8], wanted: Wanted, names: &Names) -> Result<(Layer, Info), GeoipError> {
    let broken = |error| GeoipError::Broken { role, path: path.into(), error };
    let reader = Reader::from_source(bytes).map_err(broken)?;
    let mut places = Places::default();
    let place_id = |found: &Found<'_>| {
        let record = found.decode::<Value<'_>>()?.unwrap_or(Value::Other);
        Ok(places.id(record.place(wanted, names)))
    };
    let networks = networks(&reader, place_id).map_err(broken)?;
    let networks = networks.ok_or_else(|| GeoipError::NoTree { role, path: path.into() })?;
    let metadata = reader.metadata();
    if !has(role, &places.list) {
        let database_type = metadata.database_type.clone();
        return Err(GeoipError::OtherContents { role, path: path.into(), database_type });
    }
    let info = Info {
        database_type: metadata.database_type.clone(),
        build_epoch: metadata.build_epoch,
        networks: networks.count,
        records: networks.records,
        file_bytes: bytes.len() as u64,
    };
    let (v4, v6) = (Runs::flatten(networks.entries.v4), Runs::flatten(networks.entries.v6));
    Ok((Layer { v4, v6, places: places.list }, info))
}

fn has(role: Role, places: &[Place]) -> bool {
    places.iter().any(|place| match role {
        Role::City => place.country != NO_NAME || place.city != NO_NAME,
        Role::Asn => place.asn != 0,
    })
}

type Found<'a> = LookupResult<'a, &'a [u8]>;

/// The networks of a file.
#[derive(Debug, Default)]
struct Networks {
    entries: Entries,
    count: u64,
    records: u64,
}

/// Walks a file; `id` is asked once per distinct record.
///
/// `None` if there are more leaves than the nodes of a tree can have: the branches of a damaged or hostile tree that
/// leads back into itself multiply without end. Leaves without a record count, so that they come to an end, too.
fn networks<'a>(
    reader: &'a Reader<&'a [u8]>,
    mut id: impl FnMut(&Found<'a>) -> Result<u32, MaxMindDbError>,
) -> Result<Option<Networks>, MaxMindDbError> {
    let leaves_max = 2 * u64::from(reader.metadata().node_count);
    let mut leaves = 0;
    let mut ids: HashMap<usize, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut networks = Networks::default();
    for found in reader.networks(options(reader)?)? {
        let found = found?;
        leaves += 1;
        if leaves > leaves_max {
            return Ok(None);
        }
        let Some(offset) = found.offset() else { continue };
        networks.count += 1;
        let value = match ids.get(&offset) {
            Some(&known) => known,
            None => *ids.entry(offset).or_insert(id(&found)?),
        };
        let network = found.network()?;
        networks.insert(network.network(), network.prefix(), value);
    }
    networks.records = ids.len() as u64;
    Ok(Some(networks))
}

impl Networks {
    fn insert(&mut self, ip: IpAddr, bits: u8, value: u32) {
        let Some(prefix) = Prefix::new(ip, bits) else { return };
        if prefix.ipv4().is_none() && prefix.start() == 0 && bits <= 96 {
            // A network around `::/96` is around the IPv4 addresses that lie there.
            self.entries.v4.push(Entry { start: 0, bits: 0, value });
        }
        self.entries.push(prefix, value);
    }
}

/// Networks behind aliases of the IPv4 subtree are skipped: their addresses are looked up as IPv4.
///
/// A file without IPv4 subtree has no aliases, but the reader takes every network with the record that lies at
/// `::/96` for one.
fn options(reader: &Reader<&[u8]>) -> Result<WithinOptions, MaxMindDbError> {
    let subtree =
        reader.metadata().ip_version == 4 || reader.lookup(Ipv6Addr::UNSPECIFIED.into())?.network()?.prefix() >= 96;
    let options = WithinOptions::default().include_networks_without_data();
    Ok(if subtree { options } else { options.include_aliased_networks() })
}

#[cfg(test)]
mod tests;
