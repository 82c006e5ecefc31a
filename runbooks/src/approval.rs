//! Which decisions count, and whether they are enough.
//!
//! The API server proves two names by admission policies (deploy/runbooks/policies.yaml): `approver` of a RunbookApproval
//! and `requestedBy` of an execution are the users who created the objects. Everything else is checked here.

use std::collections::BTreeSet;

use crate::resource::{ApprovalRules, ApprovalSpec, Approved, Decision};

/// A RunbookApproval as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Name of the object.
    pub name: String,
    /// What was decided on what.
    pub spec: ApprovalSpec,
}

/// The execution that is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Name of the execution.
    pub name: &'a str,
    /// metadata.uid of the execution.
    pub uid: &'a str,
    /// Name of its runbook.
    pub runbook: &'a str,
    /// User who requested the execution; empty if it does not say so.
    pub requested_by: &'a str,
}

/// The number of different people who must approve. One more is needed if the execution does not say who requested it: of two
/// people, at least one is not the requester.
pub fn wanted(rules: &ApprovalRules, requested_by: &str) -> usize {
    let people = usize::try_from(rules.min_approvals).unwrap_or(1).max(1);
    if requested_by.is_empty() && !rules.allow_self_approval { people + 1 } else { people }
}

/// The votes that count for an execution, in the order of their names: one for each person and step. A rejection counts more
/// than an approval of the same person.
pub fn counted(votes: &[Vote], subject: Subject<'_>, rules: &ApprovalRules) -> Vec<Approved> {
    let mut votes: Vec<&Vote> = votes.iter().filter(|vote| counts(&vote.spec, subject, rules)).collect();
    votes.sort_by_key(|vote| (vote.spec.decision == Decision::Approve, &vote.name));
    let mut seen = BTreeSet::new();
    votes.retain(|vote| seen.insert((&vote.spec.approver, &vote.spec.step)));
    votes
        .into_iter()
        .map(|vote| Approved {
            name: vote.name.clone(),
            by: vote.spec.approver.clone(),
            step: vote.spec.step.clone().unwrap_or_default(),
            yes: vote.spec.decision == Decision::Approve,
        })
        .collect()
}

fn counts(spec: &ApprovalSpec, subject: Subject<'_>, rules: &ApprovalRules) -> bool {
    let about = spec.execution_ref.name == subject.name
        && spec.execution_ref.uid == subject.uid
        && spec.runbook_ref.name == subject.runbook;
    let own = spec.approver == subject.requested_by;
    // The person who asked may always take it back.
    about && !spec.approver.is_empty() && (spec.decision == Decision::Reject || !own || rules.allow_self_approval)
}

/// What the votes on the whole execution mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// So many more approvals are needed.
    Open(usize),
    /// The execution may begin.
    Approved,
    /// This user rejected it.
    Rejected(String),
}

/// What the votes on the whole execution mean; those on single steps do not count.
pub fn verdict(approvals: &[Approved], rules: &ApprovalRules, requested_by: &str) -> Verdict {
    let whole = || approvals.iter().filter(|vote| vote.step.is_empty());
    if let Some(no) = whole().find(|vote| !vote.yes) {
        return Verdict::Rejected(no.by.clone());
    }
    match wanted(rules, requested_by).saturating_sub(whole().count()) {
        0 => Verdict::Approved,
        more => Verdict::Open(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{ExecutionReference, Reference};

    const SUBJECT: Subject<'static> = Subject { name: "e", uid: "u", runbook: "r", requested_by: "alice" };

    fn vote(name: &str, approver: &str, decision: Decision) -> Vote {
        let spec = ApprovalSpec {
            execution_ref: ExecutionReference { name: "e".into(), uid: "u".into() },
            runbook_ref: Reference { name: "r".into() },
            approver: approver.into(),
            decision,
            step: None,
            reason: None,
        };
        Vote { name: name.into(), spec }
    }

    fn judged(votes: &[Vote], subject: Subject<'_>, rules: &ApprovalRules) -> Verdict {
        verdict(&counted(votes, subject, rules), rules, subject.requested_by)
    }

    #[test]
    fn another_person_has_to_agree() {
        let rules = ApprovalRules::default();
        let own = [vote("a", "alice", Decision::Approve)];
        assert_eq!(judged(&own, SUBJECT, &rules), Verdict::Open(1));
        assert_eq!(judged(&[vote("a", "bob", Decision::Approve)], SUBJECT, &rules), Verdict::Approved);
        let lonely = ApprovalRules { allow_self_approval: true, ..rules };
        assert_eq!(judged(&own, SUBJECT, &lonely), Verdict::Approved);
    }

    #[test]
    fn an_unknown_requester_needs_two_people() {
        let rules = ApprovalRules::default();
        let unknown = Subject { requested_by: "", ..SUBJECT };
        let votes = [vote("a", "alice", Decision::Approve), vote("b", "alice", Decision::Approve)];
        assert_eq!(judged(&votes, unknown, &rules), Verdict::Open(1));
        let votes = [vote("a", "alice", Decision::Approve), vote("b", "bob", Decision::Approve)];
        assert_eq!(judged(&votes, unknown, &rules), Verdict::Approved);
    }

    #[test]
    fn one_no_ends_it_also_after_the_own_yes() {
        let rules = ApprovalRules { min_approvals: 2, ..ApprovalRules::default() };
        let votes = [
            vote("a", "bob", Decision::Approve),
            vote("b", "carol", Decision::Approve),
            vote("c", "bob", Decision::Reject),
        ];
        assert_eq!(judged(&votes, SUBJECT, &rules), Verdict::Rejected("bob".into()));
        assert_eq!(judged(&[vote("c", "alice", Decision::Reject)], SUBJECT, &rules), Verdict::Rejected("alice".into()));
    }

    #[test]
    fn a_vote_on_something_else_does_not_count() {
        let rules = ApprovalRules::default();
        let mut other = vote("a", "bob", Decision::Approve);
        other.spec.execution_ref.uid = "older".into();
        let mut runbook = vote("b", "bob", Decision::Approve);
        runbook.spec.runbook_ref.name = "harmless".into();
        let mut step = vote("c", "bob", Decision::Approve);
        step.spec.step = Some("second".into());
        assert_eq!(judged(&[other, runbook, step], SUBJECT, &rules), Verdict::Open(1));
    }
}
