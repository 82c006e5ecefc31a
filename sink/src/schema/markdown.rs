//! `docs/columns.md`, written from the column table.

use std::fmt::Write;

use helios_common::columns::{COLUMNS, Column, ColumnKind, Direction, Rollup, Spec};
use helios_common::ie;
use helios_common::side::{SideColumn, SideKind, SideTable};

use super::{Table, ddl};

const HEAD: &str = "\
# Columns

Generated from `common/src/columns.rs` and `common/src/side/`; `UPDATE_EXPECT=1 cargo test -p helios-sink generated` writes it again.

Every column of the table `flows`. What an exporter does not send is the default: zero, the empty string, the empty
list. Addresses are IPv6 with IPv4 mapped into it. Estimates are `value * sampling_interval`: `bytes` and `packets` are
as the exporter reported them, the rollups hold them multiplied.

- **codec**: the compression where it is not the table's own, `ZSTD(1)`.
- **elements**: IPFIX information elements (NetFlow v9 field types have the same numbers) that fill the column; the
  first one in the exporter's template wins. Columns without any are filled by Helios.
- **rollups**: `key` if `flows_1m` and `flows_1h` keep the values apart, `sum` if they add them up. [`summary_1h`](clickhouse.md#tables) keeps
  a few of them apart at a time.

Any other element can have a column of its own: see [`columns`](configuration.md#columns) of the configuration.
";

/// The page.
pub fn columns_markdown() -> String {
    let mut page = HEAD.to_owned();
    page += "\n| column | type | codec | unit | default | elements | rollups | |\n|---|---|---|---|---|---|---|---|\n";
    for (spec, column) in COLUMNS.iter().zip(ddl::columns(Table::Flows)) {
        let cells = [
            format!("`{}`", spec.name),
            clickhouse_type(spec.kind),
            spec.codec.unwrap_or_default().to_owned(),
            spec.unit.to_owned(),
            column.default.unwrap_or_else(|| default(spec.kind)).to_owned(),
            elements(spec),
            rollup(spec.rollup).to_owned(),
            spec.doc.replace('|', "\\|"),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    page += "\n## Labels\n\n";
    for spec in COLUMNS {
        if let ColumnKind::Enum(labels) = spec.kind {
            let labels: Vec<_> = labels.iter().map(|(value, label)| format!("{value} `{label}`")).collect();
            let _ = writeln!(page, "- `{}`: {}", spec.name, labels.join(", "));
        }
    }
    reverse_rows(&mut page);
    SideTable::ALL.iter().for_each(|&table| side_table(&mut page, table));
    page
}

/// What the second row of a biflow record holds.
fn reverse_rows(page: &mut String) {
    let with = |wanted: fn(&Direction) -> bool| {
        COLUMNS.iter().filter(move |spec| wanted(&spec.direction)).map(|spec| format!("`{}`", spec.name))
    };
    let pairs = Column::all().filter_map(|column| match column.spec().direction {
        Direction::Pair(partner) if column < partner => {
            Some(format!("`{}` and `{}`", column.spec().name, partner.spec().name))
        }
        _ => None,
    });
    let one_way: Vec<_> = with(|direction| *direction == Direction::OneWay).collect();
    let pairs: Vec<_> = pairs.collect();
    let _ = writeln!(
        page,
        "\n## Reverse rows\n\nA record with counters of both directions (RFC 5103; initiator and responder) becomes two rows. In the \
         second row,\n\n- these exchange their values: {};\n- these hold what the exporter sent for the reverse direction, and \
         the default if it sent nothing: {};\n- all others hold the same as in the first row.",
        pairs.join(", "),
        one_way.join(", ")
    );
}

/// The columns of a side table, in a section of its own.
fn side_table(page: &mut String, table: SideTable) {
    let _ = writeln!(page, "\n## Table `{}`\n\n{}\n", table.name(), about(table));
    *page += "| column | type | unit | |\n|---|---|---|---|\n";
    for SideColumn { name, kind, unit, doc, .. } in table.columns() {
        let ty = match kind {
            SideKind::Enum(labels) => {
                let labels: Vec<_> = labels.iter().map(|(_, label)| format!("`{label}`")).collect();
                format!("Enum8: {}", labels.join(", "))
            }
            _ => kind.clickhouse(),
        };
        let _ = writeln!(page, "| `{name}` | {ty} | {unit} | {doc} |");
    }
}

fn about(table: SideTable) -> &'static str {
    match table {
        SideTable::InterfaceCounters => {
            "What sFlow agents count themselves: a row per counter sample. Counters grow and wrap at the width of their\n\
             column; all bits set means that the agent does not have the counter. Columns of structures that the sample\n\
             did not have (see `structures`) are zero."
        }
        SideTable::Exporters => {
            "What every exporter sent and lost: a row per minute, exporter, protocol, observation domain and worker, none for\n\
             a minute without a datagram. Counts are of the minute; the others are as they were last."
        }
    }
}

fn clickhouse_type(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Enum(_) => "Enum8".to_owned(),
        _ => kind.clickhouse(),
    }
}

fn default(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Time => "1970",
        ColumnKind::Address => "`::`",
        ColumnKind::Enum(labels) => labels.iter().find(|(value, _)| *value == 0).map_or("0", |(_, label)| label),
        ColumnKind::Name => "empty",
        ColumnKind::U32List | ColumnKind::U128List => "[]",
        ColumnKind::U8 | ColumnKind::U16 | ColumnKind::U32 | ColumnKind::U64 | ColumnKind::Mac => "0",
    }
}

fn elements(spec: &Spec) -> String {
    let names = spec.elements.iter().map(|&element| {
        let id = if element.pen == 0 { element.id.to_string() } else { format!("{}/{}", element.pen, element.id) };
        ie::info(element).map_or(id.clone(), |info| format!("{} ({id})", info.name))
    });
    names.collect::<Vec<_>>().join(", ")
}

fn rollup(rollup: Rollup) -> &'static str {
    match rollup {
        Rollup::No => "",
        Rollup::Dimension => "key",
        Rollup::Sum => "sum",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn generated_page_of_columns_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/columns.md");
        let page = columns_markdown();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "docs/columns.md is not current: run UPDATE_EXPECT=1 cargo test -p helios-sink generated"
        );
    }

    #[test]
    fn every_column_has_its_line() {
        let page = columns_markdown();
        for spec in COLUMNS {
            assert!(page.contains(&format!("\n| `{}` |", spec.name)), "{}", spec.name);
        }
        assert!(page.contains("octetDeltaCount (1)"));
        let side = SideTable::ALL.iter().flat_map(|table| table.columns());
        side.for_each(|column| assert!(page.contains(&format!("\n| `{}` |", column.name)), "{}", column.name));
    }
}
