//! Modules of a crate do not use each other in a circle: whoever reads one has an order to read them in.
//!
//! Looked at are the modules beside each other in one folder, each with all that is below it; that a module and its parent use
//! each other is how Rust's modules are made. Unit tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::expect::root;

/// Circles that stay, by crate, parent and one of the modules, with the reason.
const ALLOWED: &[(&str, &str, &str, &str)] = &[
    ("common", "", "names", "an exporter has a name, and names are limited for each exporter"),
    ("collector", "decode::packet", "link", "a packet in a tunnel is a frame again: the headers call each other"),
    (
        "collector",
        "decode",
        "plan",
        "a template is compiled into a plan, records are of a template, and their lists name others",
    ),
    ("collector", "tcp", "sessions", "a connection is a part of its session"),
    ("enricher", "", "rules", "the rules' configuration is compiled by the rules, which check it"),
    ("enricher", "", "addresses", "sources are of the snapshot that they build"),
    ("metrics", "", "text", "a declaration says how its samples are written"),
    ("netbox", "", "kinds", "the table of kinds declares what the others are made of"),
    ("query", "", "parser", "a filter is parsed, and its values are of columns"),
    ("runbooks", "", "resource", "resources hold parameters and audit entries, which are of resources"),
    ("runbooks", "kubernetes", "objects", "the operator makes objects that refer to it"),
    ("service", "config", "tree", "a mistake has the place in the tree, and the tree finds mistakes"),
    ("sink", "", "block", "a block goes to the spool, and the spool's blocks come back"),
    ("sink", "schema", "ddl", "views are columns and queries"),
    ("targets", "", "plan", "a plan is of the configuration's profiles"),
];

type Module = Vec<String>;

/// The modules of a crate with their text, without unit tests and comments.
fn modules(src: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(src.to_owned(), Module::new())];
    while let Some((folder, parent)) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let module: Module = parent.iter().cloned().chain([name.clone()]).collect();
            if path.is_dir() {
                folders.push((path, module));
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                let lines = code.lines().map(|line| line.split("//").next().unwrap());
                let is_root = parent.is_empty() && ["lib", "main"].contains(&name.as_str());
                let module = if is_root { Module::new() } else { module };
                found.entry(module).or_insert_with(String::new).push_str(&lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    found
}

/// Every path that a text names, groups of `use` written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for part in text.split("use ").skip(1) {
        spell_out(&[], part.split(';').next().unwrap(), &mut paths);
    }
    for start in ["super::", "crate::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len());
            paths.push(rest[..end].trim_end_matches(':').split("::").map(str::to_owned).collect());
        }
    }
    paths
}

fn spell_out(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let (mut depth, mut part) = (0, String::new());
    let mut parts = Vec::new();
    for c in tree.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let (head, group) = part.split_once('{').map_or((part, None), |(head, group)| (head, Some(group)));
        let head = head.split(" as ").next().unwrap().trim().trim_end_matches("::");
        let steps = head.split("::").filter(|step| !step.is_empty()).map(str::to_owned);
        let path: Vec<String> = prefix.iter().cloned().chain(steps).collect();
        match group.and_then(|group| group.rsplit_once('}')) {
            Some((group, _)) => spell_out(&path, group, paths),
            None => paths.push(path),
        }
    }
}

/// The module that a path leads to, from `module`; `None` for one of another crate.
fn target(module: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first().map(String::as_str)? {
        "crate" => (base, rest) = (Module::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|step| step == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            base.push(child.to_owned());
            modules.contains_key(&base).then_some(())?;
            base.pop();
        }
    }
    let full: Module = base.iter().chain(rest).cloned().collect();
    (0..=full.len()).rev().map(|end| full[..end].to_vec()).find(|module| modules.contains_key(module))
}

/// Who uses whom among the modules of one folder.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn uses(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Uses> {
    let mut found: BTreeMap<Module, Uses> = BTreeMap::new();
    for (module, text) in modules {
        for target in paths(text).iter().filter_map(|path| target(module, path, modules)) {
            let shared = module.iter().zip(&target).take_while(|(mine, its)| mine == its).count();
            if let (Some(mine), Some(its)) = (module.get(shared), target.get(shared)) {
                let folder = found.entry(module[..shared].to_vec()).or_default();
                folder.entry(mine.clone()).or_default().insert(its.clone());
            }
        }
    }
    found
}

/// All that can be reached from a module.
fn reached(uses: &Uses, from: &str) -> BTreeSet<String> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = left.pop() {
        for next in uses.get(&module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                left.push(next.clone());
            }
        }
    }
    seen
}

/// The circles of a crate: parent and the modules in it.
fn circles(src: &Path) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for (parent, uses) in uses(&modules(src)) {
        let reach: BTreeMap<&String, BTreeSet<String>> = uses.keys().map(|name| (name, reached(&uses, name))).collect();
        for (name, from_it) in &reach {
            let both = |other: &&String| from_it.contains(*other) && reach[*other].contains(*name);
            let circle: BTreeSet<String> = reach.keys().copied().filter(both).cloned().collect();
            // Each circle once, by its first module.
            if circle.len() > 1 && circle.first() == Some(*name) {
                found.push((parent.join("::"), circle));
            }
        }
    }
    found
}

#[test]
fn modules_do_not_use_each_other_in_a_circle() {
    let mut unused: Vec<_> = ALLOWED.iter().collect();
    let folders = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.chain([root()]).filter(|folder| folder.join("src/lib.rs").exists()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (parent, circle) in circles(&folder.join("src")) {
            let is_it = |(of, place, member, _): &&&(&str, &str, &str, &str)| {
                *of == name && *place == parent && circle.contains(*member)
            };
            let known = unused.iter().position(|allowed| is_it(&allowed));
            assert!(known.is_some(), "{name}: the modules {circle:?} of `{parent}` use each other in a circle");
            unused.swap_remove(known.unwrap());
        }
    }
    assert!(unused.is_empty(), "no circle any more, take it out of ALLOWED: {unused:?}");
}

#[test]
fn a_circle_is_found_across_folders_and_groups_of_uses() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    for (file, text) in [
        ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("a.rs", "mod inner;\n"),
        ("a/inner.rs", "use std::io;\nuse crate::{c, b::{Thing, Other as Another}};\n"),
        ("b.rs", "fn f() { crate::c::g(); }\n"),
        ("c.rs", "// crate::b\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n"),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    assert_eq!(circles(folder.path()), []);
    std::fs::write(folder.path().join("c.rs"), "fn g(_: &super::a::inner::X) {}\n").unwrap();
    let circle = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(circles(folder.path()), [(String::new(), circle)]);
}
