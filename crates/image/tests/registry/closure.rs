//! A registry made of a closure.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A request: method, path with query, headers in lower case.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer: status line, headers, body, and after how many bytes of it the connection breaks.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) breaks_after: Option<usize>,
    /// Goes on with blanks for as long as somebody listens.
    pub(crate) endless: bool,
    /// How long each byte of the body takes.
    pub(crate) pace: Option<Duration>,
}

impl Request {
    /// Whether it shows this in `authorization`.
    pub(crate) fn shows(&self, credential: &str) -> bool {
        self.headers
            .get("authorization")
            .is_some_and(|value| value == credential)
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
            breaks_after: None,
            endless: false,
            pace: None,
        }
    }

    /// Sends a client to the token server `/token` of the same address.
    pub(crate) fn challenge(request: &Request, parameters: &str) -> Self {
        let host = &request.headers["host"];
        let realm = format!(r#"Bearer realm="http://{host}/token"{parameters}"#);
        Self::new(401, b"").header("www-authenticate", realm)
    }

    pub(crate) fn header(mut self, key: &str, value: impl Into<String>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }
}

/// Serves on loopback until the test process ends; the address.
pub(crate) fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    format!("{loopback}:{}", serve_at((loopback, 0), answer))
}

/// Serves until the test process ends; the port.
pub(crate) fn serve_at(
    address: (IpAddr, u16),
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(stream.unwrap(), &*answer));
        }
    });
    port
}

/// Answers the requests of one connection.
pub(crate) fn converse(stream: impl Read + Write, answer: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        // A TLS client greets with bytes that are no line.
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return;
        };
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((key, value)) = line.trim().split_once(':') else {
                break;
            };
            headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = Request {
            method,
            path,
            headers,
            body,
        };
        let answer = answer(&request);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        if answer.endless {
            head.push_str("connection: close\r\n");
        } else if answer
            .headers
            .iter()
            .all(|(key, _)| key != "content-length")
        {
            head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
        }
        for (key, value) in &answer.headers {
            head.push_str(&format!("{key}: {value}\r\n"));
        }
        let writer = reader.get_mut();
        writer.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let body = if request.method == "HEAD" {
            &[][..]
        } else {
            &answer.body
        };
        let until = answer.breaks_after.unwrap_or(body.len());
        let until = if answer.pace.is_some() { 0 } else { until };
        // The client may have hung up on purpose.
        if writer.write_all(&body[..until]).is_err() || answer.breaks_after.is_some() {
            return;
        }
        if let Some(pace) = answer.pace {
            // Nobody sends on this channel: it is a clock.
            let (_sender, clock) = channel::<()>();
            for byte in body {
                clock.recv_timeout(pace).unwrap_err();
                if writer.write_all(&[*byte]).is_err() {
                    return;
                }
            }
            continue;
        }
        if answer.endless {
            while writer.write_all(&[b' '; 64 << 10]).is_ok() {}
            return;
        }
        drop(writer.flush());
    }
}
