//! Messages of an ArrowStream, written straight from the memory of columns.
//!
//! arrow-ipc's writer gathers the body of every message in memory of its own before it writes it: two copies of each
//! row, into fresh pages, cost more than the compression with which they were meant to be saved. Here the metadata, a
//! flatbuffer, is built first, since it has only lengths in it, and the columns follow from where they lie.
//!
//! Written are the schema (by arrow-ipc), dictionary batches and record batches without nulls. Source: Arrow columnar
//! format 1.5, "Encapsulated message format" and "RecordBatch message".

use arrow_ipc::writer::StreamWriter;
use arrow_ipc::{
    Buffer, DictionaryBatchBuilder, FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatch,
    RecordBatchBuilder,
};
use arrow_schema::{ArrowError, Schema};
use flatbuffers::{FlatBufferBuilder, WIPOffset};

/// Begins every message since format 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Message bodies and the buffers in them begin at multiples of 8 octets; the format recommends 64 for buffers.
const MESSAGE_ALIGNMENT: usize = 8;
const BUFFER_ALIGNMENT: usize = 64;
const PADDING: [u8; BUFFER_ALIGNMENT] = [0; BUFFER_ALIGNMENT];

/// Ends a stream: a message without metadata.
pub(crate) const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The first message of a stream.
///
/// # Errors
/// [`ArrowError`] for a schema that cannot travel; none of the tables' is one.
pub(crate) fn schema(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    Ok(StreamWriter::try_new(Vec::new(), schema)?.get_ref().clone())
}

/// The columns of a batch in the order of the schema, each a node and its buffers.
#[derive(Debug, Default)]
pub(crate) struct Body<'a> {
    nodes: Vec<FieldNode>,
    buffers: Vec<Buffer>,
    octets: Vec<&'a [u8]>,
    length: usize,
}

impl<'a> Body<'a> {
    /// Begins an array of `values` without nulls: its validity is a buffer of length 0.
    pub(crate) fn array(&mut self, values: usize) {
        self.nodes.push(FieldNode::new(values as i64, 0));
        self.buffer(&[]);
    }

    /// Adds a buffer to the array: offsets, keys or values.
    pub(crate) fn buffer(&mut self, octets: &'a [u8]) {
        self.buffers.push(Buffer::new(self.length as i64, octets.len() as i64));
        self.octets.push(octets);
        self.length += octets.len().next_multiple_of(BUFFER_ALIGNMENT);
    }
}

/// Writes messages; keeps the memory of their metadata.
#[derive(Default)]
pub(crate) struct Messages(FlatBufferBuilder<'static>);

impl Messages {
    /// Writes a record batch of `rows`.
    pub(crate) fn record_batch(&mut self, rows: usize, body: &Body<'_>, write: &mut dyn FnMut(&[u8])) {
        self.0.reset();
        let batch = self.batch(rows, body);
        self.message(MessageHeader::RecordBatch, batch.as_union_value(), body, write);
    }

    /// Writes the values of the dictionary `id`, in place of all earlier ones.
    pub(crate) fn dictionary(&mut self, id: usize, values: usize, body: &Body<'_>, write: &mut dyn FnMut(&[u8])) {
        self.0.reset();
        let data = self.batch(values, body);
        let mut dictionary = DictionaryBatchBuilder::new(&mut self.0);
        dictionary.add_id(id as i64);
        dictionary.add_data(data);
        let dictionary = dictionary.finish();
        self.message(MessageHeader::DictionaryBatch, dictionary.as_union_value(), body, write);
    }

    fn batch(&mut self, rows: usize, body: &Body<'_>) -> WIPOffset<RecordBatch<'static>> {
        let buffers = self.0.create_vector(&body.buffers);
        let nodes = self.0.create_vector(&body.nodes);
        let mut batch = RecordBatchBuilder::new(&mut self.0);
        batch.add_length(rows as i64);
        batch.add_nodes(nodes);
        batch.add_buffers(buffers);
        WIPOffset::new(batch.finish().value())
    }

    fn message(
        &mut self,
        kind: MessageHeader,
        header: WIPOffset<flatbuffers::UnionWIPOffset>,
        body: &Body<'_>,
        write: &mut dyn FnMut(&[u8]),
    ) {
        let mut message = MessageBuilder::new(&mut self.0);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(kind);
        message.add_bodyLength(body.length as i64);
        message.add_header(header);
        let message = message.finish();
        self.0.finish(message, None);
        let metadata = self.0.finished_data();
        let length = metadata.len().next_multiple_of(MESSAGE_ALIGNMENT);
        write(&CONTINUATION);
        write(&(length as u32).to_le_bytes());
        write(metadata);
        write(&PADDING[..length - metadata.len()]);
        for octets in &body.octets {
            write(octets);
            write(&PADDING[..octets.len().next_multiple_of(BUFFER_ALIGNMENT) - octets.len()]);
        }
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Messages")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{UInt16Type, UInt64Type};
    use arrow_buffer::ToByteSlice;
    use arrow_ipc::reader::StreamReader;
    use arrow_schema::{DataType, Field};

    /// Two columns: numbers, and names by a dictionary that changes from batch to batch.
    #[test]
    fn arrows_own_reader_reads_what_is_written() {
        let names = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        let fields = vec![Field::new("n", DataType::UInt64, false), Field::new("name", names, false)];
        let mut stream = schema(&Schema::new(fields)).unwrap();
        let mut messages = Messages::default();
        for (numbers, keys, words) in
            [(vec![1_u64, 2, 3], vec![0_u16, 1, 0], ["a", "bc"]), (vec![u64::MAX], vec![1], ["d", "é"])]
        {
            let mut write = |octets: &[u8]| stream.extend_from_slice(octets);
            let offsets = [0, words[0].len() as i32, (words[0].len() + words[1].len()) as i32];
            let text = words.concat();
            let mut dictionary = Body::default();
            dictionary.array(2);
            dictionary.buffer(offsets.to_byte_slice());
            dictionary.buffer(text.as_bytes());
            messages.dictionary(0, 2, &dictionary, &mut write);
            let mut body = Body::default();
            body.array(numbers.len());
            body.buffer(numbers.to_byte_slice());
            body.array(keys.len());
            body.buffer(keys.to_byte_slice());
            messages.record_batch(numbers.len(), &body, &mut write);
        }
        stream.extend_from_slice(&END);
        let batches: Vec<_> = StreamReader::try_new(&stream[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[0]["n"].as_primitive::<UInt64Type>().values(), &[1, 2, 3]);
        assert_eq!(batches[1]["n"].as_primitive::<UInt64Type>().values(), &[u64::MAX]);
        let name = |batch: usize, row: usize| {
            let column = batches[batch]["name"].as_dictionary::<UInt16Type>();
            column.values().as_string::<i32>().value(column.keys().value(row).into()).to_owned()
        };
        assert_eq!([name(0, 0), name(0, 1), name(0, 2), name(1, 0)], ["a", "bc", "a", "é"]);
        assert_eq!(batches[0]["name"].null_count(), 0);
    }
}
