//! Structured data (RFC 6313) in IPFIX records: lists are walked with the templates that the capture defined.
//!
//! A list is an object of its semantic and its content. What contradicts itself, has no template, or is nested deeper than
//! [`MAX_DEPTH`] is shown as octets: nothing of a capture is left out. Known limit: netflow_parser takes the lists of
//! communities (RFC 8549) for text, of which the octets are kept and walked.

use std::collections::HashMap;

use helios_collector::decode::cursor::Cursor;
use helios_common::ie::{self, Type, iana};
use netflow_parser::variable_versions::ipfix::TemplateField;
use netflow_parser::{FieldDataType, FieldValue, IpfixField};
use serde_json::{Value, json};

use super::super::elements;
use super::value::{fields, hex, value};

/// Lists in lists are followed so deep, as in the collector.
const MAX_DEPTH: usize = 4;

const SUB_TEMPLATE_LIST: u16 = 292;
const SUB_TEMPLATE_MULTI_LIST: u16 = 293;

/// A length that stands in front of each value (RFC 7011 §7).
const VARIABLE_LENGTH: u16 = 65_535;

/// Octets of template id and length in front of the records of a subTemplateMultiList's block.
const BLOCK_HEADER_OCTETS: u16 = 4;

/// The fields of the templates of one exporter, by observation domain and id.
#[derive(Debug, Default)]
pub(super) struct Templates(HashMap<(u32, u16), Vec<TemplateField>>);

impl Templates {
    pub(super) fn define(&mut self, domain: u32, id: u16, fields: &[TemplateField]) {
        self.0.insert((domain, id), fields.to_vec());
    }

    /// Those of one observation domain.
    pub(super) fn of(&self, domain: u32) -> Walk<'_> {
        Walk { templates: self, domain, depth: 0 }
    }
}

/// The way into the lists of a domain's records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk<'t> {
    templates: &'t Templates,
    domain: u32,
    depth: usize,
}

impl Walk<'_> {
    /// A field of a record as JSON.
    pub(super) fn value(&self, field: IpfixField, found: &FieldValue) -> Value {
        let octets = match found {
            FieldValue::Vec(octets) => octets.as_slice(),
            FieldValue::String(string) => string.raw.as_slice(),
            _ => return value(found),
        };
        match list_of(field) {
            Some(id) => self.list(id, octets),
            None => value(found),
        }
    }

    fn list(&self, id: u16, octets: &[u8]) -> Value {
        let deeper = Walk { depth: self.depth + 1, ..*self };
        let walked = match id {
            _ if deeper.depth > MAX_DEPTH => None,
            SUB_TEMPLATE_LIST => deeper.sub_template_list(octets),
            SUB_TEMPLATE_MULTI_LIST => deeper.sub_template_multi_list(octets),
            _ => deeper.basic_list(octets),
        };
        walked.unwrap_or_else(|| hex(octets).into())
    }

    /// RFC 6313 §4.5.1.
    fn basic_list(&self, octets: &[u8]) -> Option<Value> {
        let mut cursor = Cursor::new(octets);
        let semantic = semantic(cursor.u8().ok()?);
        let (number, length) = (cursor.u16().ok()?, cursor.u16().ok()?);
        let enterprise = if number & 0x8000 != 0 { Some(cursor.u32().ok()?) } else { None };
        let field = IpfixField::new(number & 0x7fff, enterprise);
        let mut values = Vec::new();
        while !cursor.is_empty() && length > 0 {
            values.push(self.element(field, length, &mut cursor)?);
        }
        cursor.is_empty().then(|| json!({"semantic": semantic, "element": elements::ipfix(field), "values": values}))
    }

    /// RFC 6313 §4.5.2.
    fn sub_template_list(&self, octets: &[u8]) -> Option<Value> {
        let mut cursor = Cursor::new(octets);
        let semantic = semantic(cursor.u8().ok()?);
        let template = cursor.u16().ok()?;
        Some(json!({"semantic": semantic, "template": template, "records": self.records(template, cursor.rest())}))
    }

    /// RFC 6313 §4.5.3.
    fn sub_template_multi_list(&self, octets: &[u8]) -> Option<Value> {
        let mut cursor = Cursor::new(octets);
        let semantic = semantic(cursor.u8().ok()?);
        let mut blocks = Vec::new();
        while !cursor.is_empty() {
            let (template, length) = (cursor.u16().ok()?, cursor.u16().ok()?);
            let records = cursor.take(length.saturating_sub(BLOCK_HEADER_OCTETS).into()).ok()?;
            blocks.push(json!({"template": template, "records": self.records(template, records)}));
        }
        Some(json!({"semantic": semantic, "blocks": blocks}))
    }

    /// Records back to back; their octets where they do not add up or their template is not known.
    fn records(&self, template: u16, octets: &[u8]) -> Value {
        let read = |fields: &Vec<TemplateField>| {
            let mut cursor = Cursor::new(octets);
            let mut records = Vec::new();
            while !cursor.is_empty() {
                let before = cursor.remaining();
                records.push(self.record(fields, &mut cursor)?);
                (cursor.remaining() < before).then_some(())?;
            }
            Some(Value::Array(records))
        };
        let known = self.templates.0.get(&(self.domain, template));
        known.and_then(read).unwrap_or_else(|| hex(octets).into())
    }

    fn record(&self, template: &[TemplateField], cursor: &mut Cursor<'_>) -> Option<Value> {
        let mut named = Vec::with_capacity(template.len());
        for field in template {
            let element = self.element(field.field_type, field.field_length, cursor)?;
            named.push((elements::ipfix(field.field_type), element));
        }
        Some(fields(named.into_iter()))
    }

    /// One value of `length` octets.
    fn element(&self, field: IpfixField, length: u16, cursor: &mut Cursor<'_>) -> Option<Value> {
        let length = match length {
            VARIABLE_LENGTH => match cursor.u8().ok()? {
                255 => cursor.u16().ok()?,
                short => short.into(),
            },
            fixed => fixed,
        };
        let octets = cursor.take(length.into()).ok()?;
        if let Some(id) = list_of(field) {
            return Some(self.list(id, octets));
        }
        let read = FieldValue::from_field_type(octets, FieldDataType::from(field), length);
        Some(read.map_or_else(|_| hex(octets).into(), |(_, found)| value(&found)))
    }
}

/// The number of an element that is a list.
fn list_of(field: IpfixField) -> Option<u16> {
    let id = elements::number(field)?;
    ie::info(iana(id)).filter(|info| info.ty == Type::List).map(|_| id)
}

/// RFC 6313 §4.4; the names are the registry's.
fn semantic(number: u8) -> Value {
    match number {
        0 => "noneOf".into(),
        1 => "exactlyOneOf".into(),
        2 => "oneOrMoreOf".into(),
        3 => "allOf".into(),
        4 => "ordered".into(),
        255 => "undefined".into(),
        other => other.into(),
    }
}
