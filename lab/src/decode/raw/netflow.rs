//! NetFlow and IPFIX messages as lines.

use netflow_parser::NetflowPacket;
use netflow_parser::variable_versions::{ipfix, v9};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::elements;
use super::lists::Templates;
use super::value::{fields, hex, shown, value};
use super::{Datagram, Head};

/// The lines of a message.
pub(super) fn lines(datagram: &Datagram, message: &NetflowPacket, templates: &mut Templates, lines: &mut Vec<Value>) {
    match message {
        NetflowPacket::V5(message) => {
            fixed(&Head::new(datagram, "netflow5", None, message.header.flow_sequence), &message.flowsets, lines);
        }
        NetflowPacket::V7(message) => {
            fixed(&Head::new(datagram, "netflow7", None, message.header.flow_sequence), &message.flowsets, lines);
        }
        NetflowPacket::V9(message) => {
            let header = &message.header;
            let head = Head::new(datagram, "netflow9", Some(header.source_id), header.sequence_number);
            message.flowsets.iter().for_each(|set| netflow9(&head, set, lines));
        }
        NetflowPacket::IPFix(message) => {
            let header = &message.header;
            let head = Head::new(datagram, "ipfix", Some(header.observation_domain_id), header.sequence_number);
            message.flowsets.iter().for_each(|set| ipfix(&head, set, templates, lines));
        }
        // The crate may learn versions; they are shown when Helios knows them, too.
        _ => {}
    }
}

/// NetFlow v5 and v7 have no information elements; the crate's names are those of Cisco's documents.
fn fixed<R: Serialize>(head: &Head<'_>, records: &[R], lines: &mut Vec<Value>) {
    lines.extend(records.iter().map(|record| head.line("record", [("fields", shown(record))])));
}

fn netflow9(head: &Head<'_>, set: &v9::FlowSet, lines: &mut Vec<Value>) {
    use v9::FlowSetBody as Body;
    let id = ("template", Value::from(set.header.flowset_id));
    let named = |pair: &[netflow_parser::V9FieldPair]| {
        fields(pair.iter().map(|(field, found)| (elements::netflow9(*field), value(found))))
    };
    match &set.body {
        Body::Template(all) => lines.extend(all.templates.iter().map(|template| template9(head, template))),
        Body::OptionsTemplate(all) => {
            lines.extend(all.templates.iter().map(|template| options_template9(head, template)));
        }
        Body::Data(data) => {
            lines.extend(data.fields.iter().map(|record| head.line("record", [id.clone(), ("fields", named(record))])));
        }
        Body::OptionsData(data) => lines.extend(data.fields.iter().map(|record| {
            let scope = record.scope_fields.iter().map(scope9).collect();
            head.line("options", [id.clone(), ("scope", scope), ("fields", named(&record.options_fields))])
        })),
        Body::NoTemplate(set) => {
            lines.push(head.line("set_without_template", [id, ("octets", hex(&set.raw_data).into())]))
        }
        Body::Empty => {}
    }
}

fn template9(head: &Head<'_>, template: &v9::Template) -> Value {
    head.line("template", [("template", template.template_id.into()), ("fields", lengths9(&template.fields))])
}

fn options_template9(head: &Head<'_>, template: &v9::OptionsTemplate) -> Value {
    let scope =
        template.scope_fields.iter().map(|field| json!([scope_name(field.field_type_number), field.field_length]));
    head.line(
        "options_template",
        [
            ("template", template.template_id.into()),
            ("scope", scope.collect()),
            ("fields", lengths9(&template.option_fields)),
        ],
    )
}

/// Name and length of each field.
fn lengths9(fields: &[v9::TemplateField]) -> Value {
    fields.iter().map(|field| json!([elements::netflow9(field.field_type), field.field_length])).collect()
}

/// RFC 3954 §6.1.
fn scope_name(number: u16) -> String {
    match number {
        1 => "system".into(),
        2 => "interface".into(),
        3 => "lineCard".into(),
        4 => "cache".into(),
        5 => "template".into(),
        other => format!("scope/{other}"),
    }
}

fn scope9(scope: &v9::ScopeDataField) -> Value {
    use v9::ScopeDataField as Scope;
    let (number, octets) = match scope {
        Scope::System(octets) => (1, octets),
        Scope::Interface(octets) => (2, octets),
        Scope::LineCard(octets) => (3, octets),
        Scope::NetFlowCache(octets) => (4, octets),
        Scope::Template(octets) => (5, octets),
        Scope::Unknown(number, octets) => (*number, octets),
    };
    json!({ scope_name(number): hex(octets) })
}

fn ipfix(head: &Head<'_>, set: &ipfix::FlowSet, templates: &mut Templates, lines: &mut Vec<Value>) {
    use ipfix::FlowSetBody as Body;
    let domain = head.domain.unwrap_or(0);
    let mut define = |id, fields: &[ipfix::TemplateField]| templates.define(domain, id, fields);
    match &set.body {
        Body::Template(one) => define(one.template_id, &one.fields),
        Body::Templates(all) => all.iter().for_each(|one| define(one.template_id, &one.fields)),
        Body::OptionsTemplate(one) => define(one.template_id, &one.fields),
        Body::OptionsTemplates(all) => all.iter().for_each(|one| define(one.template_id, &one.fields)),
        _ => {}
    }
    let walk = templates.of(domain);
    let id = ("template", Value::from(set.header.header_id));
    let mut records = |kind: &str, records: &[netflow_parser::IpfixFlowRecord]| {
        lines.extend(records.iter().map(|record| {
            let fields =
                fields(record.iter().map(|(field, found)| (elements::ipfix(*field), walk.value(*field, found))));
            head.line(kind, [id.clone(), ("fields", fields)])
        }));
    };
    match &set.body {
        Body::Data(data) => records("record", &data.fields),
        Body::OptionsData(data) => records("options", &data.fields),
        Body::Template(one) => lines.push(template(head, one)),
        Body::Templates(all) => lines.extend(all.iter().map(|one| template(head, one))),
        Body::OptionsTemplate(one) => lines.push(options_template(head, one)),
        Body::OptionsTemplates(all) => lines.extend(all.iter().map(|one| options_template(head, one))),
        Body::NoTemplate(set) => {
            lines.push(head.line("set_without_template", [id, ("octets", hex(&set.raw_data).into())]))
        }
        Body::Empty => {}
        // NetFlow v9 sets in an IPFIX message, which no exporter is known to send.
        other => lines.push(head.line("set", [id, ("content", shown(other))])),
    }
}

fn template(head: &Head<'_>, template: &ipfix::Template) -> Value {
    head.line("template", [("template", template.template_id.into()), ("fields", lengths(&template.fields))])
}

fn options_template(head: &Head<'_>, template: &ipfix::OptionsTemplate) -> Value {
    let scope = template.fields.len().min(template.scope_field_count.into());
    let (scope, options) = template.fields.split_at(scope);
    let id = ("template", template.template_id.into());
    head.line("options_template", [id, ("scope", lengths(scope)), ("fields", lengths(options))])
}

/// Name and length of each field; variable length is 65535 (RFC 7011 §7).
fn lengths(fields: &[ipfix::TemplateField]) -> Value {
    fields.iter().map(|field| json!([elements::ipfix(field.field_type), field.field_length])).collect()
}
