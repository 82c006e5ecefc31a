//! The engine against a world that fails: a device that refuses, answers without acting, acts without answering; an API
//! server with conflicts and lost answers; and a kill before and after every effect. After each kill the operator's part
//! is played with [`machine::lost`] until the execution ends. Seeds are counted up, so every run is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::machine::Lost;
use crate::resource::{Executor, ExecutorKind, RunbookSpec, Snapshot};

/// xorshift64*, which is enough to choose among faults.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// Everything outside of the executor; it outlives executors.
struct Outside {
    device: BTreeMap<String, Value>,
    stored: Observed,
    version: u64,
    dice: Dice,
    /// Effects until the executor is killed.
    fuse: Option<u64>,
    /// How many faults may still happen.
    faults: u64,
    /// Step, attempt: how often each was done.
    done: BTreeMap<(String, i32), u32>,
    undone: BTreeMap<String, u32>,
    emitted: Vec<Entry>,
    now: i64,
    cancel_at: Option<u64>,
    gone_at: Option<u64>,
    effects: u64,
}

impl Outside {
    fn is_gone(&self) -> bool {
        self.gone_at.is_some_and(|at| self.effects >= at)
    }
}

impl Outside {
    /// Whether the executor is dead from now on.
    fn effect(&mut self) -> Result<(), ()> {
        self.effects += 1;
        self.now += 1;
        if self.cancel_at == Some(self.effects) {
            self.stored.cancelled = true;
            self.version += 1;
        }
        match &mut self.fuse {
            Some(0) => Err(()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fault(&mut self) -> u64 {
        if self.faults == 0 || self.dice.roll(4) != 0 {
            return 0;
        }
        self.faults -= 1;
        1 + self.dice.roll(3)
    }

    fn set(&mut self, set: &Set) {
        for (path, value) in set.update.iter().chain(&set.replace) {
            self.device.insert(path.to_string(), value.clone());
        }
        for path in &set.delete {
            self.device.remove(&path.to_string());
        }
    }
}

type Shared = Arc<Mutex<Outside>>;

/// The process is dead: its tasks never go on.
async fn dead<T>() -> T {
    std::future::pending().await
}

struct Cluster {
    outside: Shared,
    seen: u64,
}

impl Store for Cluster {
    async fn read(&mut self) -> Result<Observed, Stop> {
        let observed = {
            let outside = self.outside.lock().unwrap();
            if outside.is_gone() {
                return Err(Stop::Gone);
            }
            self.seen = outside.version;
            outside.stored.clone()
        };
        Ok(observed)
    }

    async fn write(&mut self, status: &ExecutionStatus) -> Result<bool, Stop> {
        let written = {
            let mut outside = self.outside.lock().unwrap();
            if outside.effect().is_err() {
                None
            } else if outside.is_gone() {
                return Err(Stop::Gone);
            } else if outside.version != self.seen {
                Some(false)
            } else {
                outside.stored.status = status.clone();
                outside.version += 1;
                // An answer that is lost: the client tries again and finds a conflict with itself.
                let lost = outside.fault() == 1;
                if !lost {
                    self.seen = outside.version;
                }
                if outside.effect().is_err() { None } else { Some(!lost) }
            }
        };
        match written {
            Some(written) => Ok(written),
            None => dead().await,
        }
    }
}

struct Devices(Shared);

impl World for Devices {
    fn now(&self) -> i64 {
        self.0.lock().unwrap().now
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.now()).unwrap())
    }

    async fn before(&mut self, set: &Set) -> Result<Vec<Before>, String> {
        let mut outside = self.0.lock().unwrap();
        if outside.fault() == 1 {
            return Err("the device does not answer".to_owned());
        }
        let value = |path: &helios_gnmi::Path| outside.device.get(&path.to_string()).map(Value::to_string);
        Ok(set.paths().map(|path| Before { path: path.to_string(), json: value(path) }).collect())
    }

    async fn act(&mut self, planned: &Planned, _: &Value, _: &Value) -> Result<Done, Trouble> {
        let outcome = {
            let mut outside = self.0.lock().unwrap();
            let attempt = outside.stored.status.steps.iter().find(|step| step.name == planned.name).unwrap().attempt;
            let fault = outside.fault();
            if outside.effect().is_err() {
                None
            } else {
                *outside.done.entry((planned.name.clone(), attempt)).or_default() += 1;
                let outcome = match (fault, &planned.action) {
                    (0, Action::Set(set)) => {
                        outside.set(set);
                        Ok(Done { message: "set".to_owned(), ..Done::default() })
                    }
                    (1, _) => Err(Trouble { message: "refused".to_owned(), uncertain: false }),
                    (2, _) => Err(Trouble { message: "no answer, not done".to_owned(), uncertain: true }),
                    (_, Action::Set(set)) => {
                        outside.set(set);
                        Err(Trouble { message: "no answer, done".to_owned(), uncertain: true })
                    }
                    _ => Ok(Done::default()),
                };
                if outside.effect().is_err() { None } else { Some(outcome) }
            }
        };
        match outcome {
            Some(outcome) => outcome,
            None => dead().await,
        }
    }

    async fn restore(&mut self, _: &Set, before: &[Before], _: Duration) -> Result<Done, Trouble> {
        let outcome = {
            let mut outside = self.0.lock().unwrap();
            let fault = outside.fault();
            if outside.effect().is_err() {
                None
            } else {
                *outside.undone.entry(before[0].path.clone()).or_default() += 1;
                if fault == 0 {
                    for value in before {
                        match &value.json {
                            Some(json) => {
                                _ = outside.device.insert(value.path.clone(), serde_json::from_str(json).unwrap())
                            }
                            None => _ = outside.device.remove(&value.path),
                        }
                    }
                }
                let outcome = match fault {
                    0 => Ok(Done::default()),
                    _ => Err(Trouble { message: "the device is away".to_owned(), uncertain: true }),
                };
                if outside.effect().is_err() { None } else { Some(outcome) }
            }
        };
        match outcome {
            Some(outcome) => outcome,
            None => dead().await,
        }
    }

    async fn emit(&mut self, entries: &[Entry]) {
        self.0.lock().unwrap().emitted.extend_from_slice(entries);
    }

    async fn pause(&mut self, _: Duration) {
        self.0.lock().unwrap().now += 5;
    }
}

const RUNBOOK: &str = r#"
timeout: 24h
parameters: [{name: device, type: string, required: true}]
steps:
  - {name: one, type: gnmi-set, config: {path: /a/x, value: 1}}
  - {name: two, type: gnmi-set, retries: 1, config: {update: [{path: /a/y, value: 2}], delete: [/a/gone]}}
  - {name: pause, type: wait, config: {duration: 10s}}
  - {name: three, type: gnmi-set, config: {path: /a/x, value: 3}}
"#;

fn initial() -> BTreeMap<String, Value> {
    BTreeMap::from([("/a/x".to_owned(), json!(0)), ("/a/gone".to_owned(), json!("here"))])
}

fn wanted() -> BTreeMap<String, Value> {
    BTreeMap::from([("/a/x".to_owned(), json!(3)), ("/a/y".to_owned(), json!(2))])
}

fn setting(runbook: &str, seed: u64) -> (Plan, Shared) {
    let spec: RunbookSpec = serde_saphyr::from_str(runbook).unwrap();
    let given = BTreeMap::from([("device".to_owned(), json!("r1"))]);
    let plan = Plan::new(&spec, &given).unwrap();
    let status = ExecutionStatus {
        phase: Phase::Running,
        requested_by: "alice".to_owned(),
        executor: Some(Executor { job: "e-run".to_owned(), kind: ExecutorKind::Forward, claimed: false }),
        runbook: Some(Snapshot { spec, ..Snapshot::default() }),
        audit: crate::resource::AuditState::begin("hash"),
        ..ExecutionStatus::default()
    };
    let outside = Outside {
        device: initial(),
        stored: Observed { status, cancelled: false },
        version: 1,
        dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
        fuse: None,
        faults: 0,
        done: BTreeMap::new(),
        undone: BTreeMap::new(),
        emitted: Vec::new(),
        now: 0,
        cancel_at: None,
        gone_at: None,
        effects: 0,
    };
    (plan, Arc::new(Mutex::new(outside)))
}

/// Runs executors, as the operator starts them, until the execution ends. Returns its phase.
fn run(plan: &Plan, outside: &Shared) -> Phase {
    for _ in 0..4 {
        let job = outside.lock().unwrap().stored.status.executor.clone().unwrap().job;
        let identity = Identity { uid: "u".to_owned(), job, ..Identity::default() };
        let store = Cluster { outside: Arc::clone(outside), seen: 0 };
        let mut engine = Engine::new(plan.clone(), identity, store, Devices(Arc::clone(outside)));
        {
            let mut future = Box::pin(engine.run());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            // Nothing here waits: a future that is not ready is a process that was killed.
            _ = future.as_mut().poll(&mut context);
        }
        let mut outside = outside.lock().unwrap();
        outside.fuse = None;
        let status = outside.stored.status.clone();
        if status.phase.is_final() {
            return status.phase;
        }
        if status.executor.as_ref().is_some_and(|executor| !executor.claimed) {
            continue;
        }
        let Lost::Write(status) = machine::lost(plan, &status, "e-undo", outside.now, i64::MAX) else { unreachable!() };
        outside.stored.status = *status;
        outside.version += 1;
        if outside.stored.status.phase.is_final() {
            return outside.stored.status.phase;
        }
    }
    unreachable!("the execution does not end: {:#?}", outside.lock().unwrap().stored)
}

/// What holds whatever happened.
fn hold(outside: &Shared, phase: Phase, what: &str) {
    let outside = outside.lock().unwrap();
    let status = &outside.stored.status;
    for (step, times) in &outside.done {
        assert_eq!(*times, 1, "{what}: {step:?} was done more than once");
    }
    for step in ["one", "two", "three"] {
        let uncertain = outside.done.keys().filter(|(name, _)| name == step).count();
        assert!(uncertain <= 2, "{what}: {step} had {uncertain} attempts");
    }
    match phase {
        Phase::Succeeded => assert_eq!(outside.device, wanted(), "{what}: half done and called a success"),
        Phase::RolledBack | Phase::Failed | Phase::Cancelled => {
            assert_eq!(outside.device, initial(), "{what}: {phase:?} leaves a change: {}", status.message);
        }
        Phase::RollbackFailed => {
            assert!(status.message.contains("ROLLBACK FAILED"), "{what}: {}", status.message);
            assert!(!status.steps.is_empty(), "{what}");
        }
        _ => unreachable!("{what}: {phase:?} is no end"),
    }
    for record in &status.steps {
        assert!(!matches!(record.phase, StepPhase::Started | StepPhase::UndoStarted), "{what}: {record:?} is open");
    }
}

#[test]
fn without_faults_every_step_is_done_once_in_order() {
    let (plan, outside) = setting(RUNBOOK, 1);
    assert_eq!(run(&plan, &outside), Phase::Succeeded);
    hold(&outside, Phase::Succeeded, "no fault");
    let outside = outside.lock().unwrap();
    let entries = outside.emitted.clone();
    let state = &outside.stored.status.audit;
    let ends = BTreeMap::from([("u".to_owned(), (state.count, state.head.clone()))]);
    let verified = audit::verify(entries, &ends);
    assert_eq!(verified.faults, Vec::<String>::new());
    assert_eq!(verified.entries, 10, "start, two for each step, end");
}

#[test]
fn a_kill_at_any_moment_is_recovered() {
    let mut phases = BTreeMap::new();
    for fuse in 0.. {
        let (plan, outside) = setting(RUNBOOK, 1);
        outside.lock().unwrap().fuse = Some(fuse);
        let phase = run(&plan, &outside);
        hold(&outside, phase, &format!("killed at effect {fuse}"));
        *phases.entry(format!("{phase:?}")).or_insert(0) += 1;
        if outside.lock().unwrap().undone.is_empty() && phase == Phase::Succeeded && fuse > 40 {
            break;
        }
    }
    // The kill came before the first change, between changes, and after the last word.
    assert!(["Failed", "RolledBack", "Succeeded"].iter().all(|phase| phases.contains_key(*phase)), "{phases:?}");
    assert!(!phases.contains_key("RollbackFailed"), "{phases:?}: the device was there all the time");
}

#[test]
fn faults_kills_and_cancels_together_keep_every_promise() {
    let mut phases = BTreeMap::new();
    for seed in 1..4_000 {
        let (plan, outside) = setting(RUNBOOK, seed);
        {
            let mut outside = outside.lock().unwrap();
            outside.faults = outside.dice.roll(4);
            outside.fuse = (outside.dice.roll(2) == 0).then(|| outside.dice.roll(40));
            outside.cancel_at = (outside.dice.roll(4) == 0).then(|| outside.dice.roll(40));
        }
        let phase = run(&plan, &outside);
        hold(&outside, phase, &format!("seed {seed}"));
        let outside = outside.lock().unwrap();
        let state = &outside.stored.status.audit;
        let mut entries = outside.emitted.clone();
        entries.extend_from_slice(&state.tail);
        let ends = BTreeMap::from([("u".to_owned(), (state.count, state.head.clone()))]);
        assert_eq!(audit::verify(entries, &ends).faults, Vec::<String>::new(), "seed {seed}");
        *phases.entry(format!("{phase:?}")).or_insert(0) += 1;
    }
    assert_eq!(phases.len(), 5, "every end was reached: {phases:?}");
}

#[test]
fn a_second_process_of_a_job_does_nothing() {
    let (plan, outside) = setting(RUNBOOK, 1);
    outside.lock().unwrap().stored.status.executor.as_mut().unwrap().claimed = true;
    let identity = Identity { job: "e-run".to_owned(), ..Identity::default() };
    let store = Cluster { outside: Arc::clone(&outside), seen: 0 };
    let mut engine = Engine::new(plan, identity, store, Devices(Arc::clone(&outside)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let result = std::pin::pin!(engine.run()).poll(&mut context);
    assert!(matches!(result, std::task::Poll::Ready(Err(Stop::Superseded(_)))));
    assert_eq!(outside.lock().unwrap().device, initial());
}

#[test]
fn a_dry_run_changes_nothing_and_shows_each_request() {
    let (plan, outside) = setting(RUNBOOK, 1);
    let identity = Identity { job: "e-run".to_owned(), dry_run: true, ..Identity::default() };
    let store = Cluster { outside: Arc::clone(&outside), seen: 0 };
    let mut engine = Engine::new(plan, identity, store, Devices(Arc::clone(&outside)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let result = std::pin::pin!(engine.run()).poll(&mut context);
    assert_eq!(result, std::task::Poll::Ready(Ok(Phase::Succeeded)));
    let outside = outside.lock().unwrap();
    assert_eq!(outside.device, initial());
    assert!(outside.done.is_empty());
    assert!(outside.stored.status.steps[0].message.contains("/a/x is 0"), "{}", outside.stored.status.steps[0].message);
}

#[test]
fn a_halt_keeps_the_changes_and_says_so() {
    let runbook = RUNBOOK.replace("timeout: 24h", "timeout: 24h\nonFailure: halt");
    for fuse in 0..60 {
        let (plan, outside) = setting(&runbook, 1);
        outside.lock().unwrap().fuse = Some(fuse);
        let phase = run(&plan, &outside);
        let outside = outside.lock().unwrap();
        if phase == Phase::Failed && outside.device != initial() {
            assert!(
                outside.stored.status.message.contains("these changes stay: "),
                "{}",
                outside.stored.status.message
            );
        }
        assert!(phase != Phase::Succeeded || outside.device == wanted());
    }
}

#[test]
fn a_secret_that_would_have_to_be_kept_stops_the_step() {
    let runbook = RUNBOOK.replace("path: /a/x, value: 1", "path: /a/password, value: 1");
    let (plan, outside) = setting(&runbook, 1);
    outside.lock().unwrap().device.insert("/a/password".to_owned(), json!("hunter2"));
    assert_eq!(run(&plan, &outside), Phase::Failed);
    let outside = outside.lock().unwrap();
    assert!(outside.done.is_empty());
    let text = serde_json::to_string(&outside.stored.status).unwrap();
    assert!(text.contains("rollback of mode step or none") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_open_attempt_is_waited_for() {
    let (plan, outside) = setting(RUNBOOK, 1);
    let mut status = outside.lock().unwrap().stored.status.clone();
    status.steps.push(StepRecord { started_at: 1_000, deadline: 1_100, ..StepRecord::default() });
    assert_eq!(machine::lost(&plan, &status, "e-undo", 5_000, 99), Lost::Wait(1));
    assert!(matches!(machine::lost(&plan, &status, "e-undo", 5_000, 100), Lost::Write(_)));
    // Of a step that changes nothing nothing can be under way: the third one only waits.
    let done = StepRecord { phase: StepPhase::Succeeded, ..StepRecord::default() };
    status.steps = vec![done.clone(), done, StepRecord { deadline: 1_100, ..StepRecord::default() }];
    assert!(matches!(machine::lost(&plan, &status, "e-undo", 5_000, 0), Lost::Write(_)));
}

/// The object is taken away by force, finalizer and all, at any moment.
#[test]
fn an_execution_that_is_gone_is_loud_in_the_audit() {
    for gone_at in 1..30 {
        let (plan, outside) = setting(RUNBOOK, 1);
        outside.lock().unwrap().gone_at = Some(gone_at);
        let identity = Identity { uid: "u".to_owned(), job: "e-run".to_owned(), ..Identity::default() };
        let store = Cluster { outside: Arc::clone(&outside), seen: 0 };
        let mut engine = Engine::new(plan, identity, store, Devices(Arc::clone(&outside)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let result = std::pin::pin!(engine.run()).poll(&mut context);
        let outside = outside.lock().unwrap();
        if result == std::task::Poll::Ready(Ok(Phase::Succeeded)) {
            assert_eq!(outside.device, wanted());
            return;
        }
        assert_eq!(result, std::task::Poll::Ready(Err(Stop::Gone)), "gone at effect {gone_at}");
        let Some(last) = outside.emitted.last() else { continue };
        assert_eq!(last.event, "execution-gone", "gone at effect {gone_at}");
        if outside.device != initial() {
            assert!(
                last.message.contains("THESE CHANGES STAY: ") && last.message.contains("/a/x was 0"),
                "{}",
                last.message
            );
        }
    }
    unreachable!("the execution never came to its end");
}
