//! One execution at a time for a device: a Lease whose holder is the execution.
//!
//! The lock has no expiry, so that no clock can open it: it is free when its holder's execution is over or gone.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{DeleteParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, Client};

use super::{Execution, is_code, resource};
use crate::audit;
use crate::crd::EXECUTION;

/// Takes the locks of all devices, or none. `Err` has the device that is held, and by whom.
pub(super) async fn take(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    devices: &[String],
) -> kube::Result<Result<(), String>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let mut taken: Vec<String> = Vec::new();
    // In the order of their names, so that two executions never wait for each other.
    for device in devices {
        if let Some(holder) = held(client, &leases, namespace, name, uid, device).await? {
            free(client, namespace, name, uid, &taken).await?;
            return Ok(Err(format!("{device} is held by {holder}")));
        }
        taken.push(device.clone());
    }
    Ok(Ok(()))
}

/// Takes one lock; `Some` says who has it.
async fn held(
    client: &Client,
    leases: &Api<Lease>,
    namespace: &str,
    name: &str,
    uid: &str,
    device: &str,
) -> kube::Result<Option<String>> {
    let holder = format!("{name}/{uid}");
    let lease = |version| Lease {
        metadata: ObjectMeta {
            name: Some(lock_name(device)),
            resource_version: version,
            annotations: Some([("helios.io/device".to_owned(), device.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec { holder_identity: Some(holder.clone()), ..LeaseSpec::default() }),
    };
    match leases.create(&kube::api::PostParams::default(), &lease(None)).await {
        Ok(_) => return Ok(None),
        Err(error) if is_code(&error, 409) => {}
        Err(error) => return Err(error),
    }
    let Some(found) = leases.get_opt(&lock_name(device)).await? else {
        return Ok(Some("somebody who just freed it".to_owned()));
    };
    let other = found.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    if other == holder {
        return Ok(None);
    }
    let (other_name, other_uid) = other.split_once('/').unwrap_or((&other, ""));
    let executions: Api<Execution> = Api::namespaced_with(client.clone(), namespace, &resource(EXECUTION));
    let lives = executions.get_opt(other_name).await?.is_some_and(|execution| {
        execution.metadata.uid.as_deref() == Some(other_uid)
            && !execution.status.is_some_and(|status| status.phase.is_final())
    });
    if lives {
        return Ok(Some(other_name.to_owned()));
    }
    match leases
        .replace(&lock_name(device), &kube::api::PostParams::default(), &lease(found.metadata.resource_version))
        .await
    {
        Ok(_) => Ok(None),
        Err(error) if is_code(&error, 409) => Ok(Some("somebody who was faster".to_owned())),
        Err(error) => Err(error),
    }
}

/// Frees the locks that the execution holds.
pub(super) async fn free(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    devices: &[String],
) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    for device in devices {
        let Some(found) = leases.get_opt(&lock_name(device)).await? else { continue };
        let holder = found.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        if holder != format!("{name}/{uid}") {
            continue;
        }
        let preconditions =
            Preconditions { resource_version: found.metadata.resource_version, ..Preconditions::default() };
        let delete = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match leases.delete(&lock_name(device), &delete).await {
            Ok(_) => {}
            Err(error) if is_code(&error, 404) || is_code(&error, 409) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Names of objects have fewer letters than names of devices.
fn lock_name(device: &str) -> String {
    format!("helios-device-{}", &audit::sha256(device.as_bytes())[..20])
}
