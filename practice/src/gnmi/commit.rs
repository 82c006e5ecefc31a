//! Commit confirmed (gNMI Commit Confirmed Extension 0.1.0): a Set that the device takes back unless the client confirms it.

use helios_gnmi::extensions::{Commit, Duration, commit::Action};
use helios_gnmi::message::{SetRequest, UpdateResult};
use serde_json::Value;
use tonic::Status;

use super::change;
use crate::network::{Ms, State};

/// How long the device waits where the client does not say it (§3.2.1).
const ROLLBACK_MS: Ms = 600_000;

/// A commit that waits for its confirmation.
#[derive(Debug)]
pub(crate) struct Pending {
    id: String,
    /// The configuration that comes back.
    before: Value,
    until: Ms,
}

impl Pending {
    /// The configuration that comes back, once the time is over.
    pub(crate) fn expired(&mut self, now: Ms) -> Option<Value> {
        (self.until <= now).then(|| self.before.take())
    }
}

/// Does a Set, with or without a commit.
pub(crate) fn set(state: &mut State, device: usize, request: &SetRequest) -> Result<Vec<UpdateResult>, Status> {
    let pending = state.devices[device].commit.as_ref().map(|pending| pending.id.clone());
    let Some(commit) = Commit::of(&request.extension) else {
        return match pending {
            Some(id) => Err(Status::failed_precondition(format!("commit {id} waits: confirm or cancel it first"))),
            None => change(state, device, request),
        };
    };
    if commit.id.is_empty() {
        return Err(Status::invalid_argument("the commit has no id"));
    }
    match &commit.action {
        None => Err(Status::invalid_argument("the commit has no action")),
        Some(Action::Commit(asked)) => {
            if let Some(id) = pending {
                return Err(Status::failed_precondition(format!("commit {id} waits: there can be one at a time")));
            }
            let rollback = match &asked.rollback_duration {
                Some(duration) => milliseconds(duration)?,
                None => ROLLBACK_MS,
            };
            let before = state.devices[device].config.clone();
            let results = change(state, device, request)?;
            let until = state.now.saturating_add(rollback);
            state.devices[device].commit = Some(Pending { id: commit.id.clone(), before, until });
            Ok(results)
        }
        Some(action) => follow_up(state, device, request, commit, action),
    }
}

/// Confirm, cancel and a new time are about a commit that waits, and change nothing else.
fn follow_up(
    state: &mut State,
    device: usize,
    request: &SetRequest,
    commit: &Commit,
    action: &Action,
) -> Result<Vec<UpdateResult>, Status> {
    let now = state.now;
    let device = &mut state.devices[device];
    let Some(pending) = &mut device.commit else {
        return Err(Status::failed_precondition("no commit waits for a confirmation"));
    };
    if pending.id != commit.id {
        let text = format!("commit {} waits, not {}", pending.id, commit.id);
        return Err(Status::invalid_argument(text));
    }
    if !(request.delete.is_empty() && request.replace.is_empty() && request.update.is_empty()) {
        return Err(Status::invalid_argument("a commit cannot be changed: send the request without operations"));
    }
    match action {
        Action::SetRollbackDuration(asked) => {
            let duration = asked.rollback_duration.as_ref();
            let duration = duration.ok_or_else(|| Status::invalid_argument("there is no rollback duration"))?;
            pending.until = now.saturating_add(milliseconds(duration)?);
        }
        Action::Cancel(_) => {
            device.config = pending.before.take();
            device.commit = None;
        }
        Action::Confirm(_) | Action::Commit(_) => device.commit = None,
    }
    Ok(Vec::new())
}

/// A time that is more than nothing.
fn milliseconds(duration: &Duration) -> Result<Ms, Status> {
    let ms = duration.seconds.saturating_mul(1_000).saturating_add(Ms::from(duration.nanos) / 1_000_000);
    if ms > 0 { Ok(ms) } else { Err(Status::invalid_argument("the rollback duration is not more than 0 s")) }
}
