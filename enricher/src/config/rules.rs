//! The rules of the `enricher` section: what names and descriptions say of exporters and interfaces.

use serde::{Deserialize, Serialize};

/// Classification by names. A pattern is a regular expression that is searched for in the text (write `^` and `$` to
/// anchor it, `(?i)` in front to ignore case), or a glob that fits the whole text if it begins with `glob:`. Rules are
/// tried in order; a value that an earlier rule set stays. Values may use what the patterns captured: `$1`, `$name`,
/// `${name}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// What the names of exporters say of them. A rule's value takes precedence over the inventory's.
    pub exporters: Vec<ExporterRule>,
    /// What the names and descriptions of interfaces say of them. A rule's value takes precedence over the inventory's.
    pub interfaces: Vec<InterfaceRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExporterRule {
    /// pattern for the exporter's name
    pub match_name: Option<String>,
    /// for `exporter_group`
    pub group: Option<String>,
    /// for `exporter_site`
    pub site: Option<String>,
    /// for `exporter_region`
    pub region: Option<String>,
    /// for `exporter_role`
    pub role: Option<String>,
    /// for `exporter_tenant`
    pub tenant: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfaceRule {
    /// pattern for the exporter's name
    pub match_exporter: Option<String>,
    /// pattern for the interface's name
    pub match_name: Option<String>,
    /// pattern for the interface's description
    pub match_description: Option<String>,
    /// for `in_if_role`, `out_if_role`
    pub role: Option<String>,
    /// for `in_if_provider`, `out_if_provider`
    pub provider: Option<String>,
    /// for `in_if_connectivity`, `out_if_connectivity`
    pub connectivity: Option<String>,
    /// for `in_if_boundary`, `out_if_boundary`
    pub boundary: Option<Boundary>,
}

/// Whether an interface leads out of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boundary {
    External,
    Internal,
}

impl Boundary {
    /// The value of the columns, see `helios_common::columns::BOUNDARIES`.
    pub const fn value(self) -> u8 {
        match self {
            Self::External => 1,
            Self::Internal => 2,
        }
    }
}
