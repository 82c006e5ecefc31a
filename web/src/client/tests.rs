//! Requests to a server on loopback that notes what it was asked.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use helios_testkit::http::{self, Request as Seen};

use super::*;

/// A server that answers each request with the next of `answers`, and what it was asked.
fn server(answers: &[String]) -> (SocketAddr, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, answers) = (Arc::clone(&seen), answers.to_vec());
    let address = http::serve(move |mut stream: TcpStream| {
        let request = Seen::read(&mut BufReader::new(stream.try_clone().ok()?))?;
        let mut noted = noted.lock().unwrap();
        let answer = answers.get(noted.len()).or(answers.last())?.clone();
        noted.push(request);
        drop(noted);
        stream.write_all(answer.as_bytes()).ok()
    });
    (address, seen)
}

fn reply(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn get(request: &Request<'_>, answer_bytes_max: usize) -> Result<Answer, RequestError> {
    let settings = Settings {
        url: request.url,
        ca_file: None,
        pem: Pem::default(),
        timeout: Duration::from_secs(60),
        answer_bytes_max,
    };
    crate::block_on(Client::new(&settings).unwrap().get(request)).unwrap()
}

#[test]
fn a_list_that_has_not_changed_is_not_sent_again() {
    let (address, seen) = server(&[reply("200 OK\r\nETag: \"v1\"", "list"), reply("304 Not Modified", "")]);
    let url = format!("http://{address}/list");
    let first = get(&Request { url: &url, ..Request::default() }, 100).unwrap();
    let validators = first.validators();
    let second = get(&Request { url: &url, validators: Some(&validators), ..Request::default() }, 100).unwrap();
    assert_eq!((first.body.as_slice(), first.is_unchanged(), second.is_unchanged()), (&b"list"[..], false, true));
    let seen = seen.lock().unwrap();
    assert_eq!((seen[0].header("if-none-match"), seen[1].header("if-none-match")), ("", "\"v1\""));
}

#[test]
fn a_redirect_to_another_server_gets_no_authorization() {
    let (other, elsewhere) = server(&[reply("200 OK", "here")]);
    let (address, seen) = server(&[
        reply("302 Found\r\nLocation: /moved", ""),
        reply(&format!("301 Moved\r\nLocation: http://{other}/x"), ""),
    ]);
    let url = format!("http://user:pw@{address}/list");
    let request = Request { url: &url, follow_redirects: true, ..Request::default() };
    assert_eq!(get(&request, 100).unwrap().body, b"here");
    let seen = seen.lock().unwrap();
    // "user:pw" in base64.
    let sent: Vec<(&str, &str)> =
        seen.iter().map(|request| (request.target.as_str(), request.header("authorization"))).collect();
    assert_eq!(sent, [("/list", "Basic dXNlcjpwdw=="), ("/moved", "Basic dXNlcjpwdw==")]);
    assert_eq!(elsewhere.lock().unwrap()[0].header("authorization"), "");
    // The server takes the lock for the next request.
    drop(seen);
    let stay = Request { follow_redirects: false, ..request };
    assert_eq!(get(&stay, 100).unwrap().status, 301);
}

#[test]
fn a_circle_of_redirects_ends() {
    let (address, seen) = server(&[reply("307 Temporary Redirect\r\nLocation: b", "")]);
    let url = format!("http://{address}/a");
    let request = Request { url: &url, follow_redirects: true, ..Request::default() };
    assert_eq!(get(&request, 100).unwrap_err(), RequestError::Redirects { to: format!("http://{address}/b") });
    assert_eq!(seen.lock().unwrap().len(), REDIRECTS_MAX + 1);
}

#[test]
fn an_answer_is_bounded_in_size() {
    let (address, _) = server(&[reply("200 OK", "12345")]);
    let url = format!("http://{address}/");
    let request = Request { url: &url, ..Request::default() };
    assert_eq!(get(&request, 5).unwrap().body, b"12345");
    assert_eq!(get(&request, 4).unwrap_err(), RequestError::TooLarge { limit: 4 });
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let after = Duration::from_millis(50);
    let settings = Settings { url: &url, ca_file: None, pem: Pem::default(), timeout: after, answer_bytes_max: 1 };
    let client = Client::new(&settings).unwrap();
    let error = crate::block_on(client.get(&Request { url: &url, ..Request::default() })).unwrap().unwrap_err();
    assert_eq!(error, RequestError::TimedOut { after });
}

#[test]
fn a_wait_is_seconds_or_a_date() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    let wait = |text: &str| {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        retry_after(&headers, now)
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("soon"), None);
}
