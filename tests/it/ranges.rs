//! Every number of the configuration has a range, and its message says which. The reference takes the ranges from those
//! messages.

use helios::config::Config;
use helios_service::config::Sources;

use crate::sections::{Key, keys, numbers_of_entries};

/// Entries of lists with a number in them, `N`.
const ENTRIES: &[(&str, &str, &str)] = &[
    ("collector.sampling[].interval", "collector.sampling", "[{exporter: 192.0.2.1, interval: N}]"),
    (
        "enricher.networks.http[].refresh_interval_ms",
        "enricher.networks.http",
        "[{url: 'http://a/', refresh_interval_ms: N}]",
    ),
    ("enricher.networks.http[].timeout_ms", "enricher.networks.http", "[{url: 'http://a/', timeout_ms: N}]"),
];

/// Numbers that somebody else has given: every value of the type is one, or the entry's own check says which are not.
const NUMBERS_OF_OTHERS: &[&str] = &[
    "collector.sampling[].interface",
    "columns[].pen",
    "columns[].id",
    "enricher.vrfs[].id",
    "targets.profiles[].gnmi.port",
    "targets.profiles[].snmp.port",
    "targets.profiles[].probes.tcp[]",
];

/// What is wrong with this value of a key.
fn mistakes(path: &str, value: &str) -> Vec<String> {
    let sources = Sources { assignments: vec![format!("{path}={value}")], ..Sources::default() };
    let mistakes = sources.load::<Config>().err().unwrap_or_default();
    mistakes.iter().map(ToString::to_string).collect()
}

/// The words between two others.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end).map_or(rest, |(words, _)| words))
}

/// `from 1 to 256`, as the message about a value outside of it has it: one that is far too large, or where the range ends with
/// the type of the key, 0. `write` puts a value into its place.
fn range(path: &str, write: impl Fn(&str) -> String) -> Option<String> {
    let found = |value: &str| mistakes(path, &write(value)).join("\n");
    let too_large = found(&u64::MAX.to_string());
    let largest = between(&too_large, "expected a whole number from 0 to ", ",").map(str::to_owned);
    let too_large = largest.map_or(too_large, |largest| found(&largest));
    [too_large, found("0")].iter().find_map(|found| {
        let range = between(found, "must be ", ", found")?;
        range.contains("from ").then(|| range.to_owned())
    })
}

/// The range of a key that is a number or a list of numbers.
pub fn range_of(key: &Key) -> Option<String> {
    if !key.kind.contains("number") {
        return None;
    }
    let is_list = key.kind.starts_with("list ");
    let range = range(&key.path, |value| if is_list { format!("[{value}]") } else { value.to_owned() });
    Some(range.unwrap_or_else(|| panic!("{} has no range: check it with `outside` in validate()", key.path)))
}

#[test]
fn every_number_has_a_range() {
    let ranges: Vec<_> = keys().iter().filter_map(range_of).collect();
    assert!(ranges.len() > 40, "{ranges:?}");
    for path in numbers_of_entries() {
        if NUMBERS_OF_OTHERS.contains(&path.as_str()) {
            continue;
        }
        let entry = ENTRIES.iter().find(|(name, ..)| *name == path);
        let (_, list, entry) = entry.unwrap_or_else(|| panic!("{path} is new: give it a range, and a line in ENTRIES"));
        let found = range(list, |value| entry.replace('N', value));
        assert!(found.is_some(), "{path} has no range: check it with `outside` in validate()");
    }
}

/// Times are in milliseconds and sizes in bytes, whatever the section: `timeout_ms` is the same in all of them. Days are for
/// how long ClickHouse keeps rows, as in its TTLs.
#[test]
fn units_have_one_spelling_in_the_names_of_keys() {
    const UNITS: &[&str] = &["ms", "bytes", "rows"];
    const OTHER_SPELLINGS: &[&str] = &[
        "s", "sec", "secs", "seconds", "msec", "millis", "us", "ns", "min", "mins", "minutes", "h", "hours", "d",
        "octets", "b", "kb", "kib", "mb", "mib", "gb", "gib",
    ];
    // A sampling interval is a number of packets, one of 1-in-N.
    const TIMES: &[&str] = &["timeout", "interval", "lifetime", "skew", "delay", "age", "retry"];
    const NO_TIMES: &[&str] = &["collector.sampling_interval", "collector.sampling[].interval"];
    let numbers = keys().into_iter().filter(|key| key.kind.contains("number")).map(|key| key.path);
    for path in numbers.chain(numbers_of_entries()) {
        let key = path.rsplit('.').next().unwrap();
        let words: Vec<&str> = key.split('_').collect();
        let last = words.last().unwrap();
        assert!(!OTHER_SPELLINGS.contains(last), "{path}: units are spelt {UNITS:?}");
        let is_time = words.iter().any(|word| TIMES.contains(word)) && !NO_TIMES.contains(&path.as_str());
        assert!(!is_time || *last == "ms", "{path} is a time: its name has to end in _ms");
    }
}

#[test]
fn the_old_names_of_keys_still_work_and_say_what_to_write() {
    let lists = "enricher.networks.http=[{url: 'http://a/', refresh_secs: 300, timeout_secs: 5}]";
    let assignments = ["collector.tcp.idle_timeout_s=60", "collector.template_lifetime_s=10", lists];
    let sources = Sources { assignments: assignments.map(str::to_owned).to_vec(), ..Sources::default() };
    let (config, notes) = sources.load_with_notes::<Config>().unwrap();
    assert_eq!((config.collector.tcp.idle_timeout_ms, config.collector.template_lifetime_ms), (60_000, 10_000));
    let note = "--set collector.tcp.idle_timeout_s: collector.tcp.idle_timeout_s is now collector.tcp.idle_timeout_ms: write \
                idle_timeout_ms: 60000; the next release refuses the old name";
    assert!(notes.iter().any(|found| found.to_string() == note), "{notes:?}");
    let list = &config.enricher.networks.http[0];
    assert_eq!((list.refresh_interval_ms, list.timeout_ms, notes.len()), (300_000, 5_000, 4));
}
