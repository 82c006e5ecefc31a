//! The one HTTP client of Helios: for NetBox, lists of networks, Prometheus, Kubernetes and servers that runbooks name.
//!
//! Start at [`Client::get`]. It trusts the system's certificate authorities and those of a file ([`tls`]), sends a token
//! that [`secret`] reads anew, limits time and size of an answer, follows redirects if the caller wants that, and makes
//! conditional requests for lists that are polled. [`Backoff`] spaces the attempts, [`address`] checks addresses and shows them
//! without what is secret in them.
//!
//! The client is asynchronous, because NetBox is read by many requests at the same time and ClickHouse's own client takes its
//! [`tls::connector`]. A thread without a runtime waits with [`block_on`].

#![deny(missing_docs, unreachable_pub)]

pub mod address;
pub mod tls;
pub mod secret;
mod backoff;
mod client;

pub use backoff::Backoff;
pub use bytes::Bytes;
pub use client::{Answer, Client, Content, Request, RequestError, Settings, Validators, retry_after};
pub use hyper::{Method, StatusCode, header};

/// Waits for a request on a thread that has no runtime.
///
/// # Errors
/// When the system has no file descriptors left.
pub fn block_on<T>(request: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(request))
}
