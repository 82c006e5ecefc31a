//! A web server that answers every request with what a test tells it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answer = Arc::new(Mutex::new((200, body.to_owned())));
        let shared = Arc::clone(&answer);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let (status, body) = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        Self { address, answer }
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
