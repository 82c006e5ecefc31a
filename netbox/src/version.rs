//! NetBox's version: what it offers depends on it.

use serde::Deserialize;

use crate::error::NetBoxError;

/// What `/api/status/` tells.
#[derive(Deserialize)]
struct Status {
    #[serde(rename = "netbox-version")]
    netbox: Option<String>,
    #[serde(rename = "nautobot-version")]
    nautobot: Option<String>,
}

/// The version in the answer of `/api/status/`, as NetBox writes it.
///
/// # Errors
/// When the answer is not NetBox's.
pub(crate) fn version_of(status: &[u8]) -> Result<String, NetBoxError> {
    let path = || "status".to_owned();
    let status: Status =
        serde_json::from_slice(status).map_err(|source| NetBoxError::NotNetBox { path: path(), source })?;
    match status {
        Status { netbox: Some(version), .. } => Ok(version),
        Status { nautobot: Some(version), .. } => Err(NetBoxError::Nautobot { version }),
        _ => Err(NetBoxError::NotNetBox { path: path(), source: serde::de::Error::missing_field("netbox-version") }),
    }
}

/// Major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Version(u16, u16);

impl Version {
    /// The parameter `fields` of 4.0 leaves out the parts of an object that nobody asked for.
    pub(crate) const FIELDS: Self = Self(4, 0);
    /// Paging by id, which costs the same for the last page as for the first.
    pub(crate) const CURSORS: Self = Self(4, 6);

    /// Reads `4.2.3` or `v3.7.8-Docker-2.8.0`; any other text is 0.0, a version without the newer features.
    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Self(number(), number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        assert!(Version::parse("4.10.0") > Version::CURSORS);
        assert_eq!(Version::parse("v3.7.8-Docker-2.8.0"), Version(3, 7));
        assert!(Version::parse("") < Version::FIELDS);
    }
}
