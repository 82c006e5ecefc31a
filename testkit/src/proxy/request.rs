//! As much of HTTP/1.1 as a proxy for one client and one server needs (RFC 9112).

use std::io::{self, ErrorKind, Read};

/// Helios sends heads of a few kilobytes: statement and settings are in the address.
const HEAD_MAX: usize = 1 << 20;

/// A request of which the head is read.
#[derive(Debug)]
pub(super) struct Request {
    /// With `Connection: close`, so that the server ends the connection behind its answer.
    pub head: Vec<u8>,
    insert: bool,
    length: Length,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy)]
enum Length {
    Octets(usize),
    Chunked,
}

impl Request {
    /// Reads up to the empty line; `None` if the client leaves without a word.
    pub(super) fn read_head(client: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let mut octet = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match client.read(&mut octet) {
                Ok(0) => return Ok(None),
                Ok(_) => head.extend(octet),
                Err(error) if super::ended(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
            if head.len() > HEAD_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let (address, fields) = text.split_once("\r\n").unwrap_or((&text, ""));
        let field = |name: &str| {
            let found = fields.lines().filter_map(|line| line.split_once(':'));
            found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
        };
        let length = match field("transfer-encoding") {
            Some(_) => Length::Chunked,
            None => Length::Octets(field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)),
        };
        let kept = fields.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let kept: Vec<&str> = kept.filter(|line| !line.is_empty()).collect();
        let head = format!("{address}\r\n{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).into_bytes();
        Ok(Some(Self { head, insert: address.contains("query=INSERT"), length }))
    }

    /// Whether the statement is an insert whose rows are the body.
    pub(super) fn is_insert(&self) -> bool {
        self.insert
    }

    /// The body as it travels, chunks and all.
    pub(super) fn read_body(&self, client: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        match self.length {
            Length::Octets(length) => {
                body.resize(length, 0);
                client.read_exact(&mut body)?;
            }
            Length::Chunked => while read_chunk(client, &mut body)? > 0 {},
        }
        Ok(body)
    }
}

/// Appends one chunk with its frame and returns its size; 0 is the last one.
fn read_chunk(client: &mut impl Read, body: &mut Vec<u8>) -> io::Result<usize> {
    let begin = body.len();
    while !body[begin..].ends_with(b"\r\n") {
        let mut octet = [0];
        client.read_exact(&mut octet)?;
        body.extend(octet);
    }
    let size = std::str::from_utf8(&body[begin..]).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
    let size = size.ok_or(ErrorKind::InvalidData)?;
    let end = body.len() + size + 2;
    let at = body.len();
    body.resize(end, 0);
    client.read_exact(&mut body[at..])?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> (Request, &str) {
        let mut rest = text.as_bytes();
        let request = Request::read_head(&mut rest).unwrap().unwrap();
        (request, &text[text.len() - rest.len()..])
    }

    #[test]
    fn an_insert_is_told_by_its_address_and_asked_to_end_its_connection() {
        let (insert, _) =
            request("POST /?query=INSERT+INTO+t.flows HTTP/1.1\r\nConnection: keep-alive\r\nA: b\r\n\r\n");
        assert!(insert.is_insert());
        let head = String::from_utf8(insert.head).unwrap();
        assert!(head.ends_with("\r\nA: b\r\nConnection: close\r\n\r\n") && !head.contains("keep-alive"), "{head}");
        assert!(!request("POST /?x=1 HTTP/1.1\r\n\r\n").0.is_insert());
    }

    #[test]
    fn a_body_ends_by_its_length_or_with_its_last_chunk() {
        let (by_length, body) = request("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcdef");
        assert_eq!(by_length.read_body(&mut body.as_bytes()).unwrap(), b"abc");
        let (chunked, body) = request("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nrest");
        assert_eq!(chunked.read_body(&mut body.as_bytes()).unwrap(), b"2\r\nab\r\n0\r\n\r\n");
        let (short, _) = request("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
        assert!(short.read_body(&mut &b"ab"[..]).is_err());
    }
}
