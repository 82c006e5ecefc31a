//! Extensions of requests (gnmi_ext.proto of openconfig/gnmi v0.14): commit confirmed. Of any other extension a receiver
//! knows only that it is there.

/// An extension of a request or an answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Extension {
    /// `None` for an extension that is not among those here.
    #[prost(oneof = "extension::Ext", tags = "4")]
    pub ext: Option<extension::Ext>,
}

/// What an [`Extension`] may hold.
pub mod extension {
    /// The extensions that are read.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    #[expect(missing_docs, reason = "the variants are named by their types")]
    pub enum Ext {
        #[prost(message, tag = "4")]
        Commit(super::Commit),
    }
}

/// Makes the device take back a Set unless it is confirmed in time (gNMI Commit Confirmed Extension 0.1.0).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Commit {
    /// The client's name of the commit; a commit without one is malformed.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What to do.
    #[prost(oneof = "commit::Action", tags = "2, 3, 4, 5")]
    pub action: Option<commit::Action>,
}

/// What belongs to a [`Commit`].
pub mod commit {
    /// What to do with a commit.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Action {
        /// Does the operations of the request, and waits for the confirmation (§3.2.1).
        #[prost(message, tag = "2")]
        Commit(super::CommitRequest),
        /// Keeps what was done (§3.2.2).
        #[prost(message, tag = "3")]
        Confirm(super::CommitConfirm),
        /// Takes back what was done (§3.2.3).
        #[prost(message, tag = "4")]
        Cancel(super::CommitCancel),
        /// Changes the time that is left (§3.2.4).
        #[prost(message, tag = "5")]
        SetRollbackDuration(super::CommitSetRollbackDuration),
    }
}

/// Begins a commit.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitRequest {
    /// How long the device waits for the confirmation; 10 minutes without it.
    #[prost(message, optional, tag = "1")]
    pub rollback_duration: Option<Duration>,
}

/// Confirms a commit.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitConfirm {}

/// Cancels a commit.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitCancel {}

/// Gives a commit more time, or less.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitSetRollbackDuration {
    /// From now on.
    #[prost(message, optional, tag = "1")]
    pub rollback_duration: Option<Duration>,
}

/// google.protobuf.Duration.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, of the same sign.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Commit {
    /// The extension of a request.
    pub fn extension(self) -> Extension {
        Extension { ext: Some(extension::Ext::Commit(self)) }
    }

    /// The commit among a request's extensions.
    pub fn of(extensions: &[Extension]) -> Option<&Self> {
        extensions.iter().find_map(|extension| extension.ext.as_ref().map(|extension::Ext::Commit(commit)| commit))
    }
}

impl From<std::time::Duration> for Duration {
    /// Times beyond 292 billion years become that long.
    fn from(duration: std::time::Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        // Below 1e9.
        Self { seconds, nanos: duration.subsec_nanos() as i32 }
    }
}
