//! What speaks to the API server: the operator's loop, and the store of an executor.
//!
//! Objects are read as the structs of [`crate::resource`]. A status is written as a whole, with the version of
//! the object that it was made from: the API server refuses it where somebody else has written since.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Object};
use serde_json::Value;

use crate::crd::ResourceKind;
use crate::resource::{ApprovalSpec, ExecutionSpec, ExecutionStatus, GROUP, RunbookSpec, VERSION};

mod executor;
mod leader;
mod locks;
mod objects;
mod operator;
mod scripts;
mod webhook;

pub use executor::{Devices, execute};
pub use operator::{Options, run};

/// A Runbook as the API server stores it.
pub type Runbook = Object<RunbookSpec, Value>;
/// A RunbookExecution as the API server stores it.
pub type Execution = Object<ExecutionSpec, ExecutionStatus>;
/// A RunbookApproval as the API server stores it.
pub type Approval = Object<ApprovalSpec, Value>;

/// How a kind is asked for.
pub fn resource(kind: ResourceKind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, kind.kind), kind.plural)
}

/// What became of a write.
enum Written {
    Yes(Box<Execution>),
    /// Somebody else has written since.
    Conflict,
}

/// Replaces the status of the execution as it was read.
async fn write_status(api: &Api<Execution>, read: &Execution, status: &ExecutionStatus) -> kube::Result<Written> {
    let before = read.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
    let status = status.with_conditions(before, &Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let execution = Execution { status: Some(status), ..read.clone() };
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    match api.replace_status(name, &PostParams::default(), &execution).await {
        Ok(execution) => Ok(Written::Yes(Box::new(execution))),
        Err(error) if is_code(&error, 409) => Ok(Written::Conflict),
        Err(error) => Err(error),
    }
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Whether the same request may succeed later: the API server is away or busy.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => false,
        _ => true,
    }
}
