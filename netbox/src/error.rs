//! Why a refresh failed, and what to do about it.

use std::time::Duration;

use helios_web::secret::SecretError;
use helios_web::tls::TlsError;

helios_metrics::label_set! {
    /// Why refreshes fail.
    pub enum Reason {
        /// A file with a certificate or a token.
        Configuration = "configuration",
        /// No connection to NetBox.
        Unreachable = "unreachable",
        /// No whole answer within `netbox.timeout_ms`.
        Timeout = "timeout",
        /// The connection ended in the middle of an answer.
        BrokeOff = "broke_off",
        /// NetBox refuses the token.
        Token = "token",
        /// NetBox answered with another status than 200.
        Status = "status",
        /// The answer does not have the form of NetBox's answers.
        Answer = "answer",
        /// The pages of a list do not follow each other.
        Pages = "pages",
        /// Far fewer objects than before.
        Shrunk = "shrunk",
    }
}

/// A refresh that failed. The snapshot from before stays in use.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum NetBoxError {
    #[error("netbox.{0}")]
    Tls(#[from] TlsError),
    #[error("netbox.{0}")]
    Secret(#[from] SecretError),
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
    #[error("netbox.url leads to Nautobot {version}, which has another API: helios reads NetBox 3.7 and later")]
    Nautobot { version: String },
    #[error(
        "the pages of {path} do not follow each other: is there a cache in front of NetBox that ignores the query?"
    )]
    Pages { path: String },
    #[error(
        "{kind} went from {before} to {after}, more than netbox.max_shrink ({max_shrink}) allows: check the token's \
         permissions; if it is right, raise max_shrink for one refresh"
    )]
    Shrunk { kind: &'static str, before: usize, after: usize, max_shrink: f64 },
}

impl NetBoxError {
    /// The metric label.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Tls(_) | Self::Secret(_) => Reason::Configuration,
            Self::Unreachable { .. } => Reason::Unreachable,
            Self::TimedOut { .. } => Reason::Timeout,
            Self::BrokeOff { .. } => Reason::BrokeOff,
            Self::Token { .. } => Reason::Token,
            Self::Status { .. } => Reason::Status,
            Self::TooLarge { .. } | Self::NotNetBox { .. } | Self::Nautobot { .. } => Reason::Answer,
            Self::Pages { .. } => Reason::Pages,
            Self::Shrunk { .. } => Reason::Shrunk,
        }
    }

    /// Tells failures apart that are logged separately: 500 and 502 are two.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Status { status, .. } | Self::Token { status, .. } => format!("{} {status}", self.reason().name()),
            Self::Shrunk { kind, .. } => format!("{} {kind}", self.reason().name()),
            _ => self.reason().name().to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_know_anew_is_another_cause() {
        let status = |status| NetBoxError::Status { status, path: "status".into(), detail: String::new() }.cause();
        let causes = [status(500), status(502), status(302)];
        assert_eq!(causes, ["status 500", "status 502", "status 302"]);
        let shrunk = |kind, after| NetBoxError::Shrunk { kind, before: 100, after, max_shrink: 0.3 }.cause();
        assert_ne!(shrunk("devices", 1), shrunk("sites", 1));
        assert_eq!(shrunk("devices", 1), shrunk("devices", 2), "the same one is not told again");
    }
}
