//! ClickHouse's errors as one line that says what to do.

use std::error::Error as _;

use clickhouse::error::Error;

use crate::SinkConfig;
use crate::error;
use crate::migrate::MigrateError;

/// Says why a statement failed and what to do: check the login, create the tables, start the server.
pub fn question(config: &SinkConfig, error: &Error) -> String {
    let SinkConfig { url, user, database, .. } = config;
    match error::code(error) {
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
        Some(192 | 193 | 194 | 516) => {
            format!("ClickHouse at {url} refuses the login of user {user}: check clickhouse.user and the password")
        }
        // UNKNOWN_TABLE, UNKNOWN_DATABASE
        Some(60 | 81) => format!(
            "ClickHouse at {url} has no flows in database {database}: run `helios migrate`, or name another database \
             with clickhouse.database"
        ),
        // ACCESS_DENIED, READONLY
        Some(497 | 164) => format!("ClickHouse at {url} does not allow user {user} to do this: {}", words(error)),
        Some(_) => format!("ClickHouse at {url} refused: {}", words(error)),
        None => {
            format!("cannot reach ClickHouse at {url}: {}; is it running, and is that its HTTP port?", words(error))
        }
    }
}

/// Says why a migration failed, with its step if there was one.
pub fn migration(config: &SinkConfig, error: &MigrateError) -> String {
    match error {
        MigrateError::Newer { .. }
        | MigrateError::Missing { .. }
        | MigrateError::Unchanged { .. }
        | MigrateError::Type { .. } => error.to_string(),
        MigrateError::Look(source) => question(config, source),
        MigrateError::Step { purpose, source } => format!("{purpose}: {}", question(config, source)),
    }
}

/// The innermost cause, without what ClickHouse adds for its developers.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    let text = text.strip_prefix("bad response: ").unwrap_or(&text);
    let text = text.split(" (version ").next().unwrap_or(text);
    text.lines().next().unwrap_or(text).trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(answer: &str) -> String {
        question(&SinkConfig::default(), &Error::BadResponse(answer.to_owned()))
    }

    #[test]
    fn the_line_says_what_to_do() {
        let missing = "Code: 60. DB::Exception: Table helios.flows does not exist. (UNKNOWN_TABLE) (version 26.9.1)";
        assert!(
            explained(missing).ends_with("run `helios migrate`, or name another database with clickhouse.database")
        );
        let denied = "Code: 516. DB::Exception: default: Authentication failed: password is incorrect";
        assert!(explained(denied).contains("refuses the login of user default"));
    }

    #[test]
    fn clickhouses_words_lose_what_is_for_its_developers() {
        let memory = "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.9.1.1 (official build))\n";
        assert_eq!(
            explained(memory),
            "ClickHouse at http://127.0.0.1:8123 refused: Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
        );
    }

    #[test]
    fn a_network_error_is_told_by_its_innermost_cause() {
        let refused = std::io::Error::other("Connection refused (os error 111)");
        let error = Error::Network(Box::new(std::io::Error::other(refused)));
        assert!(
            question(&SinkConfig::default(), &error).contains("8123: Connection refused (os error 111); is it running")
        );
    }
}
