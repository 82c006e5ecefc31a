//! What `helios check` prints: a line for each thing that `helios run` would do.

use std::fmt::Write as _;

use helios_common::columns::Column;
use helios_web::address::place;

use crate::config::{Config, UserColumn};

/// The report: what each section says of itself. `databases` are the GeoIP databases as they were found.
pub(super) fn describe(config: &Config, databases: &[String]) -> String {
    let mut lines = config.collector.describe();
    lines.extend(databases.iter().map(|database| ("geoip", database.clone())));
    if databases.is_empty() {
        lines.push(("geoip", "none: countries, cities and AS names stay empty (enricher.geoip)".to_owned()));
    }
    lines.extend(config.enricher.describe());
    lines.extend(config.netbox.url.iter().map(|url| ("names", format!("NetBox at {}", place(url)))));
    lines.extend(config.sink().describe());
    if !config.columns.is_empty() {
        lines.push(("columns", columns(config)));
    }
    lines.push(("admin", config.admin.listen.map_or("off".to_owned(), |address| format!("http://{address}/"))));
    lines.push(("stop", format!("within {} ms", config.pipeline.shutdown_timeout_ms)));
    let mut out = String::new();
    for (name, what) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<16}{what}");
    }
    out
}

/// The columns that are added or filled, as `name type = enterprise/element`.
fn columns(config: &Config) -> String {
    let column = |user: &UserColumn| {
        let kind = Column::by_name(&user.name).map_or_else(String::new, |column| column.spec().kind.clickhouse());
        let verb = if user.fill { "filled by" } else { "=" };
        format!("{} {kind} {verb} {}/{}", user.name, user.pen, user.id)
    };
    format!("flows and {}", config.columns.iter().map(column).collect::<Vec<_>>().join(", "))
}
