//! Steps of type script: a Job of its own for each, with an image that the operator's configuration names.
//!
//! Its pod has no token of Kubernetes and none of the executor's Secrets. What the program writes to `/dev/termination-log` is the
//! step's output. A Job is made once: its name is used a second time only for a create whose answer was lost.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{is_code, is_passing};
use crate::audit;
use crate::engine::{Done, Trouble};
use crate::redact;
use crate::step::Script;
use crate::world::Scripts;

/// Between two looks at the Job.
const PERIOD: Duration = Duration::from_secs(2);
/// For the create of a Job whose answer does not come.
const CREATE: Duration = Duration::from_secs(15);

/// The scripts of one executor.
pub(super) struct Jobs {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// The execution, for labels.
    pub(super) execution: String,
    /// The executor's own Job: a part of the names.
    pub(super) executor: String,
    /// The images that may run.
    pub(super) images: Vec<String>,
    /// Scripts that this process has started.
    pub(super) started: u32,
}

impl Scripts for Jobs {
    fn run<'a>(
        &'a mut self,
        script: &'a Script,
        timeout: Duration,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Done, Trouble>> + Send + 'a>> {
        Box::pin(self.run_once(script, timeout))
    }
}

impl Jobs {
    async fn run_once(&mut self, script: &Script, timeout: Duration) -> Result<Done, Trouble> {
        let certain = |message: String| Trouble { message, uncertain: false };
        let unknown = |message: String| Trouble { message, uncertain: true };
        if !self.images.contains(&script.image) {
            let image = &script.image;
            return Err(certain(format!("{image} is not among servers.script_images, the images that steps may run")));
        }
        self.started += 1;
        let name =
            format!("helios-script-{}", &audit::sha256(format!("{} {}", self.executor, self.started).as_bytes())[..20]);
        let job = self.job(&name, script, timeout).map_err(|error| certain(error.to_string()))?;
        self.create(&job).await?;
        let ended =
            self.wait(&name).await.map_err(|error| unknown(format!("the script's Job cannot be read: {error}")))?;
        let (code, text) = self.outcome(&name).await.map_err(|error| unknown(error.to_string()))?;
        let shown = redact::shortened(text.trim(), 512);
        if !ended {
            return Err(unknown(format!("the script ended with {code}: {shown}")));
        }
        let output = serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text.trim()));
        let message =
            format!("the script ended with 0: {}", redact::shortened(&redact::redacted(&output).to_string(), 512));
        Ok(Done { message, answer: text.into_bytes(), output })
    }

    async fn create(&self, job: &Job) -> Result<(), Trouble> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let begun = Instant::now();
        let mut asked = false;
        loop {
            match api.create(&PostParams::default(), job).await {
                Ok(_) => return Ok(()),
                // The create before had arrived, and only its answer was lost.
                Err(error) if is_code(&error, 409) && asked => return Ok(()),
                Err(error) if is_passing(&error) && begun.elapsed() < CREATE => {
                    asked = true;
                    tokio::time::sleep(PERIOD).await;
                }
                Err(error) => {
                    let message = format!("the script's Job cannot be created: {error}");
                    return Err(Trouble { message, uncertain: asked || is_passing(&error) || is_code(&error, 409) });
                }
            }
        }
    }

    /// Whether the Job was a success, once it has ended.
    async fn wait(&self, name: &str) -> kube::Result<bool> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        loop {
            match api.get(name).await {
                Ok(job) => {
                    let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
                    let is = |kind: &str| conditions.iter().any(|one| one.type_ == kind && one.status == "True");
                    if is("Complete") || is("Failed") {
                        return Ok(is("Complete"));
                    }
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// The exit code of the program, and what it said.
    async fn outcome(&self, name: &str) -> kube::Result<(i32, String)> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
        let ended = api.list(&of_job).await?.items.into_iter().find_map(|pod| {
            let containers = pod.status?.container_statuses?;
            containers.into_iter().find_map(|container| container.state?.terminated)
        });
        Ok(ended
            .map_or((-1, "its pod is gone".to_owned()), |ended| (ended.exit_code, ended.message.unwrap_or_default())))
    }

    fn job(&self, name: &str, script: &Script, timeout: Duration) -> Result<Job, serde_json::Error> {
        let labels = json!({
            "app.kubernetes.io/name": "helios-script",
            "app.kubernetes.io/part-of": "helios",
            "helios.io/execution": self.execution,
        });
        let env: Vec<Value> = script.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        serde_json::from_value(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "activeDeadlineSeconds": timeout.as_secs().max(1),
                "ttlSecondsAfterFinished": 86_400,
                "template": {"metadata": {"labels": labels}, "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": super::objects::pod_security(),
                    "containers": [{
                        "name": "script",
                        "image": script.image,
                        "command": script.command,
                        "env": env,
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                        "securityContext": super::objects::container_security(),
                    }],
                }},
            },
        }))
    }
}
