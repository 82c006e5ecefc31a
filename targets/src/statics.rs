//! Static targets: a YAML file with devices that NetBox does not know, in the shape of NetBox's.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::device::{Device, Named, Source};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statics {
    #[serde(default)]
    devices: Vec<Static>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Static {
    name: String,
    address: IpAddr,
    #[serde(default)]
    site: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    manufacturer: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    collectors: String,
    #[serde(default)]
    maintenance: bool,
    /// `false` pauses a device without forgetting it.
    #[serde(default = "yes")]
    monitor: bool,
}

const fn yes() -> bool {
    true
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum StaticsError {
    #[error("targets.static_file: cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("targets.static_file: {}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read or is not of this shape.
pub fn read(path: &Path) -> Result<Vec<Device>, StaticsError> {
    let text = std::fs::read_to_string(path).map_err(|source| StaticsError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|problem| StaticsError::Content { path: path.to_owned(), problem })
}

/// Static targets have the status `active`: a device is in the file because it is in use.
fn parse(text: &str) -> Result<Vec<Device>, String> {
    let statics: Statics = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let device = |(at, entry): (usize, Static)| Device {
        name: entry.name,
        status: "active".to_owned(),
        monitored: entry.monitor,
        maintenance: entry.maintenance,
        collectors: entry.collectors,
        address: Some(entry.address),
        site: Named::plain(entry.site),
        region: entry.region,
        role: Named::plain(entry.role),
        platform: Named::plain(entry.platform),
        manufacturer: Named::plain(entry.manufacturer),
        tenant: Named::plain(entry.tenant),
        tags: entry.tags.into_iter().map(Named::plain).collect(),
        ..Device::new(Source::Static(at as u32))
    };
    Ok(statics.devices.into_iter().enumerate().map(device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_target_needs_a_name_and_an_address() {
        let devices = parse(
            "devices:\n- {name: fw-1, address: 192.0.2.7}\n- name: fw-2\n  address: 2001:db8::7\n  site: Bern\n  monitor: false\n  maintenance: true\n",
        )
        .unwrap();
        assert_eq!((&*devices[0].name, devices[0].monitored, devices[0].source), ("fw-1", true, Source::Static(0)));
        assert_eq!((&*devices[1].site.name, devices[1].monitored), ("Bern", false));
        assert_eq!((devices[0].maintenance, devices[1].maintenance), (false, true));
        assert!(parse("devices:\n- {name: fw-1}\n").unwrap_err().contains("address"));
        assert!(parse("devices:\n- {name: fw-1, address: fw-1.example.net}\n").is_err());
        assert!(parse("devices:\n- {name: fw-1, address: 192.0.2.7, adress: x}\n").unwrap_err().contains("adress"));
    }
}
