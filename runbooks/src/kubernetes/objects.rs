//! The Job of an executor.

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::Execution;
use super::operator::Options;
use crate::resource::ExecutorKind;

/// Has the name of the Job's execution. A Job has no owner: a deletion in the foreground would end the executor before it has
/// undone anything.
pub(super) const EXECUTION_LABEL: &str = "helios.io/execution";

/// The Job, whose name follows from the execution. Kubernetes never starts its pod a second time.
pub(super) fn job(
    options: &Options,
    execution: &Execution,
    name: &str,
    kind: ExecutorKind,
    seconds: u64,
) -> Result<Job, serde_json::Error> {
    let owner = execution.metadata.name.clone().unwrap_or_default();
    let uid = execution.metadata.uid.clone().unwrap_or_default();
    let labels = json!({
        "app.kubernetes.io/name": "helios-executor",
        "app.kubernetes.io/part-of": "helios",
        EXECUTION_LABEL: owner,
        "helios.io/kind": format!("{kind:?}").to_lowercase(),
    });
    serde_json::from_value(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": 86_400,
            "template": {
                "metadata": {"labels": labels},
                "spec": pod(options, &owner, &uid, name),
            },
        },
    }))
}

fn pod(options: &Options, owner: &str, uid: &str, job: &str) -> Value {
    let maps: Vec<Value> = options
        .device_maps
        .iter()
        .map(|name| json!({"configMap": {"name": name, "optional": true, "items": [{"key": "gnmic.yaml", "path": format!("{name}.yaml")}]}}))
        .collect();
    json!({
        "restartPolicy": "Never",
        "serviceAccountName": options.executor_account,
        "automountServiceAccountToken": true,
        // The process takes no notice of SIGTERM as the first of its container: most steps end within this time.
        "terminationGracePeriodSeconds": 60,
        "securityContext": pod_security(),
        "containers": [{
            "name": "executor",
            "image": options.executor_image,
            "args": ["execute", "--name", owner, "--uid", uid, "--job", job],
            "env": [
                {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "HELIOS_SERVERS", "value": options.servers},
                {"name": "DEVICE_IDENTITY", "value": options.device_identity.name()},
            ],
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": container_security(),
            "volumeMounts": [
                {"name": "devices", "mountPath": "/etc/helios/devices", "readOnly": true},
                {"name": "credentials", "mountPath": "/etc/helios/credentials", "readOnly": true},
                {"name": "secrets", "mountPath": "/etc/helios/secrets", "readOnly": true},
                {"name": "notify", "mountPath": "/etc/helios/notify", "readOnly": true},
            ],
        }],
        "volumes": [
            {"name": "devices", "projected": {"sources": maps}},
            {"name": "credentials", "secret": {"secretName": options.device_secret, "optional": true}},
            {"name": "secrets", "secret": {"secretName": options.servers_secret, "optional": true}},
            {"name": "notify", "secret": {"secretName": "helios-runbook-notify", "optional": true}},
        ],
    })
}

/// What the Pod Security Standard `restricted` wants of a pod.
pub(super) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// And of a container.
pub(super) fn container_security() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}
