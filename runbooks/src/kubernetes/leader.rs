//! Which operator acts: the holder of one Lease.
//!
//! A holder renews the Lease every few seconds. Another process takes it once it has seen no renewal for the whole length of
//! the Lease by its own clock, so clocks that differ do no harm. A holder that cannot renew stops before that. A holder that is
//! asked to end gives the Lease up, so a rollout waits for no time-out.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use super::is_code;

const NAME: &str = "helios-operator";
/// After so long without a renewal, another process leads.
const LENGTH: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long stops acting.
const DEADLINE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(3);
/// For giving the Lease up. A process that is ended has 30 s from Kubernetes.
const RELEASE: Duration = Duration::from_secs(5);

pub(super) struct Leader {
    leases: Api<Lease>,
    identity: String,
    /// The version of the Lease of another holder, and since when it is the same.
    seen: Option<(Option<String>, Instant)>,
}

impl Leader {
    pub(super) fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity: identity.to_owned(), seen: None }
    }

    /// Returns when this process leads.
    pub(super) async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot ask for the operator's Lease; trying again"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews the Lease, and returns when this process no longer leads.
    pub(super) async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            let begun = Instant::now();
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the operator's Lease; trying again"),
                Err(_) => {}
            }
            if renewed.elapsed() >= DEADLINE {
                return;
            }
        }
    }

    /// Gives the Lease up if this process holds it. Call it when this process no longer acts.
    pub(super) async fn release(&self) {
        match tokio::time::timeout(RELEASE, self.give_up()).await {
            Ok(Ok(())) => tracing::info!("released the operator's Lease"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot release the operator's Lease; it expires by itself"),
            Err(_) => tracing::warn!("the API server does not answer; the operator's Lease expires by itself"),
        }
    }

    async fn give_up(&self) -> kube::Result<()> {
        let Some(mut found) = self.leases.get_opt(NAME).await? else { return Ok(()) };
        let Some(spec) = &mut found.spec else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return Ok(());
        }
        spec.holder_identity = None;
        written(self.leases.replace(NAME, &PostParams::default(), &found).await).map(|_| ())
    }

    /// Takes or renews the Lease; `false` says that another process has it.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(found) = self.leases.get_opt(NAME).await? else {
            return written(self.leases.create(&PostParams::default(), &self.lease(None, 0)).await);
        };
        let spec = found.spec.unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let version = found.metadata.resource_version;
        let mut transitions = spec.lease_transitions.unwrap_or(0);
        if holder != self.identity {
            let since = match &self.seen {
                Some((seen, since)) if *seen == version => *since,
                _ => Instant::now(),
            };
            self.seen = Some((version.clone(), since));
            if !holder.is_empty() && since.elapsed() < LENGTH {
                return Ok(false);
            }
            transitions += 1;
        }
        written(self.leases.replace(NAME, &PostParams::default(), &self.lease(version, transitions)).await)
    }

    fn lease(&self, version: Option<String>, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), resource_version: version, ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
                lease_transitions: Some(transitions),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn written(outcome: kube::Result<Lease>) -> kube::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if is_code(&error, 409) => Ok(false),
        Err(error) => Err(error),
    }
}
