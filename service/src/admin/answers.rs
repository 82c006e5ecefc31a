//! Answers that clients have not read to their end: how much memory they hold.
//!
//! The metrics of thousands of exporters are some MiB, and a client that asks for them and does not read holds its copy of
//! them. hyper drops an answer when the kernel has all of it; until then it counts here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;

/// Answers up to this size are not counted: one for each connection is 16 MiB.
const SMALL_OCTETS: usize = 64 << 10;

/// How long the end of a connection may take to give its answer back.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// All answers that are being read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Unread>);

#[derive(Debug, Default)]
struct Unread {
    octets: AtomicUsize,
    fewer: Notify,
}

/// Whether an answer has been read to its end.
#[derive(Debug, Default)]
pub(crate) struct Reading(Weak<()>);

impl Reading {
    /// Whether it has not.
    pub(crate) fn goes_on(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// The octets of one answer.
struct Answer {
    octets: Bytes,
    unread: Arc<Unread>,
    _reading: Arc<()>,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.unread.octets.fetch_sub(self.octets.len(), Ordering::Relaxed);
        self.unread.fewer.notify_waiters();
    }
}

impl Answers {
    /// Counts an answer until it has been read. If all of them are more than `max` octets, `end_one` ends a connection that
    /// has not read its own yet; where it finds none, the client is told to come again.
    pub(crate) async fn count(&self, answer: Response, max: usize, end_one: impl Fn() -> bool) -> (Response, Reading) {
        let (parts, body) = answer.into_parts();
        let Ok(octets) = axum::body::to_bytes(body, usize::MAX).await else {
            return (StatusCode::INTERNAL_SERVER_ERROR.into_response(), Reading::default());
        };
        if octets.len() <= SMALL_OCTETS {
            return (Response::from_parts(parts, Body::from(octets)), Reading::default());
        }
        loop {
            // From here on, so that an answer that is given back at once is not missed.
            let mut fewer = std::pin::pin!(self.0.fewer.notified());
            fewer.as_mut().enable();
            if self.take(octets.len(), max) {
                break;
            }
            if !end_one() {
                let why = "other clients are still reading their answers: try again in a second\n";
                return ((StatusCode::SERVICE_UNAVAILABLE, why).into_response(), Reading::default());
            }
            _ = tokio::time::timeout(GIVING_BACK, fewer).await;
        }
        let reading = Arc::new(());
        let goes_on = Reading(Arc::downgrade(&reading));
        let answer = Answer { octets, unread: Arc::clone(&self.0), _reading: reading };
        (Response::from_parts(parts, Body::from(Bytes::from_owner(answer))), goes_on)
    }

    /// Takes so many octets if there is room for them. An answer that is larger than all of the room has it for itself.
    fn take(&self, octets: usize, max: usize) -> bool {
        let with = |taken: usize| (taken == 0 || taken + octets <= max).then_some(taken + octets);
        self.0.octets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
    }
}
