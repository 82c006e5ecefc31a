//! A spool as text: what `helios spool list` and `helios spool show` print.

use std::fmt::Write as _;

use helios_advice::counted;
use helios_common::time::Utc;

use super::inspect::Listed;

/// A header, a line for each block, and a line with the sums.
pub fn table(listed: &[Listed]) -> String {
    let mut out = format!(
        "{:<40} {:<24} {:<8} {:<18} {:>9} {:>12}  reason\n",
        "name", "begun", "state", "table", "rows", "bytes"
    );
    for block in listed {
        let table = block.head.as_ref().map_or("?", |head| head.table.name());
        let rows = block.rows.map_or("?".to_owned(), |rows| rows.to_string());
        let note = block.note.as_deref().and_then(|note| note.lines().next()).unwrap_or("");
        let note: String = note.chars().take(120).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:<40} {:<24} {:<8} {table:<18} {rows:>9} {:>12}  {note}",
            block.name,
            begun(block),
            block.status.name(),
            block.octets
        );
    }
    let rows: u64 = listed.iter().filter_map(|block| block.rows).sum();
    let octets: u64 = listed.iter().map(|block| block.octets).sum();
    let _ = writeln!(
        out,
        "{}, {}, {}",
        counted(listed.len() as u64, "block"),
        counted(rows, "row"),
        counted(octets, "byte")
    );
    out
}

fn begun(block: &Listed) -> String {
    block.begun().map_or("?".to_owned(), |at| Utc(at).to_string())
}

/// All that is known of a block, a line for each thing.
pub fn page(block: &Listed) -> String {
    let mut out = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(out, "{name:<12}{what}");
    };
    line("name", block.name.to_string());
    line("begun", begun(block));
    line("state", block.status.name().to_owned());
    line("file", block.path.display().to_string());
    line("bytes", block.octets.to_string());
    if let Some(head) = &block.head {
        line("table", head.table.name().to_owned());
        line("rows", block.rows.unwrap_or(0).to_string());
        line("token", head.token.clone());
        line("statement", head.statement.clone());
    }
    if let Some((first, last)) = block.arrivals() {
        line("arrivals", format!("{} to {}", Utc(first), Utc(last)));
    }
    if let Some(note) = &block.note {
        line("reason", note.trim_end().to_owned());
    }
    out
}
