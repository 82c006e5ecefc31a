//! The configuration's keys as the source code has them: names, types and doc comments of the sections' structs.

use std::collections::HashMap;

use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprLit, Fields, Item, Lit, Meta, Type, Variant};

use crate::expect::root;

/// Where the structs of the sections are.
const SOURCES: &[&str] = &[
    "src/config.rs",
    "src/config/sections.rs",
    "src/config/columns.rs",
    "service/src/log.rs",
    "collector/src/config.rs",
    "enricher/src/config.rs",
    "enricher/src/config/rules.rs",
    "netbox/src/config.rs",
    "targets/src/config.rs",
    "sink/src/config.rs",
    "sink/src/spool/config.rs",
    "sink/src/cluster/config.rs",
    "sink/src/retention/config.rs",
];

/// A key, or a section with keys in it.
#[derive(Debug)]
pub struct Key {
    /// `section.key`.
    pub path: String,
    /// What kind of value it takes, in words; empty for a section.
    pub kind: String,
    /// Paragraphs.
    pub doc: Vec<String>,
    /// Fields of the entries of a list of sections, each section before its fields.
    pub entries: Vec<EntryField>,
    pub is_section: bool,
}

/// A field of an entry of a list.
#[derive(Debug)]
pub struct EntryField {
    /// `field`, or `section.field`.
    pub path: String,
    /// What kind of value it takes, in words.
    pub kind: String,
    pub doc: String,
}

/// Numbers in the entries of lists: the path of the list, `[]`, and the path of the field in the entry.
pub fn numbers_of_entries() -> Vec<String> {
    let items = Items::read();
    let mut found = Vec::new();
    items.numbers("Config", "", false, &mut found);
    found
}

/// All keys in the order of the source, each section before its keys.
pub fn keys() -> Vec<Key> {
    let items = Items::read();
    let mut keys = Vec::new();
    items.collect("Config", "", &mut keys);
    keys
}

struct Items(HashMap<String, Item>);

impl Items {
    fn read() -> Self {
        let mut items = HashMap::new();
        for source in SOURCES {
            let text = std::fs::read_to_string(root().join(source)).unwrap();
            for item in syn::parse_file(&text).unwrap().items {
                match &item {
                    Item::Struct(found) => items.insert(found.ident.to_string(), item.clone()),
                    Item::Enum(found) => items.insert(found.ident.to_string(), item.clone()),
                    _ => None,
                };
            }
        }
        Self(items)
    }

    fn collect(&self, name: &str, prefix: &str, keys: &mut Vec<Key>) {
        let Some(Item::Struct(section)) = self.0.get(name) else { panic!("no struct {name} in {SOURCES:?}") };
        let Fields::Named(fields) = &section.fields else { panic!("{name} has no named fields") };
        for field in &fields.named {
            let key = field.ident.as_ref().unwrap().to_string();
            let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            let ty = last_segment(&field.ty);
            match self.0.get(&ty) {
                Some(Item::Struct(nested)) => {
                    // A section of a crate is described at its struct, a nested one may be described at the field.
                    let mut doc = doc(&field.attrs);
                    if doc.is_empty() {
                        doc = self::doc(&nested.attrs);
                    }
                    let (kind, entries) = (String::new(), Vec::new());
                    keys.push(Key { path: path.clone(), kind, doc, entries, is_section: true });
                    self.collect(&ty, &path, keys);
                }
                _ => {
                    let kind = self.kind(&field.ty);
                    let mut entries = Vec::new();
                    if last_segment(&field.ty) == "Vec" {
                        self.fields(&argument(&field.ty), "", &mut entries);
                    }
                    keys.push(Key { path, kind, doc: doc(&field.attrs), entries, is_section: false });
                }
            }
        }
    }

    fn numbers(&self, name: &str, prefix: &str, in_entry: bool, found: &mut Vec<String>) {
        let Some(Item::Struct(section)) = self.0.get(name) else { return };
        for field in &section.fields {
            let path = format!("{prefix}{}", field.ident.as_ref().unwrap().unraw());
            let mut ty = field.ty.clone();
            let mut is_entry = in_entry;
            let mut marks = String::new();
            while matches!(last_segment(&ty).as_str(), "Option" | "Vec") {
                if last_segment(&ty) == "Vec" {
                    is_entry = true;
                    marks += "[]";
                }
                ty = argument(&ty);
            }
            let ty = last_segment(&ty);
            if in_entry && ["u8", "u16", "u32", "u64", "usize", "f64"].contains(&ty.as_str()) {
                found.push(format!("{path}{marks}"));
            }
            self.numbers(&ty, &format!("{path}{marks}."), is_entry, found);
        }
    }

    /// The fields of a section within the entries of a list, with those of the sections in it.
    fn fields(&self, ty: &Type, prefix: &str, fields: &mut Vec<EntryField>) {
        let Some(Item::Struct(section)) = self.0.get(&last_segment(ty)) else { return };
        for field in &section.fields {
            let doc = doc(&field.attrs);
            assert_eq!(doc.len(), 1, "fields of {} are described in one paragraph each", section.ident);
            let path = format!("{prefix}{}", field.ident.as_ref().unwrap().unraw());
            let mut inner = field.ty.clone();
            let mut marks = "";
            while matches!(last_segment(&inner).as_str(), "Option" | "Vec") {
                marks = if last_segment(&inner) == "Vec" { "[]" } else { marks };
                inner = argument(&inner);
            }
            fields.push(EntryField { path: path.clone(), kind: self.kind(&field.ty), doc: doc[0].clone() });
            self.fields(&inner, &format!("{path}{marks}."), fields);
        }
    }

    /// A type in words.
    fn kind(&self, ty: &Type) -> String {
        let name = last_segment(ty);
        match name.as_str() {
            "Option" => format!("{} or `null`", self.kind(&argument(ty))),
            "Vec" => format!("list of {}", plural(&self.kind(&argument(ty)))),
            "bool" => "`true` or `false`".to_owned(),
            "u8" | "u16" | "u32" | "u64" | "usize" => "whole number".to_owned(),
            "f64" => "number".to_owned(),
            "String" => "text".to_owned(),
            "PathBuf" => "path".to_owned(),
            "SocketAddr" => "`address:port`".to_owned(),
            other => match self.0.get(other) {
                Some(Item::Struct(_)) => "section".to_owned(),
                Some(Item::Enum(choice)) => {
                    let separator = if is_snake_case(&choice.attrs) { "_" } else { "-" };
                    let name = |variant: &Variant| separated(&variant.ident.to_string(), separator);
                    let names = choice.variants.iter().map(|variant| format!("`{}`", name(variant)));
                    names.collect::<Vec<_>>().join(" or ")
                }
                _ => panic!("say in tests/it/sections.rs what a {other} is called in the documentation"),
            },
        }
    }
}

/// Whether the configuration has the variants of an enum in snake case; otherwise it has them in kebab case.
fn is_snake_case(attributes: &[Attribute]) -> bool {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    serde
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .any(|list| list.tokens.to_string().contains("snake_case"))
}

/// A variant's name as the configuration has it.
fn separated(name: &str, separator: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push_str(separator);
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn plural(kind: &str) -> String {
    match kind {
        "text" | "path" | "section" | "whole number" => format!("{kind}s"),
        other => other.replacen("list ", "lists ", 1),
    }
}

fn last_segment(ty: &Type) -> String {
    let Type::Path(path) = ty else { panic!("a key has a type without a name") };
    path.path.segments.last().unwrap().ident.to_string()
}

fn argument(ty: &Type) -> Type {
    let Type::Path(path) = ty else { panic!("a key has a type without a name") };
    let syn::PathArguments::AngleBracketed(arguments) = &path.path.segments.last().unwrap().arguments else {
        panic!("a key's type lacks its argument")
    };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(ty)) => ty.clone(),
        _ => panic!("a key's type argument is no type"),
    }
}

/// Doc comments as paragraphs.
fn doc(attributes: &[Attribute]) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value else { continue };
        let line = line.value().trim().to_owned();
        match paragraphs.last_mut() {
            Some(last) if last.is_empty() => *last = line,
            Some(last) if !line.is_empty() => *last += &format!(" {line}"),
            // An empty line ends a paragraph.
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}
