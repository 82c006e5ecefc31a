//! What an exporter is called, as texts.

use helios_common::names::NamesView;
use serde::Serialize;

use crate::directory::Exporter;

/// What the sources say of an exporter; all texts are empty where no source says anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The exporter's address as text if no inventory knows it.
    pub name: String,
    /// Whether an inventory knows it.
    pub known: bool,
    /// As in the column `exporter_site`.
    pub site: String,
    /// As in the column `exporter_region`.
    pub region: String,
    /// As in the column `exporter_role`.
    pub role: String,
    /// As in the column `exporter_tenant`.
    pub tenant: String,
    /// As in the column `exporter_group`.
    pub group: String,
}

impl Identity {
    /// The texts of an entry of the directory. `names` is the table that its ids refer to.
    pub fn new(exporter: &Exporter, names: &NamesView<'_>) -> Self {
        let text = |name| names.get(name).to_owned();
        Self {
            name: text(exporter.name),
            known: exporter.known.is_some(),
            site: text(exporter.site),
            region: text(exporter.region),
            role: text(exporter.role),
            tenant: text(exporter.tenant),
            group: text(exporter.group),
        }
    }
}
