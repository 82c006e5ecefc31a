//! What reviewers would otherwise have to look for: dependency directions, file sizes, left-overs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::expect::root;

/// A file of more lines has to be split.
const MAX_LINES: usize = 800;

/// Which crates of the workspace a crate may depend on. A new edge is a decision of its own.
const EDGES: &[(&str, &[&str])] = &[
    ("helios-advice", &[]),
    ("helios-common", &["helios-metrics"]),
    ("helios-collector", &["helios-advice", "helios-common", "helios-metrics"]),
    ("helios-enricher", &["helios-advice", "helios-common", "helios-metrics", "helios-netbox", "helios-web"]),
    ("helios-gnmi", &[]),
    ("helios-lab", &["helios-advice", "helios-common", "helios-collector"]),
    ("helios-metrics", &[]),
    ("helios-netbox", &["helios-advice", "helios-common", "helios-metrics", "helios-web"]),
    ("helios-practice", &["helios-common", "helios-collector", "helios-gnmi", "helios-testkit", "helios-web"]),
    ("helios-query", &["helios-advice", "helios-common"]),
    ("helios-runbooks", &["helios-common", "helios-gnmi", "helios-metrics", "helios-service", "helios-web"]),
    ("helios-sink", &["helios-advice", "helios-common", "helios-metrics", "helios-web"]),
    ("helios-service", &["helios-advice", "helios-metrics"]),
    ("helios-targets", &["helios-advice", "helios-metrics", "helios-netbox", "helios-web"]),
    ("helios-testkit", &[]),
    ("helios-web", &[]),
    (
        "helios",
        &[
            "helios-advice",
            "helios-common",
            "helios-collector",
            "helios-enricher",
            "helios-lab",
            "helios-metrics",
            "helios-netbox",
            "helios-query",
            "helios-service",
            "helios-sink",
            "helios-targets",
            "helios-web",
        ],
    ),
];

/// Left-overs, split so that this file is none of its own findings.
const LEFT_OVERS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "fix it"),
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
    (concat!("should_", "panic"), "assert the error"),
    (concat!("todo", "!("), "do it"),
    (concat!("unimplemented", "!("), "implement it"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
];

#[test]
fn dependencies_point_one_way() {
    // The cargo that built this test; one on the PATH need not exist where the binary is run by itself.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let edges = package["dependencies"].as_array().unwrap().iter();
        // `kind` is null for what a crate is made of; what its tests are made of may look sideways.
        let edges = edges.filter(|edge| edge["kind"].is_null()).filter_map(|edge| edge["name"].as_str());
        let edges = edges.filter(|name| name.starts_with("helios")).map(str::to_owned).collect();
        found.insert(package["name"].as_str().unwrap().to_owned(), edges);
    }
    for (name, edges) in found {
        let (_, allowed) =
            EDGES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} has no line in EDGES"));
        for edge in edges {
            assert!(
                allowed.contains(&edge.as_str()),
                "{name} must not depend on {edge}; EDGES has what it may use: {allowed:?}"
            );
        }
    }
}

#[test]
fn files_are_of_a_size_that_can_be_read() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split the files of more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn the_map_says_how_large_every_crate_is() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in sources() {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let name = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["src", ..] => "helios",
            // No crate of the workspace.
            ["fuzz", ..] => continue,
            [name, "src", ..] => name,
            _ => continue,
        };
        *lines.entry(name.to_owned()).or_default() += text.lines().count();
    }
    for (name, lines) in lines {
        let row = map.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        let said: usize = row.split('|').nth(2).unwrap().trim().replace(',', "").parse().unwrap();
        assert!(said.abs_diff(lines) * 5 <= lines, "ARCHITECTURE.md says that {name} has {said} lines; it has {lines}");
    }
}

#[test]
fn nothing_is_left_over() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for (word, advice) in LEFT_OVERS {
                if line.contains(word) {
                    findings.push(format!("{}:{}: {word}: {advice}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(findings.is_empty(), "lines that must not stay: {findings:#?}");
}

/// All Rust files of the repository.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Build output and hidden folders are nobody's source.
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((path.strip_prefix(root()).unwrap_or(&path).to_owned(), text));
        }
    }
}
