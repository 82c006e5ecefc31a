//! Addresses of servers: which are valid, and how they are shown.

use hyper::Uri;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Checks the address of an HTTP server.
///
/// # Errors
/// What is wrong with it and what would be right; the text shows nothing secret.
pub fn check(url: &str) -> Result<Uri, String> {
    let shown = redacted(url);
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("must not contain a space or a control character, found `{shown}`"));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!("must begin with http:// or https://, found `{shown}`"));
    }
    let uri = url.parse::<Uri>().map_err(|error| format!("must be a URL, found `{shown}`: {error}"))?;
    let host = uri.authority().and_then(|authority| authority.as_str().rsplit('@').next());
    if !host.is_some_and(has_port_or_none) {
        return Err(format!("must have a number as its port, found `{shown}`; write %2F for a slash in a password"));
    }
    Ok(uri)
}

/// Whether what follows a host is a port. In `user:pass/word@host` the slash ends the host, and the port is no number.
fn has_port_or_none(host: &str) -> bool {
    let port = host.rsplit(']').next().unwrap_or(host).split_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Scheme, host and path: the address for logs and status pages, without user information, query and fragment.
pub fn place(url: &str) -> String {
    let parts = Parts::of(url);
    format!("{}{}{}", parts.scheme, parts.host, parts.path)
}

/// The address with `***` in place of user information and of the values in its query, for a configuration that is shown.
pub fn redacted(url: &str) -> String {
    let Parts { scheme, user, host, path, query } = Parts::of(url);
    let user = if user.is_some() { format!("{HIDDEN}@") } else { String::new() };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    let query =
        query.map_or(String::new(), |query| format!("?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&")));
    // With line breaks and other control characters, the address could forge lines of the log.
    format!("{scheme}{user}{host}{path}{query}").chars().flat_map(visible).collect()
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// User name and password of an address, percent-decoded as Basic authentication wants them (RFC 7617).
pub(crate) fn credentials(url: &str) -> Option<Vec<u8>> {
    let user = Parts::of(url).user.filter(|user| !user.is_empty())?;
    let user = if user.contains(':') { user.to_owned() } else { format!("{user}:") };
    let mut decoded = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| octet == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                rest = after.get(2..).unwrap_or(&[]);
            }
            None => {
                decoded.push(octet);
                rest = after;
            }
        }
    }
    Some(decoded)
}

/// The address without user information, which is sent as a header.
pub(crate) fn without_user(url: &str) -> String {
    let Parts { scheme, host, path, query, .. } = Parts::of(url);
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    format!("{scheme}{host}{path}{query}")
}

/// The parts of an address. Text that is no valid address is split as far as possible; what may be a password in it counts as
/// user information.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let url = url.split('#').next().unwrap_or("");
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
        let (scheme, rest) = match url.find("://") {
            Some(at) => url.split_at(at + "://".len()),
            None => ("", url),
        };
        let split = |rest: &'a str| rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, path) = split(rest);
        let of_authority = authority.rsplit_once('@').map(|(user, host)| (Some(user), host, path));
        let is_address = !scheme.is_empty() && has_port_or_none(authority);
        let of_text = rest.rsplit_once('@').filter(|_| !is_address).map(|(user, rest)| {
            let (host, path) = split(rest);
            (Some(user), host, path)
        });
        let (user, host, path) = of_authority.or(of_text).unwrap_or((None, authority, path));
        Self { scheme, user, host, path, query }
    }
}

/// Text that an HTTP header takes: user names and the like.
///
/// # Errors
/// What is wrong with it.
pub fn check_header(text: &str) -> Result<(), &'static str> {
    match text.chars().any(char::is_control) {
        true => Err("must not contain a line break or another control character"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_an_address_is_not_shown() {
        for (url, where_, shown) in [
            ("http://prometheus:9090", "http://prometheus:9090", "http://prometheus:9090"),
            ("https://user:secret@thanos/path/", "https://thanos/path/", "https://***@thanos/path/"),
            (
                "https://git/raw/a.csv?private_token=secret&ref=main",
                "https://git/raw/a.csv",
                "https://git/raw/a.csv?private_token=***&ref=***",
            ),
            ("https://h/x?secret#secret", "https://h/x", "https://h/x?***"),
            ("http://a:secret@b@host/", "http://host/", "http://***@host/"),
            ("user:secret@host/x", "host/x", "***@host/x"),
            ("https://user:se/cret@host:1/x", "https://host:1/x", "https://***@host:1/x"),
            ("http:/user:secret@host/x", "host/x", "***@host/x"),
            ("https://host:1/@somebody/x", "https://host:1/@somebody/x", "https://host:1/@somebody/x"),
            ("http://[::1]:1/@x", "http://[::1]:1/@x", "http://[::1]:1/@x"),
        ] {
            assert_eq!((place(url).as_str(), redacted(url).as_str()), (where_, shown));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_telling_secrets() {
        for url in [
            "ftp://a",
            "prometheus:9090",
            "http://",
            "http://a b",
            "https://h/\r\nX: y",
            "https://u:secret@h/\n",
            "http:/u:secret@h",
            "http://h:http",
            "http://[::1]:",
            "http://u:secret/secret@h",
        ] {
            let problem = check(url).unwrap_err();
            assert!(!problem.contains("secret") && !problem.contains('\n'), "{problem}");
        }
        for url in ["http://[::1]:9090/x", "https://user:secret@host/x?y=z"] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn user_information_becomes_what_basic_authentication_sends() {
        assert_eq!(credentials("https://us%40er:p%3Aw@h/").unwrap(), b"us@er:p:w");
        assert_eq!(credentials("https://user@h/").unwrap(), b"user:");
        assert_eq!(credentials("https://h/a@b"), None);
        assert_eq!(without_user("https://u:p@h/x?a=b#c"), "https://h/x?a=b");
    }
}
