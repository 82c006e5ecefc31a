//! docs/configuration.md, helios.example.yaml, docs/metrics.md and tests/data/metrics.txt follow from the code, and the worked
//! example of docs/enrichment.md does what it says.

use std::process::Command;

use helios::config::Config;
use helios_service::config::{Configuration, Sources, paths};
use serde_json::Value;

use crate::expect::{expect, head, pages, root};
use crate::ranges::range_of;
use crate::running::nobody;
use crate::sections::{EntryField, Key, keys};

const CONFIGURATION: &str = "docs/configuration.md";
const EXAMPLE: &str = "helios.example.yaml";
const GENERATED: &str = "<!-- From here on written from the sections' doc comments by tests/it/docs.rs. -->";

fn defaults() -> Value {
    serde_json::to_value(Config::default()).unwrap()
}

fn default_of<'a>(defaults: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(defaults, |value, key| value.get(key).unwrap_or_else(|| panic!("{path} has no default")))
}

#[test]
fn every_key_is_described_and_every_described_key_exists() {
    let mut described: Vec<String> = keys().iter().filter(|key| !key.is_section).map(|key| key.path.clone()).collect();
    let mut present = paths(&Config::default());
    described.sort();
    present.sort();
    assert_eq!(described, present);
    for key in keys() {
        assert!(!key.doc.is_empty(), "{} has no doc comment", key.path);
    }
}

#[test]
fn the_reference_of_the_configuration_is_up_to_date() {
    let defaults = defaults();
    let mut text = head(CONFIGURATION, GENERATED);
    for (variable, path) in Config::VARIABLES {
        assert!(
            text.contains(&format!("| `{variable}` | `{path}` |")),
            "{variable} is not in the table of {CONFIGURATION}"
        );
    }
    for key in keys() {
        let (path, doc) = (&key.path, key.doc.join("\n\n"));
        if key.is_section {
            let level = "#".repeat(2 + path.matches('.').count());
            text.push_str(&format!("\n{level} {path}\n\n{doc}\n"));
        } else {
            let variable = path.to_uppercase().replace('.', "__");
            let range = range_of(&key).map(|range| format!(" {range}")).unwrap_or_default();
            let default = default_of(&defaults, path);
            let shown = if is_list_of_sections(default) { "below".to_owned() } else { format!("`{default}`") };
            let kind = format!("{}{range}", key.kind);
            text.push_str(&format!("\n### `{path}`\n\n{kind} · default {shown} · `HELIOS_{variable}`\n\n{doc}\n"));
            if !key.entries.is_empty() {
                text.push_str("\nEach entry has:\n\n");
            }
            for EntryField { path, kind, doc } in &key.entries {
                text.push_str(&format!("- `{path}` ({kind}): {doc}\n"));
            }
            if is_list_of_sections(default) {
                let name = path.rsplit('.').next().unwrap();
                let lines: String = yaml_lines(default).iter().map(|line| format!("  {line}\n")).collect();
                text.push_str(&format!(
                    "\nThe default, without keys that are `null` or empty:\n\n```yaml\n{name}:\n{lines}```\n"
                ));
            }
        }
    }
    expect(CONFIGURATION, &text);
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let defaults = defaults();
    let mut text = String::from(
        "# Configuration of helios: every key, with its default, commented out. docs/configuration.md has the same as a\n\
         # page, and says how variables and flags take precedence over this file. `helios check --config FILE` says what it would do.\n",
    );
    for key in keys() {
        text.push_str(&example_lines(&key, &defaults));
    }
    expect(EXAMPLE, &text);
    assert_eq!(load(&text), Config::default(), "as it is");
    let taken_in: Vec<String> = text.lines().map(taken_in).collect();
    assert_eq!(load(&taken_in.join("\n")), Config::default(), "with every key taken in");
}

/// A line `#key: value` without its mark; comments have a space behind it.
fn taken_in(line: &str) -> String {
    match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    }
}

fn example_lines(key: &Key, defaults: &Value) -> String {
    let depth = key.path.matches('.').count();
    let indent = "  ".repeat(depth);
    let name = key.path.rsplit('.').next().unwrap();
    let mut lines = String::from("\n");
    for paragraph in &key.doc {
        for line in wrapped(paragraph, 110 - indent.len()) {
            lines.push_str(&format!("{indent}# {line}\n"));
        }
    }
    for EntryField { path, kind, doc } in &key.entries {
        for (at, line) in wrapped(&format!("{path} ({kind}): {doc}"), 106 - indent.len()).iter().enumerate() {
            lines.push_str(&format!("{indent}# {}{line}\n", if at == 0 { "- " } else { "  " }));
        }
    }
    if key.is_section {
        lines.push_str(&format!("{indent}{name}:\n"));
        return lines;
    }
    let default = default_of(defaults, &key.path);
    if !is_list_of_sections(default) {
        lines.push_str(&format!("{indent}#{name}: {default}\n"));
        return lines;
    }
    lines.push_str(&format!("{indent}#{name}:\n"));
    for line in yaml_lines(default) {
        // The mark stands where the text begins: a line `# text` is a comment.
        let text = line.trim_start();
        lines.push_str(&format!("{indent}{}#{text}\n", " ".repeat(line.len() - text.len())));
    }
    lines
}

fn is_list_of_sections(value: &Value) -> bool {
    value.as_array().is_some_and(|entries| entries.iter().any(Value::is_object))
}

/// Lines of YAML: a line for each key, lists of texts and numbers on one line. Keys that are null or empty are left out, since
/// that is what a key is that is not given.
fn yaml_lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(entries) => {
            let marked = |(at, line): (usize, String)| format!("{}{line}", if at == 0 { "- " } else { "  " });
            entries.iter().flat_map(|entry| yaml_lines(entry).into_iter().enumerate().map(marked)).collect()
        }
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !is_empty(value));
            said.flat_map(|(name, value)| match value {
                Value::Object(_) => {
                    let below = yaml_lines(value).into_iter().map(|line| format!("  {line}"));
                    std::iter::once(format!("{name}:")).chain(below).collect()
                }
                _ => vec![format!("{name}: {value}")],
            })
            .collect()
        }
        value => vec![value.to_string()],
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if !last.is_empty() && last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn load(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("helios.yaml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    sources
        .load()
        .unwrap_or_else(|mistakes| panic!("{:?}\n{text}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

/// The fenced block of a page that holds `begin`, without its fences.
fn block<'a>(page: &'a str, begin: &str) -> &'a str {
    let found = page.split("```").skip(1).step_by(2).find(|block| block.contains(begin));
    let block = found.unwrap_or_else(|| panic!("no block of docs/enrichment.md holds {begin}"));
    block.split_once('\n').map_or(block, |(_, text)| text)
}

#[test]
fn the_worked_example_of_enrichment_says_what_the_page_shows() {
    let page = std::fs::read_to_string(root().join("docs/enrichment.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let helios = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
        command.args(arguments).current_dir(folder.path()).env_clear().output().unwrap()
    };
    assert!(helios(&["simulate", "--write-geoip", "."]).status.success());
    let local = |text: &str| {
        let text = text.replace("/usr/share/GeoIP/GeoLite2-City.mmdb", "city.mmdb");
        let text = text.replace("/usr/share/GeoIP/GeoLite2-ASN.mmdb", "asn.mmdb");
        // Nobody is asked here; what such a server adds is missing in the example as well.
        text.replace("/etc/helios/", "").replace("http://thanos-query:9090", &nobody())
    };
    for (name, begin) in [("helios.yaml", "enricher:"), ("partners.csv", "network,name"), ("devices.yaml", "devices:")]
    {
        std::fs::write(folder.path().join(name), local(block(&page, begin))).unwrap();
    }
    let shown = block(&page, "$ helios check").split_once('\n').unwrap().1;
    let output = helios(&["check", "--config", "helios.yaml", "--explain", "192.0.2.50", "3"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), local(shown));
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut links = 0;
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.starts_with("http") {
                continue;
            }
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(file.exists(), "{}: {target} leads nowhere", page.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&file).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.map(anchor_of).any(|heading| heading == anchor);
                assert!(found, "{}: {target} names no heading", page.display());
            }
            links += 1;
        }
    }
    assert!(links >= 25, "only {links} links were found");
}

/// What a heading is called in a link, as GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_summary_of_the_site_has_every_page_once() {
    let summary = root().join("docs/SUMMARY.md");
    let text = std::fs::read_to_string(&summary).unwrap();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut listed: Vec<_> = links.map(|link| root().join("docs").join(link).canonicalize().unwrap()).collect();
    let mut present: Vec<_> = pages().into_iter().map(|(page, _)| page.canonicalize().unwrap()).collect();
    present.retain(|page| *page != summary.canonicalize().unwrap());
    // The chart has its page beside it.
    present.push(root().join("chart/helios/README.md").canonicalize().unwrap());
    listed.sort();
    present.sort();
    assert_eq!(listed, present);
}

#[test]
fn every_configuration_on_a_page_can_be_pasted() {
    let mut sections: Vec<String> = paths(&Config::default());
    sections.iter_mut().for_each(|path| path.truncate(path.find('.').unwrap_or(path.len())));
    let mut pasted = 0;
    for (_, text) in pages() {
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            // Others are lists of devices or networks.
            let first = block.lines().find(|line| !line.trim_start().starts_with('#')).unwrap_or("");
            if sections.iter().any(|section| first.starts_with(&format!("{section}:"))) {
                load(block);
                pasted += 1;
            }
        }
    }
    assert!(pasted >= 8, "{pasted} configurations");
}
