//! Locks: a Lease whose holder is an execution. There is one for each device, and for a runbook with `maxConcurrent` one for each
//! execution that it allows.
//!
//! The lock has no expiry, so that no clock can open it: it is free when its holder's execution is over or gone. The API server
//! refuses the second of two writers, so the locks hold for two operators at the same time as well.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};

use super::{Execution, is_code, resource};
use crate::audit;
use crate::crd::EXECUTION;

/// Has the uid of the execution that holds the lock.
const HOLDER_LABEL: &str = "helios.io/execution-uid";

/// The locks of a namespace, for one execution.
pub(super) struct Locks {
    client: Client,
    namespace: String,
    name: String,
    uid: String,
}

impl Locks {
    pub(super) fn new(client: Client, namespace: &str, name: &str, uid: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Takes the locks of all devices, and one of `runs` executions of the runbook (0 is no limit); or none of them. `Err` says
    /// what is held.
    pub(super) async fn take(
        &self,
        devices: &[String],
        runbook: &str,
        runs: usize,
    ) -> kube::Result<Result<(), String>> {
        if runs > 0 && !self.take_one(runbook, runs).await? {
            return Ok(Err(full(runbook, runs)));
        }
        // In the order of their names, so that two executions never wait for each other.
        for device in devices {
            if !self.held(&device_lock(device), device).await? {
                self.free().await?;
                return Ok(Err(busy(device)));
            }
        }
        Ok(Ok(()))
    }

    /// Takes one of the locks of the runbook, unless the execution holds one already: an earlier attempt may have taken any of them.
    async fn take_one(&self, runbook: &str, runs: usize) -> kube::Result<bool> {
        let lock = format!("helios-runbook-{}-", &audit::sha256(runbook.as_bytes())[..20]);
        if runs > 1
            && self.leases().list(&self.of_ours()).await?.iter().any(|lease| lease.name_any().starts_with(&lock))
        {
            return Ok(true);
        }
        for run in 0..runs {
            if self.held(&format!("{lock}{run}"), runbook).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes one lock, and says whether this execution holds it now.
    async fn held(&self, lock: &str, about: &str) -> kube::Result<bool> {
        let leases = self.leases();
        match leases.create(&PostParams::default(), &self.lease(lock, about, None)).await {
            Ok(_) => return Ok(true),
            Err(error) if is_code(&error, 409) => {}
            Err(error) => return Err(error),
        }
        // The lock was deleted meanwhile: the next attempt finds it free.
        let Some(found) = leases.get_opt(lock).await? else { return Ok(false) };
        let other = found.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        if other == self.holder() {
            return Ok(true);
        }
        if self.lives(&other).await? {
            return Ok(false);
        }
        let lease = self.lease(lock, about, found.metadata.resource_version);
        match leases.replace(lock, &PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, 409) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the execution that a lock names is there and not over.
    async fn lives(&self, holder: &str) -> kube::Result<bool> {
        let (name, uid) = holder.split_once('/').unwrap_or((holder, ""));
        let executions: Api<Execution> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource(EXECUTION));
        Ok(executions.get_opt(name).await?.is_some_and(|execution| {
            execution.metadata.uid.as_deref() == Some(uid)
                && !execution.status.is_some_and(|status| status.phase.is_final())
        }))
    }

    fn holder(&self) -> String {
        format!("{}/{}", self.name, self.uid)
    }

    fn lease(&self, lock: &str, about: &str, version: Option<String>) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(lock.to_owned()),
                resource_version: version,
                labels: Some([(HOLDER_LABEL.to_owned(), self.uid.clone())].into()),
                annotations: Some([("helios.io/locks".to_owned(), about.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec { holder_identity: Some(self.holder()), ..LeaseSpec::default() }),
        }
    }

    /// The locks that the execution holds.
    fn of_ours(&self) -> ListParams {
        ListParams::default().labels(&format!("{HOLDER_LABEL}={}", self.uid))
    }

    /// Frees every lock that the execution holds.
    pub(super) async fn free(&self) -> kube::Result<()> {
        let leases = self.leases();
        for lease in leases.list(&self.of_ours()).await? {
            let resource_version = lease.metadata.resource_version.clone();
            let preconditions = Preconditions { resource_version, ..Preconditions::default() };
            let delete = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            match leases.delete(&lease.name_any(), &delete).await {
                Ok(_) => {}
                Err(error) if is_code(&error, 404) || is_code(&error, 409) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Says that another execution has a device. It does not say which: with hundreds that wait, each change would be written to all.
pub(super) fn busy(device: &str) -> String {
    format!("{device} is held by another execution")
}

/// Says that a runbook runs as often as its maxConcurrent allows.
pub(super) fn full(runbook: &str, runs: usize) -> String {
    format!("{runbook} runs {runs} times, as its maxConcurrent allows")
}

/// Names of objects have fewer letters than names of devices.
fn device_lock(device: &str) -> String {
    format!("helios-device-{}", &audit::sha256(device.as_bytes())[..20])
}
