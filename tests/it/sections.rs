//! The configuration's keys as the source code has them: names, types and doc comments of the sections' structs.

use std::collections::HashMap;

use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprLit, Fields, Item, Lit, Meta, Type};

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
    pub is_section: bool,
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
                    keys.push(Key { path: path.clone(), kind: String::new(), doc, is_section: true });
                    self.collect(&ty, &path, keys);
                }
                _ => {
                    let kind = self.kind(&field.ty);
                    let mut doc = doc(&field.attrs);
                    doc.extend(self.entries(&field.ty));
                    keys.push(Key { path, kind, doc, is_section: false });
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

    /// What the entries of a list of sections consist of, in a sentence.
    fn entries(&self, ty: &Type) -> Option<String> {
        if last_segment(ty) != "Vec" {
            return None;
        }
        let Some(Item::Struct(entry)) = self.0.get(&last_segment(&argument(ty))) else { return None };
        let fields = entry.fields.iter().map(|field| {
            let doc = doc(&field.attrs);
            assert_eq!(doc.len(), 1, "fields of {} are described in one paragraph each", entry.ident);
            format!("`{}` ({})", field.ident.as_ref().unwrap().unraw(), doc[0])
        });
        Some(format!("Each entry has {}.", fields.collect::<Vec<_>>().join("; ")))
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
                    let names =
                        choice.variants.iter().map(|variant| format!("`{}`", kebab(&variant.ident.to_string())));
                    names.collect::<Vec<_>>().join(" or ")
                }
                _ => panic!("say in tests/it/sections.rs what a {other} is called in the documentation"),
            },
        }
    }
}

/// A variant's name as the configuration has it.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
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
