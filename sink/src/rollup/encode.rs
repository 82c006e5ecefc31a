//! The streams of rolled up rows.

use std::sync::Arc;

use arrow_schema::{ArrowError, Field, Schema};
use bytes::Bytes;
use helios_common::columns::{ColumnData, ColumnKind};
use helios_common::flow::ColumnSet;
use helios_common::names::Names;

use super::busiest::Busiest;
use super::minutes::Minutes;
use super::{Rollup, Sums};
use crate::chunk::{CHUNK_ROWS, Values, write_rows};
use crate::schema::rollup::{AS_LISTED, Side, TALKER_KEYS};
use crate::schema::{Table, arrow, ddl};
use crate::stream::{self, Messages};

/// Makes a body of a stream: calls back with what the stream is to be written to.
pub(crate) type MakeBody<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&mut dyn FnMut(&[u8]))) -> Bytes;

const TIME: (&str, ColumnKind) = ("received_at", ColumnKind::Time);
const SUMS: [(&str, ColumnKind); 3] =
    [("bytes", ColumnKind::U64), ("packets", ColumnKind::U64), ("flows", ColumnKind::U64)];

/// Makes rollups of what was added up; keeps its memory.
#[derive(Debug)]
pub(crate) struct Pieces {
    database: String,
    messages: Messages,
    /// What `flows_1m` is written with, and for which columns of flows.
    minutes: Option<(ColumnSet, Stream)>,
    talkers: Option<Stream>,
}

/// What is written to one table.
#[derive(Debug)]
struct Stream {
    table: Table,
    statement: Arc<str>,
    /// The begin of the stream.
    schema: Vec<u8>,
    columns: Vec<Values>,
}

impl Stream {
    fn new(database: &str, table: Table, keys: &[(&'static str, ColumnKind)]) -> Result<Self, ArrowError> {
        let columns = || [TIME].into_iter().chain(keys.iter().copied()).chain(SUMS);
        let fields: Vec<Field> =
            columns().map(|(name, kind)| Field::new(name, arrow::data_type(kind), false)).collect();
        Ok(Self {
            table,
            statement: ddl::insert_statement(database, table, columns().map(|(name, _)| name)).into(),
            schema: stream::schema(&Schema::new(fields))?,
            columns: columns().map(|(_, kind)| Values::new(kind)).collect(),
        })
    }

    /// Writes rows that are given as columns: the time, the keys, the sums.
    fn rollup(
        &mut self,
        rows: usize,
        data: &[&ColumnData],
        (names, messages): (&Names, &mut Messages),
        body: MakeBody<'_>,
    ) -> Rollup {
        debug_assert_eq!(data.len(), self.columns.len());
        let body = body(&mut |write| {
            write(&self.schema);
            for from in (0..rows).step_by(CHUNK_ROWS) {
                let to = rows.min(from + CHUNK_ROWS);
                self.columns.iter_mut().zip(data).for_each(|(values, data)| values.append(data, from, to));
                write_rows(&mut self.columns, to - from, names, messages, write);
            }
            write(&stream::END);
        });
        Rollup { table: self.table, statement: Arc::clone(&self.statement), rows: rows as u64, body }
    }
}

impl Pieces {
    pub(super) fn new(database: &str) -> Self {
        Self { database: database.to_owned(), messages: Messages::default(), minutes: None, talkers: None }
    }

    /// The rows of `flows_1m`, and whether their pairs of AS are listed; `None` if there are none. Only dimensions that are among `carried` can hold anything.
    pub(super) fn minutes(
        &mut self,
        (minutes, listed): (&mut Minutes, &ColumnData),
        carried: ColumnSet,
        names: &Names,
        body: MakeBody<'_>,
    ) -> Result<Option<Rollup>, ArrowError> {
        let rows = minutes.len();
        if rows == 0 {
            return Ok(None);
        }
        let stream = match self.minutes.take().filter(|(columns, _)| *columns == carried) {
            Some((_, known)) => known,
            None => {
                let keys = minutes.keys.iter().map(|(column, _)| *column).filter(|column| carried.contains(*column));
                let keys = keys.map(|column| (column.spec().name, column.spec().kind));
                let keys: Vec<_> = keys.chain([(AS_LISTED, ColumnKind::U8)]).collect();
                Stream::new(&self.database, Table::Flows1m, &keys)?
            }
        };
        let (_, stream) = self.minutes.insert((carried, stream));
        let times = ColumnData::I64(std::mem::take(&mut minutes.times));
        let sums = columns_of(minutes.groups.iter().map(|group| &group.sums));
        let keys = minutes.keys.iter().filter(|(column, _)| carried.contains(*column)).map(|(_, data)| data);
        let data: Vec<_> = [&times].into_iter().chain(keys).chain([listed]).chain(&sums).collect();
        let rollup = stream.rollup(rows, &data, (names, &mut self.messages), body);
        if let ColumnData::I64(times) = times {
            minutes.times = times;
        }
        minutes.clear();
        Ok(Some(rollup))
    }

    /// The rows of `talkers_1m`; `None` if there are none.
    pub(super) fn talkers(
        &mut self,
        busiest: &mut Busiest,
        names: &Names,
        body: MakeBody<'_>,
    ) -> Result<Option<Rollup>, ArrowError> {
        let (mut times, mut exporters, mut sides, mut sums) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut hosts, mut peers, mut protos, mut ports) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        busiest.finish(|total, side, talker, of_row| {
            let (host, (proto, port)) = match side {
                Side::Service => (Default::default(), talker.proto_and_port()),
                _ => (talker.host, (0, 0)),
            };
            times.push(total.time());
            exporters.push(total.exporter);
            sides.push(side as u8);
            hosts.push(host);
            peers.push(talker.peer);
            protos.push(proto);
            ports.push(port);
            sums.push(of_row);
        });
        let rows = times.len();
        if rows == 0 {
            return Ok(None);
        }
        let stream = match self.talkers.take() {
            Some(known) => known,
            None => Stream::new(&self.database, Table::Talkers1m, &TALKER_KEYS)?,
        };
        let stream = self.talkers.insert(stream);
        use ColumnData::{I64, Octets16, U8, U16, U32};
        let keys = [I64(times), U32(exporters), U8(sides), Octets16(hosts), Octets16(peers), U8(protos), U16(ports)];
        let sums = columns_of(sums.iter());
        let data: Vec<_> = keys.iter().chain(&sums).collect();
        Ok(Some(stream.rollup(rows, &data, (names, &mut self.messages), body)))
    }
}

/// Sums as columns.
fn columns_of<'a>(sums: impl Iterator<Item = &'a Sums> + Clone) -> [ColumnData; 3] {
    [
        ColumnData::U64(sums.clone().map(|sums| sums.bytes).collect()),
        ColumnData::U64(sums.clone().map(|sums| sums.packets).collect()),
        ColumnData::U64(sums.map(|sums| sums.flows).collect()),
    ]
}
