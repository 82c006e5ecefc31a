//! What ClickHouse's errors mean: told apart by its error codes, since the HTTP status says little (it answers 500 to
//! most of them).

use clickhouse::error::Error;

helios_metrics::label_set! {
    /// What to do about an error.
    pub enum Class {
        /// It may work the next time: the network, an overloaded or restarting server.
        Transient = "transient",
        /// This replica cannot store anything now, another one may: read-only, without its Keeper.
        Replica = "replica",
        /// It will not work before somebody changes something: password, permission, missing table, quota.
        Configuration = "configuration",
        /// The bytes did not arrive whole, or were not right in the first place: a few more attempts tell.
        Unreadable = "unreadable",
        /// This block will never be taken.
        Refused = "refused",
    }
}

impl Class {
    /// Whether another replica of the same shard may take what this one did not. A missing table or a password may
    /// be one replica's trouble alone; what is wrong about the bytes is wrong everywhere.
    pub const fn is_of_replica(self) -> bool {
        matches!(self, Self::Transient | Self::Replica | Self::Configuration)
    }

    /// Tells by the error code what to do.
    pub fn of(error: &Error) -> Self {
        match code(error) {
            // TABLE_IS_READ_ONLY, NO_ZOOKEEPER, UNEXPECTED_ZOOKEEPER_ERROR, NO_REPLICA_HAS_PART, ALL_CONNECTION_TRIES_FAILED,
            // TOO_FEW_LIVE_REPLICAS, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE, UNKNOWN_STATUS_OF_INSERT, KEEPER_EXCEPTION
            Some(242 | 225 | 244 | 234 | 279 | 285 | 286 | 319 | 999) => Self::Replica,
            // UNKNOWN_TABLE, UNKNOWN_DATABASE, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_SETTING, READONLY,
            // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, QUOTA_EXCEEDED, ACCESS_DENIED,
            // SETTING_CONSTRAINT_VIOLATION, AUTHENTICATION_FAILED, TABLE_IS_PERMANENTLY_READ_ONLY (a setting of the table, while
            // 242 is a replica's trouble with its Keeper)
            Some(60 | 81 | 16 | 47 | 115 | 164 | 192 | 193 | 194 | 195 | 201 | 497 | 452 | 516 | 774) => {
                Self::Configuration
            }
            // CANNOT_READ_ALL_DATA, CHECKSUM_DOESNT_MATCH
            Some(33 | 40) => Self::Unreadable,
            // What the data itself is wrong for: TYPE_MISMATCH, CANNOT_PARSE_*, INCORRECT_DATA, UNKNOWN_ELEMENT_OF_ENUM,
            // ILLEGAL_COLUMN, BAD_ARGUMENTS
            Some(53 | 6 | 25 | 26 | 27 | 36 | 38 | 41 | 44 | 117 | 691) => Self::Refused,
            // Among others TIMEOUT_EXCEEDED (159), TOO_MANY_SIMULTANEOUS_QUERIES (202), MEMORY_LIMIT_EXCEEDED (241),
            // NOT_ENOUGH_SPACE (243), TOO_MANY_PARTS (252), and whatever is no answer of ClickHouse: network, time-out,
            // a load balancer's 502 and 503.
            _ => Self::Transient,
        }
    }
}

/// An error with its innermost cause: "cannot connect" by itself does not tell a refused connection from a name that
/// does not resolve or a certificate that is not trusted.
pub fn with_cause(error: &(dyn std::error::Error + 'static)) -> String {
    // The HTTP client's words for a connection that did not come about.
    let plain = |text: String| text.replace("client error (Connect)", "cannot connect");
    let text = plain(error.to_string());
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string);
    let innermost = innermost.map(plain);
    match innermost {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

/// ClickHouse's error code in an answer, which begins with it (`Code: 241. DB::Exception: ...`). `None` for a text that is
/// cut within the code, since the begin of a code is another code, and for one that quotes an exception further inside.
pub fn code(error: &Error) -> Option<u32> {
    let Error::BadResponse(text) = error else { return None };
    let text = text.trim_start();
    // The client makes this text of the header where there is no body.
    if let Some(code) = text.strip_prefix("Code: ").and_then(|rest| rest.parse().ok()) {
        return Some(code);
    }
    exception_code(text)?.parse().ok()
}

/// Whether a text is an exception of ClickHouse from its first character on.
pub(crate) fn begins_with_exception(text: &str) -> bool {
    exception_code(text).is_some()
}

fn exception_code(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Code: ")?;
    let (code, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    (rest.starts_with(". DB::") || rest.starts_with(". Coordination::")).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MigrateError;

    fn answer(text: &str) -> Error {
        Error::BadResponse(text.into())
    }

    #[test]
    fn errors_are_told_apart_by_their_code() {
        let memory = answer("Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)");
        assert_eq!((code(&memory), Class::of(&memory)), (Some(241), Class::Transient));
        let class = |text: &str| Class::of(&answer(text));
        assert_eq!(class("Code: 252. DB::Exception: Too many parts"), Class::Transient);
        assert_eq!(class("Code: 242. DB::Exception: Table is in readonly mode"), Class::Replica);
        assert_eq!(class("Code: 774. DB::Exception: Table is in readonly mode"), Class::Configuration);
        assert_eq!(class("Code: 999. Coordination::Exception: Session expired"), Class::Replica);
        assert_eq!(class("Code: 516. DB::Exception: default: Authentication failed"), Class::Configuration);
        assert_eq!(class("Code: 60. DB::Exception: Table helios.flows does not exist"), Class::Configuration);
        assert_eq!(class("Code: 16. DB::Exception: No such column"), Class::Configuration);
        assert_eq!(class("Code: 201. DB::Exception: Quota for user has been exceeded"), Class::Configuration);
        assert_eq!(class("Code: 33. DB::Exception: Cannot read all data"), Class::Unreadable);
        assert_eq!(class("Code: 691. DB::Exception: Unknown value for enum"), Class::Refused);
        assert_eq!(class("502 Bad Gateway"), Class::Transient);
        assert_eq!(Class::of(&Error::TimedOut), Class::Transient);
    }

    #[test]
    fn a_network_error_is_told_with_its_innermost_cause() {
        let refused = std::io::Error::other("Connection refused (os error 111)");
        let error = MigrateError::Look(Error::Network(Box::new(std::io::Error::other(refused))));
        let text = with_cause(&error);
        assert!(text.starts_with("cannot look at the schema: network error"), "{text}");
        assert_eq!(text.matches("Connection refused (os error 111)").count(), 1, "{text}");
        let words = Error::Network(Box::new(std::io::Error::other("client error (Connect)")));
        assert_eq!(with_cause(&words), "network error: cannot connect");
        assert_eq!(with_cause(&answer("Code: 60.")), answer("Code: 60.").to_string());
    }

    #[test]
    fn what_is_wrong_about_the_bytes_is_no_reason_to_ask_another_replica() {
        let elsewhere: Vec<_> = Class::ALL.into_iter().filter(|class| class.is_of_replica()).map(Class::name).collect();
        assert_eq!(elsewhere, ["transient", "replica", "configuration"]);
    }
}
