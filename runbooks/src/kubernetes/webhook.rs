//! Alertmanager's webhook: an alert that a runbook names becomes an execution.
//!
//! The name of the execution follows from the alert, so an alert that is sent again makes no second one. With
//! `requiresApproval`, the execution waits for a person, as any other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;

use super::{Execution, Runbook, is_code, resource};
use crate::audit;
use crate::crd::{EXECUTION, RUNBOOK};
use crate::resource::{ExecutionSpec, Reference, Trigger};

/// <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>
#[derive(Debug, Deserialize)]
struct Message {
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    starts_at: String,
}

#[derive(Clone)]
struct Receiver {
    client: Client,
    namespace: String,
    token: PathBuf,
    user: String,
}

/// The page `POST /alerts`. `token` is the file of the bearer token that the sender has to know.
///
/// # Errors
/// The API server does not say who this process is.
pub(super) async fn router(client: Client, namespace: String, token: PathBuf) -> kube::Result<Router> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default();
    Ok(Router::new().route("/alerts", post(alerts)).with_state(Receiver { client, namespace, token, user }))
}

async fn alerts(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = std::fs::read_to_string(&receiver.token).unwrap_or_default();
    // Digests have one length: the time of the comparison does not tell how much of a guess is right.
    let same = audit::sha256(given.as_bytes()) == audit::sha256(format!("Bearer {}", token.trim()).as_bytes());
    if token.trim().is_empty() || !same {
        return (StatusCode::UNAUTHORIZED, "the request has no valid bearer token\n".to_owned());
    }
    let message: Message = match serde_json::from_str(&body) {
        Ok(message) => message,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("the body is no message of Alertmanager: {error}\n")),
    };
    match receiver.start(&message).await {
        Ok(names) => (StatusCode::OK, names.join("\n") + "\n"),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")),
    }
}

impl Receiver {
    async fn start(&self, message: &Message) -> kube::Result<Vec<String>> {
        let runbooks: Api<Runbook> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource(RUNBOOK));
        let executions: Api<Execution> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource(EXECUTION));
        let runbooks = runbooks.list(&ListParams::default()).await?;
        let mut names = Vec::new();
        for alert in message.alerts.iter().filter(|alert| alert.status == "firing") {
            for runbook in &runbooks {
                let Some(trigger) = runbook.spec.triggers.iter().find(|trigger| names_alert(trigger, alert)) else {
                    continue;
                };
                let name = execution_name(&runbook.name_any(), alert);
                let mut execution =
                    Execution::new(&name, &resource(EXECUTION), self.spec(&runbook.name_any(), trigger, alert));
                execution.metadata.namespace = Some(self.namespace.clone());
                match executions.create(&PostParams::default(), &execution).await {
                    Ok(_) => names.push(name),
                    Err(error) if is_code(&error, 409) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(names)
    }

    fn spec(&self, runbook: &str, trigger: &Trigger, alert: &Alert) -> ExecutionSpec {
        let parameters = trigger
            .parameters
            .iter()
            .filter_map(|(parameter, label)| Some((parameter.clone(), alert.labels.get(label)?.as_str().into())));
        ExecutionSpec {
            runbook_ref: Reference { name: runbook.to_owned() },
            parameters: parameters.collect(),
            requested_by: Some(self.user.clone()),
            reason: Some(format!("alert {} since {}", trigger.alertname, alert.starts_at)),
            ..ExecutionSpec::default()
        }
    }
}

fn names_alert(trigger: &Trigger, alert: &Alert) -> bool {
    alert.labels.get("alertname") == Some(&trigger.alertname)
        && trigger.labels.iter().all(|(name, value)| alert.labels.get(name) == Some(value))
}

fn execution_name(runbook: &str, alert: &Alert) -> String {
    let labels = serde_json::json!([alert.labels, alert.starts_at]);
    let runbook: String = runbook.chars().take(40).collect();
    format!("{}-{}", runbook.trim_end_matches(['-', '.']), &audit::sha256_of(&labels)[..10])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{self, Document};

    fn alert(labels: &[(&str, &str)], starts_at: &str) -> Alert {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Alert { status: "firing".into(), labels, starts_at: starts_at.into() }
    }

    #[test]
    fn an_alert_has_one_execution_for_each_time_that_it_starts() {
        let first = alert(&[("alertname", "A"), ("device", "r1")], "2026-01-01T00:00:00Z");
        let again = alert(&[("device", "r1"), ("alertname", "A")], "2026-01-01T00:00:00Z");
        let later = alert(&[("alertname", "A"), ("device", "r1")], "2026-01-02T00:00:00Z");
        assert_eq!(execution_name("isolate", &first), execution_name("isolate", &again));
        assert_ne!(execution_name("isolate", &first), execution_name("isolate", &later));
        assert!(execution_name(&"x".repeat(63), &first).len() <= 52);
    }

    #[test]
    fn only_the_alert_with_the_labels_starts_the_runbook() {
        let labels = [("severity".to_owned(), "critical".to_owned())].into();
        let trigger = Trigger { alertname: "A".into(), labels, parameters: BTreeMap::new() };
        assert!(names_alert(&trigger, &alert(&[("alertname", "A"), ("severity", "critical")], "")));
        assert!(!names_alert(&trigger, &alert(&[("alertname", "A"), ("severity", "warning")], "")));
        assert!(!names_alert(&trigger, &alert(&[("alertname", "B"), ("severity", "critical")], "")));
    }

    fn yaml_files(folder: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(!texts.is_empty());
        texts
    }

    /// The alerts that promtool sees firing in the tests of the rules, with all of their labels.
    fn alerts_of_the_rules() -> Vec<Alert> {
        let mut alerts = Vec::new();
        for text in yaml_files("../alerts/tests") {
            let file: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            let cases = file["tests"].as_array().into_iter().flatten();
            for case in cases.flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten()) {
                for fired in case["exp_alerts"].as_array().into_iter().flatten() {
                    let mut labels: BTreeMap<String, String> =
                        serde_json::from_value(fired["exp_labels"].clone()).unwrap_or_default();
                    labels.insert("alertname".into(), case["alertname"].as_str().unwrap().into());
                    alerts.push(Alert { status: "firing".into(), labels, starts_at: String::new() });
                }
            }
        }
        alerts
    }

    #[test]
    fn every_trigger_of_the_samples_is_an_alert_of_the_rules_with_its_labels() {
        let alerts = alerts_of_the_rules();
        let mut triggers = 0;
        for text in yaml_files("samples") {
            for document in document::read(&text).unwrap() {
                let Document::Runbook(runbook, spec) = document else { continue };
                for trigger in &spec.triggers {
                    triggers += 1;
                    let named: Vec<&Alert> = alerts.iter().filter(|alert| names_alert(trigger, alert)).collect();
                    assert!(!named.is_empty(), "{runbook}: no alert of alerts/tests matches {trigger:?}");
                    for label in trigger.parameters.values() {
                        let has = named.iter().all(|alert| alert.labels.contains_key(label));
                        assert!(has, "{runbook}: {} has no label {label}", trigger.alertname);
                    }
                }
            }
        }
        assert_eq!(triggers, 3);
    }
}
