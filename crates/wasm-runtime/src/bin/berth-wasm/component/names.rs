//! Host names for components, resolved without the C library.
//!
//! A static C library loads its name service modules from the root it runs in, which here is the
//! guest's: foreign native code inside the engine. So `/etc/hosts` and `/etc/resolv.conf` are read and
//! servers are asked by ourselves, as `resolv.conf(5)` says.

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use berth_sys::path::Directory;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A file of the guest's own; nobody needs one larger.
const LARGEST_FILE: u64 = 1 << 20;
/// The most a datagram answer holds; servers say so when it was not enough.
const DATAGRAM: usize = 4096;
const PORT: u16 = 53;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is no host name.
    Invalid,
    /// There is no such name, or it has no address.
    Unknown,
    /// No server answered.
    Temporary,
    /// A server refused.
    Permanent,
}

/// The addresses of a name, IPv4 first.
pub(crate) async fn resolve(name: &str) -> Result<Vec<IpAddr>, Failure> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let name = &ascii(name)?;
    if !is_host_name(name) {
        return Err(Failure::Invalid);
    }
    let known = hosts(&read("etc/hosts"), name);
    if !known.is_empty() {
        return Ok(known);
    }
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let settings = Settings::parse(&read("etc/resolv.conf"));
    let mut failure = Failure::Unknown;
    for candidate in settings.candidates(name) {
        match lookup(&settings, &candidate).await {
            Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn read(path: &str) -> String {
    let content =
        Directory::open(Path::new("/")).and_then(|root| root.read(Path::new(path), LARGEST_FILE));
    String::from_utf8_lossy(&content.unwrap_or_default()).into_owned()
}

/// A name as name servers know it: `wasi:sockets` promises that other scripts are converted (IDNA).
fn ascii(name: &str) -> Result<String, Failure> {
    if name.is_ascii() {
        return Ok(name.to_owned());
    }
    let converted = Name::from_utf8(name).map_err(|_| Failure::Invalid)?;
    Ok(converted.to_ascii())
}

fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// Every address `/etc/hosts` has for a name.
fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut addresses: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|word| word.eq_ignore_ascii_case(name))
                .then_some(address)
        })
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// `/etc/resolv.conf`.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
    wait: Duration,
    attempts: u32,
}

impl Settings {
    fn parse(text: &str) -> Self {
        let (wait, attempts) = (Duration::from_secs(5), 2);
        let mut settings = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            wait,
            attempts,
        };
        for line in text.lines() {
            let mut words = line
                .split(['#', ';'])
                .next()
                .unwrap_or_default()
                .split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => settings
                    .servers
                    .extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => settings.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| settings.set(option)),
                _ => {}
            }
        }
        settings.servers.truncate(3);
        if settings.servers.is_empty() {
            settings.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        settings
    }

    fn set(&mut self, option: &str) {
        let Some((key, value)) = option.split_once(':') else {
            return;
        };
        let Ok(value) = value.parse::<u8>() else {
            return;
        };
        match key {
            "ndots" => self.dots = value.min(15).into(),
            "timeout" => self.wait = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5).into(),
            _ => {}
        }
    }

    /// The full names to try, in order.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{name}.{}.", domain.trim_end_matches('.')))
            .collect();
        let has_enough_dots = name.matches('.').count() >= self.dots;
        names.insert(
            if has_enough_dots { 0 } else { names.len() },
            format!("{name}."),
        );
        names
    }
}

async fn lookup(settings: &Settings, name: &str) -> Result<Vec<IpAddr>, Failure> {
    let mut addresses = ask_all(settings, name, RecordType::A).await?;
    // A name with IPv4 alone is not unknown because nobody answers for IPv6.
    match ask_all(settings, name, RecordType::AAAA).await {
        Ok(more) => addresses.extend(more),
        Err(failure) if addresses.is_empty() => return Err(failure),
        Err(_) => {}
    }
    Ok(addresses)
}

async fn ask_all(
    settings: &Settings,
    name: &str,
    kind: RecordType,
) -> Result<Vec<IpAddr>, Failure> {
    let mut failure = Failure::Temporary;
    for _ in 0..settings.attempts {
        for server in &settings.servers {
            match timeout(
                settings.wait,
                ask(SocketAddr::new(*server, PORT), name, kind),
            )
            .await
            {
                Ok(Ok(answer)) => match answer.metadata.response_code {
                    ResponseCode::NoError => return Ok(addresses(&answer)),
                    ResponseCode::NXDomain => return Ok(Vec::new()),
                    ResponseCode::Refused => failure = Failure::Permanent,
                    _ => failure = Failure::Temporary,
                },
                Ok(Err(Failure::Invalid)) => return Err(Failure::Invalid),
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }
    Err(failure)
}

fn addresses(answer: &Message) -> Vec<IpAddr> {
    answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect()
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message, Failure> {
    let question = question(name, kind)?;
    let bytes = question.to_vec().map_err(|_| Failure::Invalid)?;
    let answer = by_datagram(server, &bytes, question.metadata.id)
        .await
        .map_err(|_| Failure::Temporary)?;
    if answer.metadata.truncation {
        return by_stream(server, &bytes, question.metadata.id)
            .await
            .map_err(|_| Failure::Temporary);
    }
    Ok(answer)
}

fn question(name: &str, kind: RecordType) -> Result<Message, Failure> {
    let name = Name::from_ascii(name).map_err(|_| Failure::Invalid)?;
    let random = berth_sys::random::bytes().map_err(|_| Failure::Temporary)?;
    let mut message = Message::new(
        u16::from_le_bytes([random[0], random[1]]),
        MessageType::Query,
        OpCode::Query,
    );
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    Ok(message)
}

async fn by_datagram(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Message> {
    let own: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // Anything that is not the answer to this question is somebody's guess.
        if let Some(answer) = answer(&buffer[..count], id) {
            return Ok(answer);
        }
    }
}

async fn by_stream(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    answer(&buffer, id).ok_or_else(|| std::io::Error::other("no answer to the question"))
}

fn answer(bytes: &[u8], id: u16) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let is_ours =
        message.metadata.id == id && message.metadata.message_type == MessageType::Response;
    is_ours.then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lines_name_addresses() {
        let text = "127.0.0.1 localhost\n# 9.9.9.9 db\nfd00::2 db db.example\n10.0.0.2\tDB # x\nnonsense db\n";
        assert_eq!(
            hosts(text, "db"),
            [
                "10.0.0.2".parse::<IpAddr>().unwrap(),
                "fd00::2".parse().unwrap()
            ]
        );
        assert_eq!(
            hosts(text, "db.example."),
            ["fd00::2".parse::<IpAddr>().unwrap()]
        );
        assert!(hosts(text, "other").is_empty());
    }

    #[test]
    fn settings_say_where_to_look() {
        let text = "nameserver 10.0.0.1\nnameserver x\nsearch a.b c.\noptions ndots:2 timeout:1 attempts:9 rotate\n";
        let settings = Settings::parse(text);
        assert_eq!(settings.servers, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            (settings.dots, settings.wait, settings.attempts),
            (2, Duration::from_secs(1), 5)
        );
        assert_eq!(settings.candidates("db"), ["db.a.b.", "db.c.", "db."]);
        assert_eq!(
            settings.candidates("x.y.z"),
            ["x.y.z.", "x.y.z.a.b.", "x.y.z.c."]
        );
        assert_eq!(settings.candidates("db."), ["db."]);
    }

    #[test]
    fn names_of_other_scripts_are_converted() {
        assert_eq!(ascii("München.de").as_deref(), Ok("xn--mnchen-3ya.de"));
        assert_eq!(
            ascii("例え.テスト.").as_deref(),
            Ok("xn--r8jz45g.xn--zckzah.")
        );
        assert_eq!(ascii("a_B").as_deref(), Ok("a_B"));
        assert_eq!(ascii("ü b"), Err(Failure::Invalid));
    }

    #[test]
    fn only_host_names_are_asked_for() {
        for good in ["db", "a-b.example.", "x_y", "1.example"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", "a b", "a/b", &"x".repeat(64)] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
