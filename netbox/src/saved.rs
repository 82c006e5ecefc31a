//! The saved snapshot: the names that were known last, for a start before NetBox answers.
//!
//! ```text
//!  "helios-netbox 4\n"   the form of what follows
//!  fingerprint           length (u32) and text: of the settings it was read with
//!  checksum              CRC-32 of the rest, u32
//!  origin, strings, lists, tables                       all numbers little-endian
//! ```
//!
//! The file is written under another name that then takes its place, so it is whole at every moment. One that is damaged,
//! of another form or of other settings is not used: NetBox is read in full instead.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::codec::{Code, put_all, take_all};
use crate::snapshot::Snapshot;

const MAGIC: &[u8] = b"helios-netbox 4\n";

/// Writes the snapshot.
///
/// # Errors
/// When the disk does not take it; the file from before is still there then.
pub(crate) fn save(path: &Path, fingerprint: &str, snapshot: &Snapshot) -> io::Result<()> {
    let body = put_all(snapshot);
    let mut head = MAGIC.to_vec();
    fingerprint.to_owned().put(&mut head);
    crc32fast::hash(&body).put(&mut head);
    let temporary = path.with_extension("new");
    // Names and addresses of all devices: for the user that Helios runs as.
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&head)?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Why a saved snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is damaged or of another version of helios")]
    Damaged,
    #[error("it was read with other settings of netbox")]
    OtherSettings,
}

/// Reads a saved snapshot; `None` if there is none.
///
/// # Errors
/// [`LoadError`]
pub(crate) fn load(path: &Path, fingerprint: &str) -> Result<Option<Snapshot>, LoadError> {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut rest = octets.strip_prefix(MAGIC).ok_or(LoadError::Damaged)?;
    let saved = String::take(&mut rest).ok_or(LoadError::Damaged)?;
    let checksum = u32::take(&mut rest).ok_or(LoadError::Damaged)?;
    if crc32fast::hash(rest) != checksum {
        return Err(LoadError::Damaged);
    }
    if saved != fingerprint {
        return Err(LoadError::OtherSettings);
    }
    take_all(rest).map(Some).ok_or(LoadError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::model::{AddressRef, Assigned, Cidr, Device, Interface, IpAddress, Prefix, Scope};
    use crate::snapshot::Origin;

    fn sample() -> Snapshot {
        let mut builder = Builder::default();
        let (name, tags) = (builder.text("edge-1"), builder.ids([8, 9]));
        let custom_fields = builder.custom_fields([("x", "1")]);
        let primary_ip6 = AddressRef::shown(3, "2001:db8::1".parse().unwrap());
        let (address, prefix) = ("192.0.2.1".parse().unwrap(), "192.0.2.0".parse().unwrap());
        let rows = &mut builder.rows;
        rows.devices.push(Device { id: 1, name, tags, custom_fields, primary_ip6, ..Device::default() });
        rows.interfaces.push(Interface { id: 2, device: 1, speed: 10, ..Interface::default() });
        let (address, prefix) = (Cidr { ip: address, bits: 24 }, Cidr { ip: prefix, bits: 24 });
        rows.ip_addresses.push(IpAddress { id: 3, address, vrf: 0, assigned: Assigned::Interface(2) });
        rows.prefixes.push(Prefix { id: 4, prefix, vrf: 7, scope: Scope::Location(9), role: 5, tenant: 6 });
        builder.finish(Origin { version: "4.2.1".into(), taken_at_ms: 5, since: "s".into(), full_at_ms: 4 })
    }

    #[test]
    fn what_was_saved_is_loaded_with_its_indices() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/netbox.snapshot");
        assert!(matches!(load(&path, "a"), Ok(None)));
        save(&path, "a", &sample()).unwrap();
        let loaded = load(&path, "a").unwrap().unwrap();
        assert_eq!(loaded, sample());
        assert_eq!(loaded.addresses_of(1).count(), 1);
        assert!(matches!(load(&path, "b"), Err(LoadError::OtherSettings)));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netbox.snapshot");
        save(&path, "a", &sample()).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(load(&path, "a").is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(load(&path, "a").is_err(), "changed at {at}");
        }
    }
}
