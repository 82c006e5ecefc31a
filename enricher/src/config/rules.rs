//! The rules of the `enricher` section: what names and descriptions say of exporters and interfaces.

use serde::{Deserialize, Serialize};

/// Classification by names. A pattern is a regular expression, searched anywhere in the text (`^` and `$` anchor it,
/// `(?i)` in front ignores case), or with `glob:` in front a glob for the whole text. All matching rules apply in
/// order; a value that an earlier rule set stays. Values can use what the patterns captured: `$1`, `$name`, `${name}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Rules for exporters, by their names. The value of a rule takes precedence over the inventory.
    pub exporters: Vec<ExporterRule>,
    /// Rules for interfaces, by their names and descriptions. The value of a rule takes precedence over the inventory.
    pub interfaces: Vec<InterfaceRule>,
}

/// What the name of an exporter says of it. A value that is left out is not set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExporterRule {
    /// pattern for the name of the exporter
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

/// What the name or description of an interface says of it. All patterns of a rule must match; a value that is left out
/// is not set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfaceRule {
    /// pattern for the name of the exporter
    pub match_exporter: Option<String>,
    /// pattern for the name of the interface
    pub match_name: Option<String>,
    /// pattern for the description of the interface
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
    /// Out of the network: column value 1.
    External,
    /// Inside of the network: column value 2.
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
