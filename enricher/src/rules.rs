//! Classification of exporters and interfaces by patterns over their names and descriptions.
//!
//! Rules run when a snapshot is built, or when a worker meets an interface that only the exporter itself has named:
//! once per distinct exporter and interface, never per row. The `regex` crate takes linear time for any pattern, so
//! no rule can stall the pipeline.
//!
//! Rules are tried in order and every rule that matches applies; a value that an earlier one set stays.

use helios_common::names::{NameId, Names};
use regex::{Captures, Regex};

use crate::config::rules::{ExporterRule, InterfaceRule, RulesConfig};

/// A pattern larger than this when compiled is refused: the machine of a hostile or careless one takes gigabytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// What marks a glob.
const GLOB: &str = "glob:";

/// A rule that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RuleError {
    /// `exporters` or `interfaces`.
    pub list: &'static str,
    /// Position in the list.
    pub at: usize,
    /// What is wrong with which key of the rule.
    pub problem: String,
}

/// What rules set. The position of the rule that set a value goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set<T> {
    /// The default as long as `rule` is `None`.
    pub value: T,
    /// Counts from 0 in its list; `None` if no rule set the value.
    pub rule: Option<u16>,
}

impl<T> Set<T> {
    fn to(&mut self, value: T, rule: usize) {
        if self.rule.is_none() {
            *self = Self { value, rule: Some(rule as u16) };
        }
    }
}

/// What the rules for exporters set, for one exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExporterClass {
    /// Column `exporter_group`.
    pub group: Set<NameId>,
    /// Column `exporter_site`.
    pub site: Set<NameId>,
    /// Column `exporter_region`.
    pub region: Set<NameId>,
    /// Column `exporter_role`.
    pub role: Set<NameId>,
    /// Column `exporter_tenant`.
    pub tenant: Set<NameId>,
}

/// What the rules for interfaces set, for one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterfaceClass {
    /// Columns `in_if_role`, `out_if_role`.
    pub role: Set<NameId>,
    /// Columns `in_if_provider`, `out_if_provider`.
    pub provider: Set<NameId>,
    /// Columns `in_if_connectivity`, `out_if_connectivity`.
    pub connectivity: Set<NameId>,
    /// Columns `in_if_boundary`, `out_if_boundary`; see [`Boundary::value`](crate::config::rules::Boundary::value).
    pub boundary: Set<u8>,
}

/// The rules, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    exporters: Vec<(Option<Regex>, ExporterRule)>,
    interfaces: Vec<(InterfacePatterns, InterfaceRule)>,
}

#[derive(Debug)]
struct InterfacePatterns {
    exporter: Option<Regex>,
    name: Option<Regex>,
    description: Option<Regex>,
}

impl Rules {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first rule that cannot work, and why.
    pub fn compile(config: &RulesConfig) -> Result<Self, RuleError> {
        let exporters = config.exporters.iter().enumerate().map(|(at, rule)| {
            let error = |problem| RuleError { list: "exporters", at, problem };
            let values = [&rule.group, &rule.site, &rule.region, &rule.role, &rule.tenant];
            let name = pattern("match_name", rule.match_name.as_deref()).map_err(error)?;
            check_values(&values, &[name.as_ref()]).map_err(error)?;
            Ok((name, rule.clone()))
        });
        let interfaces = config.interfaces.iter().enumerate().map(|(at, rule)| {
            let error = |problem| RuleError { list: "interfaces", at, problem };
            let patterns = InterfacePatterns {
                exporter: pattern("match_exporter", rule.match_exporter.as_deref()).map_err(error)?,
                name: pattern("match_name", rule.match_name.as_deref()).map_err(error)?,
                description: pattern("match_description", rule.match_description.as_deref()).map_err(error)?,
            };
            let order = [patterns.description.as_ref(), patterns.name.as_ref(), patterns.exporter.as_ref()];
            match rule.boundary {
                Some(_) => check_references(&[&rule.role, &rule.provider, &rule.connectivity], &order),
                None => check_values(&[&rule.role, &rule.provider, &rule.connectivity], &order),
            }
            .map_err(error)?;
            Ok((patterns, rule.clone()))
        });
        Ok(Self { exporters: exporters.collect::<Result<_, _>>()?, interfaces: interfaces.collect::<Result<_, _>>()? })
    }

    pub(crate) fn has_interface_rules(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// What the rules say of an exporter of this name.
    pub fn exporter(&self, name: &str, names: &Names) -> ExporterClass {
        let mut class = ExporterClass::default();
        for (at, (pattern, rule)) in self.exporters.iter().enumerate() {
            let Some(captures) = search(pattern.as_ref(), name) else { continue };
            let captured = [captures];
            set(&mut class.group, rule.group.as_deref(), &captured, at, names);
            set(&mut class.site, rule.site.as_deref(), &captured, at, names);
            set(&mut class.region, rule.region.as_deref(), &captured, at, names);
            set(&mut class.role, rule.role.as_deref(), &captured, at, names);
            set(&mut class.tenant, rule.tenant.as_deref(), &captured, at, names);
        }
        class
    }

    /// What the rules say of an interface with this name and description.
    pub fn interface(&self, exporter: &str, name: &str, description: &str, names: &Names) -> InterfaceClass {
        let mut class = InterfaceClass::default();
        for (at, (patterns, rule)) in self.interfaces.iter().enumerate() {
            let Some(from_exporter) = search(patterns.exporter.as_ref(), exporter) else { continue };
            let Some(from_name) = search(patterns.name.as_ref(), name) else { continue };
            let Some(from_description) = search(patterns.description.as_ref(), description) else { continue };
            let captured = [from_description, from_name, from_exporter];
            set(&mut class.role, rule.role.as_deref(), &captured, at, names);
            set(&mut class.provider, rule.provider.as_deref(), &captured, at, names);
            set(&mut class.connectivity, rule.connectivity.as_deref(), &captured, at, names);
            if let Some(boundary) = rule.boundary {
                class.boundary.to(boundary.value(), at);
            }
        }
        class
    }
}

/// `None` if the pattern does not match; a pattern that is not there always does, and captures nothing.
#[expect(clippy::option_option, reason = "no match and no pattern are different answers")]
fn search<'t>(pattern: Option<&Regex>, text: &'t str) -> Option<Option<Captures<'t>>> {
    match pattern {
        Some(pattern) => pattern.captures(text).map(Some),
        None => Some(None),
    }
}

fn set(to: &mut Set<NameId>, value: Option<&str>, captured: &[Option<Captures<'_>>], rule: usize, names: &Names) {
    let Some(value) = value.filter(|_| to.rule.is_none()) else { return };
    let value = expand(value, |reference| captured.iter().flatten().find_map(|captures| group(captures, reference)));
    // A group that took part in no match leaves nothing: then a later rule may know better.
    if !value.is_empty() {
        to.to(names.intern(&value), rule);
    }
}

fn group<'t>(captures: &Captures<'t>, reference: &str) -> Option<&'t str> {
    let found = match reference.parse::<usize>() {
        Ok(number) => captures.get(number),
        Err(_) => captures.name(reference),
    };
    found.map(|found| found.as_str())
}

/// Puts what `group` knows in the place of `$1`, `$name` and `${name}`; `$$` is a dollar.
fn expand<'t>(value: &str, group: impl Fn(&str) -> Option<&'t str>) -> String {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(literal) = after.strip_prefix('$') {
            out.push('$');
            rest = literal;
            continue;
        }
        let (reference, behind) = reference(after);
        out.push_str(group(reference).unwrap_or(""));
        rest = behind;
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// Splits a reference off what follows a dollar.
fn reference(after: &str) -> (&str, &str) {
    if let Some((name, behind)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, behind);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    after.split_at_checked(end).unwrap_or((after, ""))
}

fn pattern(key: &str, text: Option<&str>) -> Result<Option<Regex>, String> {
    let Some(text) = text else { return Ok(None) };
    let source = text.strip_prefix(GLOB).map_or_else(|| text.to_owned(), glob);
    let compiled = regex::RegexBuilder::new(&source).size_limit(COMPILED_BYTES_MAX).build();
    compiled.map(Some).map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or(&error).trim_start_matches("error: ").to_owned();
        format!("{key}: `{text}` is no regular expression: {last}; for a glob write `{GLOB}{text}`")
    })
}

/// A glob as a regular expression: what the stars and question marks stand for is captured, in order.
fn glob(glob: &str) -> String {
    let mut out = String::from("^");
    for c in glob.chars() {
        match c {
            '*' => out.push_str("(.*)"),
            '?' => out.push_str("(.)"),
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    out
}

fn check_values(values: &[&Option<String>], patterns: &[Option<&Regex>]) -> Result<(), String> {
    if values.iter().all(|value| value.is_none()) {
        return Err("the rule sets nothing: give it a value beside its patterns".to_owned());
    }
    check_references(values, patterns)
}

/// A reference to a group that no pattern has would always be empty.
fn check_references(values: &[&Option<String>], patterns: &[Option<&Regex>]) -> Result<(), String> {
    let known = |name: &str| {
        patterns.iter().flatten().any(|pattern| match name.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|known| known == name),
        })
    };
    for value in values.iter().copied().flatten() {
        let unknown = std::cell::Cell::new(None);
        expand(value, |name| {
            if !known(name) {
                unknown.set(Some(name.to_owned()));
            }
            None
        });
        if let Some(name) = unknown.take() {
            return Err(format!("`{value}` uses ${name}, which no pattern of the rule captures; a dollar is `$$`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
