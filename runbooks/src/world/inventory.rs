//! Where a device is, and how to log in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use helios_gnmi::{Target, Tls};
use serde::Deserialize;

/// gNMI's port (IANA: gnmi-gnoi).
const PORT: u16 = 9339;

/// A device as gnmic's file loader has it. What only gnmic needs is not read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Entry {
    address: String,
    insecure: bool,
    skip_verify: bool,
    tls_ca: Option<PathBuf>,
    tls_server_name: Option<String>,
}

/// The credentials of devices: one folder with a file for each key, as a Secret is mounted. `username` and `password`,
/// and where they are there `ca.crt`, `tls.crt` and `tls.key`.
#[derive(Debug, Clone)]
pub struct Secrets(PathBuf);

impl Secrets {
    /// Reads nothing yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    /// The text of a key without white space around it.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        super::file(&self.0, name).map(|text| text.trim().to_owned())
    }
}

/// The devices that are known: the files that `helios targets` writes for gnmic.
#[derive(Debug, Clone)]
pub struct Inventory {
    devices: BTreeMap<String, Entry>,
    secrets: Secrets,
}

impl Inventory {
    /// Reads every `.yaml` file of `folder`, and of the folders in it.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of gnmic's.
    pub fn load(folder: &Path, secrets: Secrets) -> Result<Self, String> {
        let mut devices = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let wrong = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", folder.display());
            for entry in std::fs::read_dir(&folder).map_err(|error| wrong(&error))? {
                let path = entry.map_err(|error| wrong(&error))?.path();
                // A mounted ConfigMap has its files a second time, in a folder whose name begins with two dots.
                if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("..")) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "yaml") {
                    devices.extend(read(&path)?);
                }
            }
        }
        Ok(Self { devices, secrets })
    }

    /// How a device is asked.
    ///
    /// # Errors
    /// The device is not known, its certificate would not be checked, or there are no credentials.
    pub fn target(&self, device: &str, timeout: Duration) -> Result<Target, String> {
        let Some(entry) = self.devices.get(device) else {
            return Err(format!("the device `{device}` is not among the {} that are known", self.devices.len()));
        };
        if entry.skip_verify {
            return Err(format!(
                "`{device}` is known with skip-verify: a runbook changes no device that does not prove who it is; give it tls-ca"
            ));
        }
        if entry.insecure {
            return Err(format!("`{device}` is known without TLS: a runbook sends no password in clear text"));
        }
        // The Secret's authority comes first: the path in the list is one of gnmic's pod, and the list comes from another namespace.
        let ca = match (self.secrets.read("ca.crt"), &entry.tls_ca) {
            (Some(pem), _) => Some(pem.into_bytes()),
            (None, Some(path)) => {
                Some(std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?)
            }
            (None, None) => None,
        };
        let identity = self.secrets.read("tls.crt").zip(self.secrets.read("tls.key"));
        let identity = identity.map(|(certificate, key)| (certificate.into_bytes(), key.into_bytes()));
        let credentials = match (self.secrets.text("username"), self.secrets.text("password")) {
            (Ok(user), Ok(password)) => Some((user, password)),
            (Err(_), Err(_)) if identity.is_some() => None,
            (Err(error), _) | (_, Err(error)) => return Err(format!("no credentials for devices: {error}")),
        };
        let address = match entry.address.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => entry.address.clone(),
            _ => format!("{}:{PORT}", entry.address),
        };
        let tls = Tls { ca, server_name: entry.tls_server_name.clone(), identity };
        Ok(Target { address, tls: Some(tls), credentials, timeout })
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Entry>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{} is no list of gnmic's targets: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let devices: Option<BTreeMap<String, Entry>> = serde_saphyr::from_str(&text).map_err(|error| wrong(&error))?;
    Ok(devices.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_asked_as_gnmic_asks_it_but_never_without_proof() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("part-0");
        std::fs::create_dir(&part).unwrap();
        let text = r#"
"r1": {"address":"192.0.2.1:57400","tls-ca":"/of/gnmics/pod.pem","tls-server-name":"r1.example","subscriptions":["a"],"event-tags":{"device":"r1"}}
"r2": {"address":"192.0.2.2:57400","skip-verify":true}
"r3": {"address":"192.0.2.3:57400","insecure":true}
"#;
        std::fs::write(part.join("gnmic.yaml"), text).unwrap();
        for (name, text) in [("username", "admin\n"), ("password", "s3cret\n"), ("ca.crt", "PEM")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let inventory = Inventory::load(folder.path(), Secrets::new(folder.path())).unwrap();
        let target = inventory.target("r1", Duration::from_secs(1)).unwrap();
        assert_eq!(target.address, "192.0.2.1:57400");
        assert_eq!(target.credentials, Some(("admin".to_owned(), "s3cret".to_owned())));
        assert_eq!(target.tls.unwrap().server_name.as_deref(), Some("r1.example"));
        for (device, why) in [("r2", "skip-verify"), ("r3", "clear text"), ("r9", "3 that are known")] {
            assert!(inventory.target(device, Duration::ZERO).unwrap_err().contains(why), "{device}");
        }
    }
}
