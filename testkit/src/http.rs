//! What the web servers of tests share: a port of loopback, and the head of a request.

use std::io::BufRead;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Serves every connection on a thread of its own, as long as the process lives.
///
/// # Panics
/// When there is no free port.
pub fn serve(handle: impl Fn(TcpStream) -> Option<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An answer is written in pieces: each would wait 40 ms for the acknowledgement of the one before.
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let handle = Arc::clone(&handle);
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// What a server wants to know of a request.
#[derive(Debug, Default)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header `Authorization`; empty if there is none.
    pub authorization: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// Whether the client wants the connection closed after it.
    pub last: bool,
}

impl Request {
    /// Reads up to the end of the head; `None` when the client has gone.
    pub fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut request = Self { method, target, ..Self::default() };
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { return Some(request) };
            if name.eq_ignore_ascii_case("authorization") {
                value.clone_into(&mut request.authorization);
            }
            request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
            request.last |= name.eq_ignore_ascii_case("connection") && value == "close";
        }
    }

    /// The value of a header, by its name in small letters; empty where the client did not send it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}
