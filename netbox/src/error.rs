//! Why a refresh failed, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A refresh that failed. The snapshot from before stays in use.
#[derive(Debug, thiserror::Error)]
pub enum NetBoxError {
    #[error("netbox.{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    Unreadable { key: &'static str, path: PathBuf, source: io::Error },
    #[error("netbox.ca_file: {} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "netbox.ca_file: this system's certificates cannot be loaded: {0}; name a file with the authorities to trust"
    )]
    SystemCertificates(io::Error),
    #[error("the token holds characters that no token has: put NetBox's token alone into netbox.token_file")]
    TokenText,
    #[error("cannot reach {url}: {cause}; check netbox.url, the network between and, for https, netbox.ca_file")]
    Unreachable { url: String, cause: String },
    #[error("no whole answer to {path} within {after:?}: raise netbox.timeout_ms or lower netbox.page_size")]
    TimedOut { path: String, after: Duration },
    #[error("the answer to {path} broke off: {cause}")]
    BrokeOff { path: String, cause: String },
    #[error(
        "NetBox refuses the token ({status} to {path}: {detail}): put a valid one that may view everything into \
         netbox.token_file or NETBOX_API_TOKEN"
    )]
    Token { status: u16, path: String, detail: String },
    #[error("NetBox answers {status} to {path}: {detail}")]
    Status { status: u16, path: String, detail: String },
    #[error("the answer to {path} has more than {limit} bytes: lower netbox.page_size")]
    TooLarge { path: String, limit: usize },
    #[error("the answer to {path} is none of NetBox's: {source}; check that netbox.url leads to NetBox")]
    NotNetBox { path: String, source: serde_json::Error },
    #[error("the pages of {path} do not follow each other: is there a cache before NetBox that ignores the query?")]
    Pages { path: String },
    #[error(
        "{kind} went from {before} to {after}, more than netbox.max_shrink ({max_shrink}) allows: check the token's \
         permissions; if it is right, raise max_shrink for one refresh"
    )]
    Shrunk { kind: &'static str, before: usize, after: usize, max_shrink: f64 },
}

impl NetBoxError {
    /// All reasons there are.
    pub const REASONS: [&'static str; 9] =
        ["configuration", "unreachable", "timeout", "broke_off", "token", "status", "answer", "pages", "shrunk"];

    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NoCertificate { .. } | Self::SystemCertificates(_) | Self::TokenText => {
                "configuration"
            }
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timeout",
            Self::BrokeOff { .. } => "broke_off",
            Self::Token { .. } => "token",
            Self::Status { .. } => "status",
            Self::TooLarge { .. } | Self::NotNetBox { .. } => "answer",
            Self::Pages { .. } => "pages",
            Self::Shrunk { .. } => "shrunk",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::BrokeOff { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
