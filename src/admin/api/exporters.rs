//! `/api/v1/exporters`: every exporter, those that a question selects, and the senders that are no exporters.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use helios_collector::decode::{DecodeError, ExporterStats, Protocol, RefusedSender, Transport};
use helios_common::clock::unix_ms;
use helios_common::exporter::ip_of;
use helios_common::time::{UnixMs, Utc};
use serde::Serialize;
use url::form_urlencoded;

use super::named;
use crate::pipeline::{Identity, View};

/// An exporter that sent nothing for so long is silent: as in the example of an alert in docs/metrics.md.
pub(crate) const SILENT_AFTER_MS: i64 = 600_000;

helios_metrics::label_set! {
    /// How an exporter is, the worst first.
    #[derive(PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum State {
        Silent = "silent",
        WaitsForTemplate = "waits_for_template",
        Ok = "ok",
    }
}

impl State {
    pub(crate) fn of(exporter: &ExporterStats, now: UnixMs) -> Self {
        if now - exporter.stats.last_seen > SILENT_AFTER_MS {
            Self::Silent
        } else if exporter.stats.waits_for_template_since.is_some() {
            Self::WaitsForTemplate
        } else {
            Self::Ok
        }
    }
}

/// Which exporters are asked for, and in which order: all by address without a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// In lower case; part of an address, name, site, region, role, tenant, group or protocol.
    search: String,
    state: Option<State>,
    /// Those with trouble first, then by records.
    trouble_first: bool,
    offset: usize,
    limit: Option<usize>,
}

impl Question {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// The part that is not understood, and what there is.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.parse().map_err(|_| format!("{key} must be a number, found `{value}`"));
            match &*key {
                "search" => question.search = value.to_lowercase(),
                "state" => {
                    let known = State::ALL.into_iter().find(|state| state.name() == value);
                    let unknown =
                        || format!("state must be one of {}, found `{value}`", State::ALL.map(State::name).join(", "));
                    question.state = Some(known.ok_or_else(unknown)?);
                }
                "order" if value == "address" => question.trouble_first = false,
                "order" if value == "trouble" => question.trouble_first = true,
                "order" => return Err(format!("order must be address or trouble, found `{value}`")),
                "offset" => question.offset = number()?,
                "limit" => question.limit = Some(number()?),
                _ => return Err(format!("there is no `{key}`; there are search, state, order, offset and limit")),
            }
        }
        Ok(question)
    }

    fn selects(&self, exporter: &Exporter) -> bool {
        let texts = [
            &exporter.address,
            &exporter.name,
            &exporter.site,
            &exporter.region,
            &exporter.role,
            &exporter.tenant,
            &exporter.group,
        ];
        let mut texts = texts
            .into_iter()
            .map(|text| text.to_lowercase())
            .chain(exporter.protocols.iter().map(|&name| name.to_owned()));
        self.state.is_none_or(|state| state == exporter.state)
            && (self.search.is_empty() || texts.any(|text| text.contains(&self.search)))
    }
}

/// `/api/v1/exporters`.
#[derive(Debug, Serialize)]
pub(crate) struct Exporters {
    /// When this answer was made, by the clock that the other times are of.
    now: String,
    exporters: Vec<Exporter>,
    /// How many the question selects, those before `offset` and beyond `limit` included.
    matching: usize,
    /// How many there are in each state, whatever the question.
    states: BTreeMap<&'static str, usize>,
    /// Addresses of those that no inventory knows.
    unknown: Vec<String>,
    /// The last senders whose datagrams were discarded, by reason: garbage and unknown versions make no exporter.
    refused: Vec<Refused>,
}

impl Exporters {
    pub(crate) fn new(view: &View, question: &Question) -> Self {
        let (snapshot, now) = (view.snapshot(), unix_ms());
        let all = snapshot.exporters.iter();
        let mut exporters: Vec<Exporter> = all
            .map(|exporter| {
                let address = exporter.address;
                Exporter::new(exporter, view.identity(address), view.names_of(address), now)
            })
            .collect();
        let of_state = |state| exporters.iter().filter(|exporter| exporter.state == state).count();
        let states = State::ALL.iter().map(|&state| (state.name(), of_state(state))).collect();
        let unknown = exporters.iter().filter(|exporter| !exporter.known);
        let unknown = unknown.map(|exporter| exporter.address.clone()).collect();
        exporters.retain(|exporter| question.selects(exporter));
        if question.trouble_first {
            exporters.sort_by_key(|exporter| (exporter.state, Reverse(exporter.counts.get("records").copied())));
        }
        let matching = exporters.len();
        let page = exporters.into_iter().skip(question.offset).take(question.limit.unwrap_or(usize::MAX));
        let refused = snapshot.refused.iter().map(Refused::from).collect();
        Self { now: Utc(now).to_string(), exporters: page.collect(), matching, states, unknown, refused }
    }
}

/// A sender whose datagrams were discarded.
#[derive(Debug, Serialize)]
struct Refused {
    address: String,
    reason: &'static str,
    datagrams: u64,
    first_seen: String,
    last_seen: String,
}

impl From<&RefusedSender> for Refused {
    fn from(sender: &RefusedSender) -> Self {
        Self {
            address: ip_of(sender.address).to_string(),
            reason: sender.reason.name(),
            datagrams: sender.datagrams,
            first_seen: Utc(sender.first_seen).to_string(),
            last_seen: Utc(sender.last_seen).to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Exporter {
    address: String,
    state: State,
    /// The address again where no inventory knows it.
    name: String,
    known: bool,
    site: String,
    region: String,
    role: String,
    tenant: String,
    group: String,
    protocols: Vec<&'static str>,
    /// What it sends over: udp, tcp, tls.
    transports: Vec<&'static str>,
    observation_domains: usize,
    /// Addresses that its datagrams come from.
    senders: usize,
    templates: usize,
    /// Names (of interfaces, applications, VRFs, texts of columns) that it sent and nobody else had sent before.
    names: u32,
    /// Template ids that its source ports define differently: each port's data is decoded by its own definition.
    disputed_templates: usize,
    /// Every counter of [`helios_collector::decode::tally`], by name: `datagrams`, `records`, `rows`, ...
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
    /// Bytes of its flows, each multiplied by its sampling interval.
    estimated_bytes: u64,
    held_sets: Held,
    /// Since when all of its data waits for templates.
    waits_for_template_since: Option<String>,
    /// Datagrams discarded, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// What never arrived, by protocol and in its unit: flows, messages, records or datagrams.
    lost: BTreeMap<&'static str, u64>,
    /// Set where sequence numbers count nothing that is known: the loss of these sessions is unknown.
    loss_note: Option<&'static str>,
    /// Messages that came late, and twice; sequences that began anew.
    reordered: u64,
    duplicates: u64,
    restarts: u64,
    /// The exporter's clock minus ours.
    clock_skew_ms: i64,
    sampling: Sampling,
    first_seen: String,
    last_seen: String,
}

/// N of 1-in-N packets: as announced last, and as the sample pools of an sFlow agent have it. 0 is unknown.
#[derive(Debug, Serialize)]
struct Sampling {
    announced_interval: u32,
    effective_interval: u32,
    /// Samples that the agent itself had to drop.
    dropped_samples: u64,
}

/// Data sets that came before their template.
#[derive(Debug, Serialize)]
struct Held {
    held: u64,
    decoded: u64,
    expired: u64,
    evicted: u64,
}

impl Exporter {
    fn new(exporter: &ExporterStats, identity: Identity, names: u32, now: UnixMs) -> Self {
        let (stats, held) = (&exporter.stats, &exporter.held_sets);
        let spoken = Protocol::ALL.iter().zip(stats.tally.datagrams).filter(|(_, messages)| *messages > 0);
        let transports = Transport::ALL.iter().zip(exporter.transports).filter(|(_, used)| *used);
        let lost = exporter.loss.map(|loss| loss.lost);
        let loss = exporter.loss_total();
        Self {
            address: ip_of(exporter.address).to_string(),
            state: State::of(exporter, now),
            name: identity.name,
            known: identity.known,
            site: identity.site,
            region: identity.region,
            role: identity.role,
            tenant: identity.tenant,
            group: identity.group,
            protocols: spoken.map(|(protocol, _)| protocol.name()).collect(),
            transports: transports.map(|(transport, _)| transport.name()).collect(),
            observation_domains: exporter.domains,
            senders: exporter.senders,
            templates: exporter.templates,
            names,
            disputed_templates: exporter.templates_disputed,
            counts: stats.tally.fields().collect(),
            estimated_bytes: stats.estimated_octets,
            held_sets: Held { held: held.held, decoded: held.decoded, expired: held.expired, evicted: held.evicted },
            waits_for_template_since: stats.waits_for_template_since.map(|since| Utc(since).to_string()),
            dropped: named(DecodeError::ALL.iter().map(|error| error.name()), &stats.discarded),
            lost: named(Protocol::ALL.iter().map(|protocol| protocol.name()), &lost),
            loss_note: (exporter.unfit_sequences > 0).then_some("unit does not fit"),
            reordered: loss.reordered,
            duplicates: loss.duplicates,
            restarts: loss.restarts,
            clock_skew_ms: exporter.clock_skew_ms,
            sampling: Sampling {
                announced_interval: exporter.sampling_interval,
                effective_interval: exporter.metered.effective_interval(),
                dropped_samples: exporter.metered.drops,
            },
            first_seen: Utc(stats.first_seen).to_string(),
            last_seen: Utc(stats.last_seen).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_a_wrong_one_is_refused_with_what_there_is() {
        let question = Question::parse("search=Core%201&state=waits_for_template&order=trouble&offset=50&limit=25");
        let expected = Question {
            search: "core 1".into(),
            state: Some(State::WaitsForTemplate),
            trouble_first: true,
            offset: 50,
            limit: Some(25),
        };
        assert_eq!(question, Ok(expected));
        assert_eq!(Question::parse(""), Ok(Question::default()));
        for (query, problem) in [
            ("state=dead", "state must be one of silent, waits_for_template, ok, found `dead`"),
            ("limit=ten", "limit must be a number, found `ten`"),
            ("order=size", "order must be address or trouble, found `size`"),
            ("q=core", "there is no `q`; there are search, state, order, offset and limit"),
        ] {
            assert_eq!(Question::parse(query), Err(problem.to_owned()));
        }
    }
}
