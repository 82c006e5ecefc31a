use serde_json::json;

use super::*;
use crate::resource::{ApprovalSpec, Decision, ExecutionReference, Reference, StepPhase, StepRecord};

const RUNBOOK: &str = r#"
requiresApproval: true
parameters: [{name: device, type: string, required: true}]
steps:
  - {name: one, type: gnmi-set, config: {path: /a/x, value: 1}}
"#;

struct Case {
    runbook: Option<RunbookSpec>,
    spec: ExecutionSpec,
    status: ExecutionStatus,
    votes: Vec<Vote>,
    job: Job,
    now: i64,
    deleted: bool,
    finalizer: bool,
    gone_secs: i64,
    blocked: Option<String>,
}

impl Case {
    fn new() -> Self {
        let spec = json!({"runbookRef": {"name": "r"}, "parameters": {"device": "r1"}, "requestedBy": "alice"});
        Self {
            runbook: Some(serde_saphyr::from_str(RUNBOOK).unwrap()),
            spec: serde_json::from_value(spec).unwrap(),
            status: ExecutionStatus::default(),
            votes: Vec::new(),
            job: Job::Missing,
            now: 1_000,
            deleted: false,
            finalizer: true,
            gone_secs: 0,
            blocked: None,
        }
    }

    fn decide(&self) -> Effect {
        decide(&View {
            name: "e",
            uid: "0123456789",
            generation: 1,
            created: 1_000,
            now: self.now,
            deleted: self.deleted,
            finalizer: self.finalizer,
            spec: &self.spec,
            status: &self.status,
            runbook: self.runbook.as_ref().map(|spec| (spec, 7)),
            votes: &self.votes,
            job: self.job,
            gone_secs: self.gone_secs,
            blocked: self.blocked.as_deref(),
            script_images: &["allowed:1".to_owned()],
        })
    }

    /// Does what was decided to the status, and says which event it was.
    fn step(&mut self) -> &'static str {
        match self.decide() {
            Effect::Write { status, event, .. } => {
                self.status = *status;
                event
            }
            Effect::Lock(status) => {
                self.status = *status;
                "locked"
            }
            Effect::Close(status) => {
                self.status = *status;
                "closed"
            }
            Effect::Create { .. } => {
                self.job = Job::Active;
                "created"
            }
            Effect::RemoveFinalizer => "finalizer removed",
            Effect::Delete => {
                self.deleted = true;
                "deleted"
            }
            Effect::AddFinalizer => {
                self.finalizer = true;
                "finalizer added"
            }
            Effect::Rest => "rest",
            Effect::Again(_) => "again",
        }
    }

    fn vote(&mut self, approver: &str, decision: Decision) {
        let spec = ApprovalSpec {
            execution_ref: ExecutionReference { name: "e".into(), uid: "0123456789".into() },
            runbook_ref: Reference { name: "r".into() },
            approver: approver.into(),
            decision,
            step: None,
            reason: None,
        };
        self.votes.push(Vote { name: format!("{approver}-{}", self.votes.len()), spec });
    }
}

#[test]
fn an_execution_goes_its_way() {
    let mut case = Case::new();
    case.finalizer = false;
    let mut events = vec![case.step(), case.step(), case.step()];
    case.vote("bob", Decision::Approve);
    events.extend([case.step(), case.step(), case.step(), case.step()]);
    assert_eq!(events, ["finalizer added", "awaiting-approval", "again", "approved", "locked", "created", "again"]);
    let executor = case.status.executor.clone().unwrap();
    assert_eq!((executor.job.as_str(), executor.claimed), ("e-01234567-r", false));
    case.status.phase = Phase::Succeeded;
    assert_eq!([case.step(), case.step()], ["closed", "rest"]);
    case.deleted = true;
    assert_eq!(case.step(), "finalizer removed");
}

#[test]
fn an_approval_that_is_late_taken_back_or_refused_starts_nothing() {
    let mut late = Case::new();
    late.step();
    late.vote("bob", Decision::Approve);
    late.now += 3_600;
    assert_eq!((late.step(), late.status.phase), ("expired", Phase::Denied));

    let mut back = Case::new();
    back.step();
    back.vote("bob", Decision::Approve);
    assert_eq!(back.step(), "approved");
    back.votes.clear();
    assert_eq!((back.step(), back.status.phase), ("revoked", Phase::Denied));

    let mut refused = Case::new();
    refused.step();
    refused.vote("bob", Decision::Approve);
    assert_eq!(refused.step(), "approved");
    refused.vote("carol", Decision::Reject);
    assert_eq!((refused.step(), refused.status.phase), ("rejected", Phase::Denied));
}

#[test]
fn a_runbook_that_is_edited_or_deleted_changes_nothing_that_began() {
    let mut case = Case::new();
    case.step();
    let hash = case.status.runbook.clone().unwrap().hash;
    case.runbook = None;
    case.vote("bob", Decision::Approve);
    assert_eq!([case.step(), case.step(), case.step()], ["approved", "locked", "created"]);
    assert_eq!(case.status.runbook.unwrap().hash, hash);
}

#[test]
fn what_cannot_run_is_denied_with_its_reason() {
    let mut missing = Case::new();
    missing.runbook = None;
    assert_eq!(missing.step(), "again");
    missing.now += 60;
    assert_eq!(missing.step(), "denied");
    assert!(missing.status.message.contains("no runbook r"));

    let mut wrong = Case::new();
    wrong.spec.parameters.clear();
    assert_eq!(wrong.step(), "denied");
    assert!(wrong.status.message.contains("`device` is required"), "{}", wrong.status.message);
}

#[test]
fn a_cancel_or_a_delete_before_the_start_ends_it_and_later_is_the_executors() {
    for deleted in [true, false] {
        let mut case = Case::new();
        case.step();
        case.deleted = deleted;
        case.spec.cancel = Some(!deleted);
        assert_eq!((case.step(), case.status.phase), ("cancelled", Phase::Cancelled));
    }
    let mut running = Case::new();
    running.step();
    running.vote("bob", Decision::Approve);
    running.step();
    running.step();
    running.spec.cancel = Some(true);
    assert_eq!(running.step(), "created");
}

#[test]
fn a_lost_executor_is_followed_by_one_that_undoes_and_never_by_one_that_does_again() {
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.step();
    case.step();
    case.status.executor.as_mut().unwrap().claimed = true;
    case.status.steps.push(StepRecord {
        name: "one".into(),
        phase: StepPhase::Started,
        started_at: 1_000,
        deadline: 1_100,
        ..StepRecord::default()
    });
    case.job = Job::Ended;
    assert_eq!(case.decide(), Effect::Again(100));
    // The clocks of the two nodes differ by an hour: what counts is how long the executor is gone.
    case.now += 3_600;
    assert_eq!(case.decide(), Effect::Again(100));
    case.gone_secs = 100;
    assert_eq!(case.step(), "executor-lost");
    let executor = case.status.executor.clone().unwrap();
    assert_eq!(
        (case.status.phase, executor.kind, executor.claimed),
        (Phase::RollingBack, ExecutorKind::Rollback, false)
    );
    assert_eq!(executor.job, "e-01234567-u");
    case.job = Job::Missing;
    assert_eq!(case.step(), "created");
    // The second one is lost as well.
    case.status.executor.as_mut().unwrap().claimed = true;
    case.job = Job::Ended;
    assert_eq!((case.step(), case.status.phase), ("executor-lost", Phase::RollbackFailed));
    assert!(case.status.message.contains("ROLLBACK FAILED"), "{}", case.status.message);
}

#[test]
fn a_job_that_never_began_is_no_success() {
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.step();
    case.step();
    case.job = Job::Ended;
    assert_eq!((case.step(), case.status.phase), ("executor-lost", Phase::Failed));
    assert!(case.status.message.contains("nothing was done"));
}

#[test]
fn an_execution_says_once_what_it_waits_for_and_begins_when_that_is_over() {
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.step();
    case.blocked = Some("r1 is held by another execution".to_owned());
    assert_eq!([case.step(), case.step()], ["waits", "again"]);
    assert_eq!(case.status.message, "waits: r1 is held by another execution");
    case.blocked = None;
    assert_eq!(case.step(), "locked");
}

#[test]
fn what_was_approved_and_cannot_begin_in_time_does_not_begin() {
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.now += 3_599;
    assert_eq!(case.step(), "approved");
    case.now += 1;
    assert_eq!((case.step(), case.status.phase), ("expired", Phase::Denied));
    assert!(case.status.message.contains("could not begin within 1h"), "{}", case.status.message);
}

#[test]
fn a_clock_that_jumps_back_starts_nothing_twice_and_one_that_jumps_ahead_denies() {
    let mut case = Case::new();
    case.step();
    case.now = 0;
    case.vote("bob", Decision::Approve);
    assert_eq!([case.step(), case.step(), case.step(), case.step()], ["approved", "locked", "created", "again"]);
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.now += 1_000_000_000;
    assert_eq!((case.step(), case.status.phase), ("expired", Phase::Denied));
}

#[test]
fn a_runbook_that_a_later_version_cannot_read_is_loud() {
    let mut case = Case::new();
    case.step();
    case.vote("bob", Decision::Approve);
    case.step();
    case.step();
    let snapshot = case.status.runbook.as_mut().unwrap();
    snapshot.spec.steps[0].kind = "of-another-version".to_owned();
    let mut fresh = Case { job: Job::Ended, status: case.status.clone(), ..Case::new() };
    assert_eq!((fresh.step(), fresh.status.phase), ("executor-lost", Phase::Failed));
    case.status.executor.as_mut().unwrap().claimed = true;
    case.job = Job::Active;
    assert_eq!(case.step(), "again");
    case.job = Job::Ended;
    assert_eq!((case.step(), case.status.phase), ("executor-lost", Phase::RollbackFailed));
    assert!(case.status.message.contains("of-another-version"), "{}", case.status.message);
}

#[test]
fn a_dry_run_needs_no_approval() {
    let mut case = Case::new();
    case.spec.dry_run = Some(true);
    assert_eq!([case.step(), case.step()], ["admitted", "locked"]);
}

#[test]
fn a_script_of_an_image_that_is_not_allowed_is_denied_before_anybody_is_asked() {
    let with = |image: &str| {
        let script = json!({"image": image, "command": ["run"]});
        let step = json!({"name": "s", "type": "script", "config": script, "rollback": {"mode": "none"}});
        let mut case = Case::new();
        case.runbook.as_mut().unwrap().steps.push(serde_json::from_value(step).unwrap());
        (case.step(), case.status.message)
    };
    assert_eq!(with("allowed:1").0, "awaiting-approval");
    let (event, message) = with("other:1");
    assert_eq!(event, "denied");
    assert!(message.contains("scripts are off but for") && message.contains("other:1"), "{message}");
}

#[test]
fn an_execution_is_deleted_when_its_time_after_the_end_is_over() {
    let mut case = Case::new();
    case.status = ExecutionStatus { phase: Phase::Succeeded, finished_at: Some(1_000), ..ExecutionStatus::default() };
    assert_eq!((case.step(), case.step()), ("closed", "rest"), "without a time it stays");
    case.spec.ttl_seconds_after_finished = Some(5_000);
    assert_eq!(case.decide(), Effect::Again(3_600));
    case.now = 5_999;
    assert_eq!(case.decide(), Effect::Again(1));
    case.now = 6_000;
    assert_eq!((case.step(), case.step()), ("deleted", "finalizer removed"));
}

#[test]
fn what_is_not_closed_or_could_not_be_undone_is_not_deleted() {
    let mut case = Case::new();
    case.now = 9_000;
    case.spec.ttl_seconds_after_finished = Some(0);
    case.status = ExecutionStatus { phase: Phase::Failed, finished_at: Some(1_000), ..ExecutionStatus::default() };
    assert_eq!((case.step(), case.step()), ("closed", "deleted"), "its locks are freed first");
    case.deleted = false;
    case.status.phase = Phase::RollbackFailed;
    assert_eq!(case.step(), "rest");
}
