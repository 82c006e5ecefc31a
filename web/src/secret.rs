//! Tokens and passwords in files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use hyper::header::HeaderValue;

/// A token cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum SecretError {
    /// The file of this key cannot be read.
    #[error("{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    Unreadable { key: &'static str, path: PathBuf, source: io::Error },
    /// A header cannot carry it.
    #[error("token_file: the token holds characters that no token has; put the token alone into the file")]
    Text,
}

/// Reads the text of a file. It is read for every request, so a replaced file takes effect with the next one. `key` is the key
/// of the configuration, for errors.
///
/// # Errors
/// [`SecretError::Unreadable`].
pub fn read(key: &'static str, path: &Path) -> Result<String, SecretError> {
    fs::read_to_string(path).map_err(|source| SecretError::Unreadable { key, path: path.to_owned(), source })
}

/// The value of the header `Authorization`, which is never logged; `None` for an empty token. White space around the
/// token is left out.
///
/// # Errors
/// [`SecretError::Text`].
pub fn authorization(scheme: &str, token: &str) -> Result<Option<HeaderValue>, SecretError> {
    let token = token.trim();
    if token.is_empty() {
        return Ok(None);
    }
    let mut value = HeaderValue::from_str(&format!("{scheme} {token}")).map_err(|_| SecretError::Text)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_alone_and_kept_out_of_logs() {
        let value = authorization("Bearer", " abc\r\n").unwrap().unwrap();
        assert_eq!((value.to_str().unwrap(), value.is_sensitive()), ("Bearer abc", true));
        assert!(authorization("Bearer", "\n").unwrap().is_none());
        assert!(matches!(authorization("Bearer", "a\nb"), Err(SecretError::Text)));
    }
}
