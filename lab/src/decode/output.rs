//! Rows as JSON lines, CSV or a table.

use std::fmt::Write as _;
use std::io::{self, Write};

use helios_common::columns::{
    BYTES, Column, ColumnKind, DST_ADDR, DST_PORT, EXPORT_PROTOCOL, EXPORTER_ADDRESS, IN_IF_INDEX, OUT_IF_INDEX,
    PACKETS, PROTO, RECEIVED_AT, SAMPLING_INTERVAL, SRC_ADDR, SRC_PORT,
};
use helios_common::flow::FlowBatch;
use helios_common::names::NamesView;
use helios_common::text::{printable, quote};

use super::cell::Cell;

/// Takes rows one by one.
pub trait Rows {
    /// A row of `batch`; `held` if it had waited for its template.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn row(&mut self, batch: &FlowBatch, names: &NamesView<'_>, row: usize, held: bool) -> io::Result<()>;

    /// Shows the rows that were given so far: the next one may come much later.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// The last row was given.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn finish(&mut self) -> io::Result<()>;
}

/// One JSON object a line.
///
/// Without chosen columns a row has those that its message filled; with them it has exactly these, defaults included.
pub struct JsonLines<W> {
    out: W,
    columns: Option<Vec<Column>>,
    line: String,
}

impl<W: Write> JsonLines<W> {
    /// `None` for the columns that each message fills.
    pub fn new(out: W, columns: Option<Vec<Column>>) -> Self {
        Self { out, columns, line: String::new() }
    }

    fn write(&mut self, column: Column, cell: &Cell<'_>) {
        self.line.push(if self.line.is_empty() { '{' } else { ',' });
        // Writing to a String cannot fail, and column names need no escapes.
        let _ = write!(self.line, "\"{}\":", column.spec().name);
        let _ = cell.write_json(&mut self.line);
    }
}

impl<W: Write> Rows for JsonLines<W> {
    fn row(&mut self, batch: &FlowBatch, names: &NamesView<'_>, row: usize, held: bool) -> io::Result<()> {
        self.line.clear();
        match self.columns.clone() {
            Some(columns) => {
                for column in columns {
                    self.write(column, &Cell::of(batch, names, column, row));
                }
            }
            None => {
                for column in batch.present().iter() {
                    let cell = Cell::of(batch, names, column, row);
                    if !cell.is_empty() {
                        self.write(column, &cell);
                    }
                }
            }
        }
        if held {
            self.line.push_str(if self.line.is_empty() { "{\"held\":true" } else { ",\"held\":true" });
        }
        self.line.push_str(if self.line.is_empty() { "{}\n" } else { "}\n" });
        self.out.write_all(self.line.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Comma-separated values (RFC 4180) with a header; by default all columns.
pub struct Csv<W> {
    out: W,
    columns: Vec<Column>,
    line: String,
}

impl<W: Write> Csv<W> {
    /// # Errors
    /// When the header cannot be written.
    pub fn new(mut out: W, columns: Option<Vec<Column>>) -> io::Result<Self> {
        let columns = columns.unwrap_or_else(|| Column::all().collect());
        let names: Vec<&str> = columns.iter().map(|column| column.spec().name).collect();
        writeln!(out, "{}", names.join(","))?;
        Ok(Self { out, columns, line: String::new() })
    }
}

impl<W: Write> Rows for Csv<W> {
    fn row(&mut self, batch: &FlowBatch, names: &NamesView<'_>, row: usize, _held: bool) -> io::Result<()> {
        self.line.clear();
        for (index, &column) in self.columns.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            quote(&Cell::of(batch, names, column, row).to_string(), &mut self.line);
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a table shows unless columns are chosen: the flow's key, its volume and where it was seen.
const TABLE_COLUMNS: [Column; 13] = [
    RECEIVED_AT.column(),
    EXPORTER_ADDRESS.column(),
    EXPORT_PROTOCOL.column(),
    SRC_ADDR.column(),
    SRC_PORT.column(),
    DST_ADDR.column(),
    DST_PORT.column(),
    PROTO.column(),
    PACKETS.column(),
    BYTES.column(),
    SAMPLING_INTERVAL.column(),
    IN_IF_INDEX.column(),
    OUT_IF_INDEX.column(),
];

/// Rows that decide the widths of a table's columns; a live input must not wait for its end.
const TABLE_SAMPLE: usize = 200;

/// Aligned columns for people.
pub struct Table<W> {
    out: W,
    columns: Vec<Column>,
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl<W: Write> Table<W> {
    /// `None` for a choice of columns that fits a terminal.
    pub fn new(out: W, columns: Option<Vec<Column>>) -> Self {
        Self { out, columns: columns.unwrap_or_else(|| TABLE_COLUMNS.to_vec()), waiting: Vec::new(), widths: None }
    }

    fn settle(&mut self) -> io::Result<()> {
        let header: Vec<String> = self.columns.iter().map(|column| column.spec().name.to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.waiting);
        let mut widths = vec![0; self.columns.len()];
        for line in lines {
            widths.iter_mut().zip(line).for_each(|(width, text)| *width = (*width).max(text.chars().count()));
        }
        self.widths = Some(widths);
        self.line(&header)?;
        for line in std::mem::take(&mut self.waiting) {
            self.line(&line)?;
        }
        Ok(())
    }

    fn line(&mut self, texts: &[String]) -> io::Result<()> {
        let mut line = String::new();
        let widths = self.widths.as_deref().unwrap_or(&[]);
        for ((text, width), column) in texts.iter().zip(widths).zip(&self.columns) {
            let number =
                matches!(column.spec().kind, ColumnKind::U8 | ColumnKind::U16 | ColumnKind::U32 | ColumnKind::U64);
            let _ = if number { write!(line, "{text:>width$}  ") } else { write!(line, "{text:<width$}  ") };
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

impl<W: Write> Rows for Table<W> {
    fn row(&mut self, batch: &FlowBatch, names: &NamesView<'_>, row: usize, _held: bool) -> io::Result<()> {
        let texts: Vec<String> =
            self.columns.iter().map(|&column| printable(&Cell::of(batch, names, column, row).to_string())).collect();
        if self.widths.is_some() {
            return self.line(&texts);
        }
        self.waiting.push(texts);
        if self.waiting.len() >= TABLE_SAMPLE { self.settle() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.widths.is_none() && !self.waiting.is_empty() {
            self.settle()?;
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.widths.is_none() {
            self.settle()?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{APPLICATION, SRC_AS};
    use helios_common::exporter::{ExporterId, mapped};
    use helios_common::names::Names;

    fn flow(names: &Names) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.set(SRC_ADDR, mapped([192, 0, 2, 1]));
        batch.set(SRC_PORT, 0);
        batch.set(APPLICATION, names.intern("a,\"b\""));
        batch.advance(1, ExporterId(0));
        batch
    }

    fn written(rows: impl FnOnce(&mut Vec<u8>, &FlowBatch, &Names)) -> String {
        let names = Names::new();
        let batch = flow(&names);
        let mut out = Vec::new();
        rows(&mut out, &batch, &names);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_row_has_what_its_message_filled() {
        let text = written(|out, batch, names| {
            let mut rows = JsonLines::new(out, None);
            rows.row(batch, &names.read(), 0, false).unwrap();
            rows.row(batch, &names.read(), 0, true).unwrap();
        });
        let row = r#"{"src_addr":"192.0.2.1","src_port":0,"application":"a,\"b\"""#;
        assert_eq!(text, format!("{row}}}\n{row},\"held\":true}}\n"));
    }

    #[test]
    fn chosen_columns_are_there_even_if_nothing_filled_them() {
        let text = written(|out, batch, names| {
            let columns = vec![SRC_AS.column(), SRC_ADDR.column()];
            JsonLines::new(out, Some(columns)).row(batch, &names.read(), 0, false).unwrap();
        });
        assert_eq!(text, "{\"src_as\":0,\"src_addr\":\"192.0.2.1\"}\n");
    }

    #[test]
    fn csv_quotes_what_would_break_it() {
        let text = written(|out, batch, names| {
            let columns = vec![APPLICATION.column(), SRC_PORT.column()];
            Csv::new(out, Some(columns)).unwrap().row(batch, &names.read(), 0, false).unwrap();
        });
        assert_eq!(text, "application,src_port\n\"a,\"\"b\"\"\",0\n");
    }

    #[test]
    fn a_table_that_is_flushed_shows_its_rows_before_the_end() {
        let text = written(|out, batch, names| {
            let mut table = Table::new(out, Some(vec![SRC_PORT.column()]));
            table.flush().unwrap();
            table.row(batch, &names.read(), 0, false).unwrap();
            table.flush().unwrap();
        });
        assert_eq!(text, "src_port\n       0\n");
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_cell() {
        let text = written(|out, batch, names| {
            let columns = vec![SRC_ADDR.column(), SRC_PORT.column()];
            let mut table = Table::new(out, Some(columns));
            table.row(batch, &names.read(), 0, false).unwrap();
            table.finish().unwrap();
        });
        assert_eq!(text, "src_addr   src_port\n192.0.2.1         0\n");
    }
}
