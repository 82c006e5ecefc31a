//! `/api/v1/exporters`: every exporter, those that a question selects, and the senders that are no exporters.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use helios_collector::api::{self, Refused, State};
use helios_common::clock::unix_ms;
use helios_common::exporter::ip_of;
use helios_common::time::Utc;
use helios_enricher::identity::Identity;
use serde::Serialize;
use url::form_urlencoded;

use crate::pipeline::View;

/// Which exporters are asked for, and in which order. Without a question: all, by address.
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
        let Identity { name, site, region, role, tenant, group, .. } = &exporter.identity;
        let texts = [&exporter.address, name, site, region, role, tenant, group];
        let mut texts = texts
            .into_iter()
            .map(|text| text.to_lowercase())
            .chain(exporter.sent.protocols.iter().map(|&name| name.to_owned()));
        self.state.is_none_or(|state| state == exporter.state)
            && (self.search.is_empty() || texts.any(|text| text.contains(&self.search)))
    }
}

/// `/api/v1/exporters`.
#[derive(Debug, Serialize)]
pub(crate) struct Exporters {
    /// When this answer was made, by the clock of this host, which the other times are of as well.
    now: String,
    exporters: Vec<Exporter>,
    /// Number of exporters that the question selects, those before `offset` and beyond `limit` included.
    matching: usize,
    /// Number of exporters in each state, whatever the question.
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
            .map(|exporter| Exporter {
                address: ip_of(exporter.address).to_string(),
                state: State::of(exporter, now),
                identity: view.identity(exporter.address),
                names: view.names_of(exporter.address),
                sent: api::Exporter::from(exporter),
            })
            .collect();
        let of_state = |state| exporters.iter().filter(|exporter| exporter.state == state).count();
        let states = State::ALL.iter().map(|&state| (state.name(), of_state(state))).collect();
        let unknown = exporters.iter().filter(|exporter| !exporter.identity.known);
        let unknown = unknown.map(|exporter| exporter.address.clone()).collect();
        exporters.retain(|exporter| question.selects(exporter));
        if question.trouble_first {
            exporters.sort_by_key(|exporter| (exporter.state, Reverse(exporter.sent.counts.get("records").copied())));
        }
        let matching = exporters.len();
        let page = exporters.into_iter().skip(question.offset).take(question.limit.unwrap_or(usize::MAX));
        let refused = snapshot.refused.iter().map(Refused::from).collect();
        Self { now: Utc(now).to_string(), exporters: page.collect(), matching, states, unknown, refused }
    }
}

#[derive(Debug, Serialize)]
struct Exporter {
    address: String,
    state: State,
    #[serde(flatten)]
    identity: Identity,
    /// Names (of interfaces, applications, VRFs, texts of columns) that it sent and nobody else had sent before.
    names: u32,
    #[serde(flatten)]
    sent: api::Exporter,
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
