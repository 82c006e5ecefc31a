//! A web server that answers every request with what a test tells it to.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::{self, Request};

/// The server, gone with the process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Server {
    /// Starts on a free port of loopback, with status 200.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(body: &str) -> Self {
        let answer = Arc::new(Mutex::new((200, body.to_owned())));
        let shared = Arc::clone(&answer);
        let serve = move |mut stream: TcpStream| {
            Request::read(&mut BufReader::new(stream.try_clone().ok()?))?;
            let (status, body) = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").ok()
        };
        Self { address: http::serve(serve), answer }
    }

    /// Its address with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_owned());
    }
}
