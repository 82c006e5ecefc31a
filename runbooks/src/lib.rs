//! Runbooks: remediation on network devices, as custom resources of Kubernetes.
//!
//! A Runbook is a procedure, a RunbookExecution asks for one run of it, a RunbookApproval is one person's decision. The operator
//! checks an execution, waits for approval, takes the devices' locks and starts one Job; the Job's process, the executor, does the
//! steps over gNMI. Operator and executor share the execution's status and nothing else.
//!
//! Start at [`plan::Plan::new`] (what would be done), then [`machine::next`] (what comes next), then [`engine::Engine::run`] (the
//! loop that does it). The rule of the whole crate: if in doubt, do nothing and say so in the status. No step is done twice; what
//! is half done is never called a success; a failed rollback has a phase of its own.

#![deny(missing_docs, unreachable_pub)]

pub mod resource;
pub mod crd;
pub mod span;
pub mod redact;
pub mod parameter;
pub mod template;
pub mod condition;
pub mod step;
pub mod plan;
pub mod document;
pub mod audit;
pub mod approval;
pub mod machine;
pub mod engine;
pub mod reconcile;
pub mod world;
pub mod kubernetes;
