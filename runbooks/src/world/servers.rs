//! What is asked of servers over HTTP. All but Prometheus and ClickHouse are off unless the operator's configuration names
//! them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use helios_web::header::HeaderValue;
use helios_web::tls::Pem;
use helios_web::{Client, Content, Method, Request, RequestError, Settings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::inventory::Secrets;
use super::outbox::Outbox;
use super::{mail, text_message};
use crate::audit::Entry;
use crate::engine::{Done, Trouble};
use crate::redact;
use crate::step::Http;

/// An answer with more octets is given up.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(15);
/// For one insert of audit entries: a step waits for it.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);
/// An executor that is done waits so long for ClickHouse to take its last entries.
const FLUSH: Duration = Duration::from_secs(30);

/// The servers that steps ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServersConfig {
    /// Address of Prometheus or of Thanos' query, for steps of type prometheus-query.
    pub prometheus_url: String,
    /// Address of ClickHouse's HTTP interface, for steps of type clickhouse-query and for the table of audit entries.
    pub clickhouse_url: String,
    /// Database of Helios' tables.
    pub clickhouse_database: String,
    /// File with certificate authorities to trust besides the system's, for every server that is asked by https.
    pub ca_file: Option<PathBuf>,
    /// Hosts, with their port, that a step of type http-request may ask, e.g. alertmanager.helios:9093.
    pub http_hosts: Vec<String>,
    /// Images that a step of type script may run, with their tag or digest. None: no script runs.
    pub script_images: Vec<String>,
    /// Folder with a file for each channel of notify.
    pub notify_dir: PathBuf,
    /// Folder with user name and password of ClickHouse (clickhouse-user, clickhouse-password) and with the keys of
    /// http-request's authorizationKey.
    pub secrets_dir: PathBuf,
}

/// A channel of notify.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Channel {
    Slack {
        url: String,
    },
    Webhook {
        url: String,
    },
    Pagerduty {
        #[serde(default = "pagerduty_url")]
        url: String,
        routing_key: String,
    },
    Email(mail::Email),
}

fn pagerduty_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

/// The servers of one process.
pub struct Servers {
    config: ServersConfig,
    secrets: Secrets,
    /// Who speaks, for notifications.
    source: String,
    outbox: Outbox,
}

impl Servers {
    /// `source` is who speaks in notifications.
    pub fn new(config: ServersConfig, source: String) -> Self {
        let secrets = Secrets::new(&config.secrets_dir);
        Self { config, secrets, source, outbox: Outbox::default() }
    }

    /// The images that steps of type script may run.
    pub fn script_images(&self) -> &[String] {
        &self.config.script_images
    }

    /// Audit entries that ClickHouse does not have yet.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Asks once: with `content` by its method, without by GET.
    async fn send(&self, request: &Request<'_>, content: Option<Content>) -> Result<(u16, Vec<u8>), Trouble> {
        self.send_within(TIMEOUT, request, content).await
    }

    async fn send_within(
        &self,
        timeout: Duration,
        request: &Request<'_>,
        content: Option<Content>,
    ) -> Result<(u16, Vec<u8>), Trouble> {
        let certain = |message: String| Trouble { message, uncertain: false };
        let settings = Settings {
            url: request.url,
            // A file that cannot be read keeps nobody from a server without TLS.
            ca_file: self.config.ca_file.as_deref().filter(|_| request.url.starts_with("https:")),
            pem: Pem::default(),
            timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let client = Client::new(&settings).map_err(|error| certain(error.to_string()))?;
        let answer = match &content {
            Some(content) => client.send(request, content).await,
            None => client.get(request).await,
        };
        let answer = answer.map_err(|error| Trouble {
            uncertain: !matches!(error, RequestError::Address(_) | RequestError::Unreachable { .. }),
            message: error.to_string(),
        })?;
        Ok((answer.status.as_u16(), answer.body))
    }

    async fn json(&self, request: &Request<'_>) -> Result<Value, String> {
        let (status, body) = self.send(request, None).await.map_err(|trouble| trouble.message)?;
        if status != 200 {
            let text = String::from_utf8_lossy(&body);
            return Err(format!("the server answers {status}: {}", redact::shortened(text.trim(), 200)));
        }
        serde_json::from_slice(&body).map_err(|error| format!("the server's answer is no JSON: {error}"))
    }

    /// The value of a query: a number where one series answers, `null` for none, a list for more.
    pub(super) async fn prometheus(&self, query: &str) -> Result<Value, String> {
        let url = address("servers.prometheus_url", &self.config.prometheus_url, "api/v1/query", &[("query", query)])?;
        let answer = self.json(&Request { url: url.as_str(), ..Request::default() }).await?;
        prometheus_value(&answer)
    }

    /// The first column of the first row of a query.
    pub(super) async fn clickhouse(&self, query: &str, parameters: &[(String, String)]) -> Result<Value, String> {
        // GET is read-only in ClickHouse, and `readonly` forbids to change that.
        let names: Vec<(String, &str)> =
            parameters.iter().map(|(name, value)| (format!("param_{name}"), value.as_str())).collect();
        let mut pairs = vec![
            ("database", self.config.clickhouse_database.as_str()),
            ("default_format", "JSONCompact"),
            ("output_format_json_quote_64bit_integers", "0"),
            ("max_execution_time", "10"),
            ("query", query),
        ];
        pairs.extend(names.iter().map(|(name, value)| (name.as_str(), *value)));
        let url = self.clickhouse_address(&pairs)?;
        let answer = self.json(&Request { url: url.as_str(), ..Request::default() }).await?;
        let row = answer.get("data").and_then(|data| data.get(0)).and_then(|row| row.get(0));
        // A number as Prometheus has it: conditions compare both in the same way.
        Ok(row.map_or(Value::Null, |value| value.as_f64().map_or_else(|| value.clone(), Value::from)))
    }

    /// The address of a query, with user and password in it: the client sends them as Basic authentication.
    fn clickhouse_address(&self, pairs: &[(&str, &str)]) -> Result<Url, String> {
        let mut url = address("servers.clickhouse_url", &self.config.clickhouse_url, "", pairs)?;
        if let (Ok(user), Ok(password)) =
            (self.secrets.text("clickhouse-user"), self.secrets.text("clickhouse-password"))
        {
            let set = url.set_username(&user).and_then(|()| url.set_password(Some(&password)));
            set.map_err(|()| "servers.clickhouse_url has no host".to_owned())?;
        }
        Ok(url)
    }

    pub(super) async fn request(&self, http: &Http) -> Result<Done, Trouble> {
        let certain = |message: String| Trouble { message, uncertain: false };
        let url = Url::parse(&http.url).map_err(|error| certain(format!("{} is no address: {error}", http.url)))?;
        let host = format!("{}:{}", url.host_str().unwrap_or(""), url.port_or_known_default().unwrap_or(0));
        if !self.config.http_hosts.contains(&host) {
            return Err(certain(format!("{host} is not among servers.http_hosts, the hosts that steps may ask")));
        }
        let authorization = match &http.authorization {
            Some(key) => Some(self.authorization(key).map_err(certain)?),
            None => None,
        };
        let method = Method::from_bytes(http.method.as_bytes()).map_err(|error| certain(error.to_string()))?;
        let request = Request { url: url.as_str(), authorization, ..Request::default() };
        let body = http.body.as_ref().map(Value::to_string).unwrap_or_default();
        let content = (method != Method::GET).then(|| json_content(method, body));
        let (status, body) = self.send(&request, content).await.map_err(|trouble| {
            let changes = http.method != "GET";
            Trouble { uncertain: trouble.uncertain && changes, ..trouble }
        })?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let output: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let shown = match &output {
            Value::Null => String::new(),
            value => redact::shortened(&redact::redacted(value).to_string(), 200),
        };
        if !http.statuses.contains(&status) {
            // A server that refuses has changed nothing; one that failed may have.
            return Err(Trouble { message: format!("the server answers {status} {shown}"), uncertain: status >= 500 });
        }
        Ok(Done { message: format!("the server answers {status} {shown}"), answer: body, output })
    }

    fn authorization(&self, key: &str) -> Result<HeaderValue, String> {
        let text = self.secrets.text(key)?;
        let mut value = HeaderValue::from_str(&text).map_err(|_| format!("{key} is no value of a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) async fn notify(&self, channel: &str, text: &str) -> Result<Done, Trouble> {
        let certain = |message: String| Trouble { message, uncertain: false };
        let file = super::file(&self.config.notify_dir, channel).map_err(certain)?;
        let channel: Channel = serde_saphyr::from_str(&file)
            .map_err(|_| certain(format!("the file of channel {channel} has no kind and url")))?;
        let (url, body) = match channel {
            Channel::Email(email) => {
                return match email.send(&self.source, text).await {
                    Ok(()) => Ok(Done { message: "sent".to_owned(), ..Done::default() }),
                    Err(message) => Err(certain(message)),
                };
            }
            Channel::Slack { url } | Channel::Webhook { url } => (url, text_message(text)),
            Channel::Pagerduty { url, routing_key } => {
                let payload = serde_json::json!({"summary": text, "source": self.source, "severity": "warning"});
                (url, serde_json::json!({"routing_key": routing_key, "event_action": "trigger", "payload": payload}))
            }
        };
        let content = json_content(Method::POST, body.to_string());
        // The address of a channel is a secret: it is in no message.
        match self.send(&Request { url: &url, ..Request::default() }, Some(content)).await {
            Ok((200..=299, _)) => Ok(Done { message: "sent".to_owned(), ..Done::default() }),
            Ok((status, _)) => Err(certain(format!("the channel answers {status}"))),
            Err(_) => Err(certain("the channel cannot be reached".to_owned())),
        }
    }

    /// Writes entries to standard output, and to ClickHouse where it is configured.
    pub(crate) async fn audit(&self, entries: &[Entry]) {
        let lines: String =
            entries.iter().map(|entry| serde_json::json!({"audit": entry}).to_string() + "\n").collect();
        {
            use std::io::Write;
            let mut stdout = std::io::stdout().lock();
            if stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                tracing::error!("cannot write audit entries to standard output");
            }
        }
        if !self.config.clickhouse_url.is_empty() {
            self.outbox.push(entries);
            self.resend().await;
        }
    }

    /// Writes what waits for ClickHouse, where it is time to try.
    pub(crate) async fn resend(&self) {
        let entries = self.outbox.due(Instant::now());
        if entries.is_empty() {
            return;
        }
        if let Err(error) = self.audit_rows(&entries).await {
            tracing::warn!(error, entries = entries.len(), "cannot write audit entries to ClickHouse; trying again");
            self.outbox.put_back(entries, Instant::now());
        }
    }

    /// The same, until nothing waits any more or [`FLUSH`] is over.
    pub(super) async fn flush(&self) {
        let begun = Instant::now();
        loop {
            self.outbox.hurry();
            self.resend().await;
            let left = self.unsent();
            if left == 0 {
                return;
            }
            if begun.elapsed() >= FLUSH {
                tracing::error!(
                    entries = left,
                    "ClickHouse does not take the audit entries; they are on standard output"
                );
                return;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    async fn audit_rows(&self, entries: &[Entry]) -> Result<(), String> {
        let query = "INSERT INTO runbook_audit FORMAT JSONEachRow";
        let pairs = [("database", self.config.clickhouse_database.as_str()), ("query", query)];
        let url = self.clickhouse_address(&pairs)?;
        let rows: String = entries.iter().map(|entry| serde_json::json!(entry).to_string() + "\n").collect();
        let content = Content { method: Method::POST, media_type: "application/x-ndjson", body: rows.into() };
        let request = Request { url: url.as_str(), ..Request::default() };
        match self.send_within(AUDIT_TIMEOUT, &request, Some(content)).await {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("{status}: {}", redact::shortened(&String::from_utf8_lossy(&body), 200))),
            Err(trouble) => Err(trouble.message),
        }
    }
}

fn json_content(method: Method, body: String) -> Content {
    Content { method, media_type: "application/json", body: body.into() }
}

fn address(key: &str, base: &str, path: &str, pairs: &[(&str, &str)]) -> Result<Url, String> {
    if base.is_empty() {
        return Err(format!("{key} is not configured"));
    }
    let mut url =
        Url::parse(&format!("{}/{path}", base.trim_end_matches('/'))).map_err(|error| format!("{key}: {error}"))?;
    url.query_pairs_mut().extend_pairs(pairs);
    Ok(url)
}

/// <https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats>
fn prometheus_value(answer: &Value) -> Result<Value, String> {
    let data = &answer["data"];
    let number = |sample: &Value| {
        let number = sample.get(1).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
        number.map(Value::from).ok_or_else(|| "Prometheus' answer has a sample without a number".to_owned())
    };
    match data["resultType"].as_str() {
        Some("scalar") => number(&data["result"]),
        Some("vector") => {
            let samples = data["result"].as_array().map(Vec::as_slice).unwrap_or_default();
            match samples {
                [] => Ok(Value::Null),
                [one] => number(&one["value"]),
                more => more.iter().map(|sample| number(&sample["value"])).collect(),
            }
        }
        other => Err(format!("the query gives a {}, and a number is wanted", other.unwrap_or("nothing"))),
    }
}

#[cfg(test)]
mod tests {
    use helios_testkit::proxy::{Proxy, Schedule};
    use helios_testkit::web;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_server_is_trusted_whose_certificate_is_of_an_authority_of_ones_own() {
        let answer = json!({"data": [[7]]}).to_string();
        let server = web::Server::start(&answer);
        let target = server.url("");
        let proxy = Proxy::encrypted(target.trim_end_matches('/'), Schedule::Quiet);
        let stranger = Proxy::encrypted(target.trim_end_matches('/'), Schedule::Quiet);
        let ask = |url: String, ca_file: Option<PathBuf>| async move {
            let config = ServersConfig { clickhouse_url: url, ca_file, ..ServersConfig::default() };
            Servers::new(config, String::new()).clickhouse("SELECT 7", &[]).await
        };
        assert_eq!(ask(proxy.url(), proxy.ca_file()).await, Ok(json!(7.0)));
        for ca_file in [None, stranger.ca_file()] {
            let error = ask(proxy.url(), ca_file).await.unwrap_err();
            assert!(error.contains("certificate"), "{error}");
        }
        // One that is not there is named, where it is needed.
        let nowhere = Some(PathBuf::from("/nowhere/ca.crt"));
        let error = ask(proxy.url(), nowhere.clone()).await.unwrap_err();
        assert!(error.starts_with("ca_file: cannot read /nowhere/ca.crt"), "{error}");
        assert_eq!(ask(target, nowhere).await, Ok(json!(7.0)));
    }

    #[test]
    fn an_answer_of_prometheus_is_a_number_none_or_a_list() {
        let vector = |values: Value| prometheus_value(&json!({"data": {"resultType": "vector", "result": values}}));
        assert_eq!(vector(json!([])), Ok(Value::Null));
        assert_eq!(vector(json!([{"value": [0, "1.5"]}])), Ok(json!(1.5)));
        assert_eq!(vector(json!([{"value": [0, "1"]}, {"value": [0, "2"]}])), Ok(json!([1.0, 2.0])));
        assert!(prometheus_value(&json!({"data": {"resultType": "matrix", "result": []}})).is_err());
    }
}
