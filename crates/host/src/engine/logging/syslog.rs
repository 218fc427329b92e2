//! The driver syslog: where its messages go and what they look like.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_monitor::launch::{Address, Syslog, SyslogTime};
use berth_sys::error::Explain as _;
use berth_sys::socket::{self, Messages};
use hickory_resolver::TokioResolver;
use jiff::Timestamp;

use super::options::text;
use super::{Subject, attributes, refuse};
use crate::api::types::LogConfig;

/// Where the syslog of a host listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Changes of the local time's distance from UTC that a monitor knows of: a dozen years of summers.
const CHANGES: usize = 24;

/// RFC 3164, section 4.1.1, and RFC 5424, section 6.2.1; by number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const DAEMON: u8 = 3;
const PORT: u16 = 514;

/// Where messages are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// To the host's own syslog.
    Local,
    Stream(PathBuf),
    Datagram(PathBuf),
    Tcp(String, u16),
    Udp(String, u16),
}

impl Target {
    /// Reads the value of `syslog-address`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::Local);
        }
        let wrong = || {
            refuse(format!("invalid log option syslog-address={text}"))
                .hint("udp://HOST[:PORT], tcp://HOST[:PORT], unix:///PATH or unixgram:///PATH")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let path = || {
            let path = PathBuf::from(rest);
            path.is_absolute().then_some(path).ok_or_else(wrong)
        };
        let host = || host_and_port(rest).ok_or_else(wrong);
        match scheme {
            "unix" => Ok(Self::Stream(path()?)),
            "unixgram" => Ok(Self::Datagram(path()?)),
            "tcp" => host().map(|(host, port)| Self::Tcp(host, port)),
            "udp" => host().map(|(host, port)| Self::Udp(host, port)),
            "tcp+tls" => Err(
                Error::new(Class::Unsupported, "cannot send logs over tcp+tls")
                    .hint("send them to a syslog on this host, which passes them on"),
            ),
            _ => Err(wrong()),
        }
    }

    /// Where that is now.
    pub(super) fn address(self) -> Result<Address> {
        Ok(match self {
            Self::Local => local()?,
            Self::Stream(path) => Address::Stream(path),
            Self::Datagram(path) => Address::Datagram(path),
            Self::Tcp(host, port) => Address::Tcp(SocketAddr::new(resolve(&host)?, port)),
            Self::Udp(host, port) => Address::Udp(SocketAddr::new(resolve(&host)?, port)),
        })
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                rest.strip_prefix(':').or(rest.is_empty().then_some("")),
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = match port? {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    (!host.is_empty() && !host.contains('/')).then(|| (host.to_owned(), port))
}

/// The first place where a syslog of this host listens.
fn local() -> Result<Address> {
    for path in LOCAL.map(Path::new) {
        if socket::connect_to(path, Messages::Datagrams).is_ok() {
            return Ok(Address::Datagram(path.to_owned()));
        }
        if socket::connect_to(path, Messages::Stream).is_ok() {
            return Ok(Address::Stream(path.to_owned()));
        }
    }
    Err(
        Error::new(Class::Unavailable, "cannot send the container's log")
            .caused_by("no syslog listens on this host")
            .hint("start one, or name another: --log-opt syslog-address=udp://HOST"),
    )
}

/// A host's address. A static program has no resolver of the C library: that one loads modules.
fn resolve(host: &str) -> Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let cannot = || format!("cannot find the log receiver {host}");
    let failed = |error: hickory_resolver::net::NetError| {
        Error::new(Class::Unavailable, cannot()).caused_by(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .explain(cannot)?;
    let found = runtime.block_on(async {
        let resolver = TokioResolver::builder_tokio()?.build()?;
        resolver.lookup_ip(host).await
    });
    let found = found.map_err(failed)?.iter().next();
    found.ok_or_else(|| Error::new(Class::Unavailable, cannot()).caused_by("it has no address"))
}

/// How a message is put together.
pub(super) fn format(subject: Subject<'_>, log: &LogConfig) -> Result<Syslog> {
    let tag = attributes::tag(subject, log)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .explain(|| "cannot read the host's name".to_owned())?;
    let host = host.trim();
    let (time, before_pid, after_pid) = match text(log, "syslog-format") {
        "" => (SyslogTime::Stamp, format!(" {tag}["), "]: ".to_owned()),
        "rfc3164" => (
            SyslogTime::Stamp,
            format!(" {host} {tag}["),
            "]: ".to_owned(),
        ),
        "rfc5424" => (
            SyslogTime::Seconds,
            format!(" {host} {tag} "),
            format!(" {tag} - "),
        ),
        "rfc5424micro" => (
            SyslogTime::Microseconds,
            format!(" {host} {tag} "),
            format!(" {tag} - "),
        ),
        other => {
            return Err(refuse(format!("invalid log option syslog-format={other}"))
                .hint("rfc3164, rfc5424 and rfc5424micro are there"));
        }
    };
    Ok(Syslog {
        facility: facility(text(log, "syslog-facility"))?,
        time,
        before_pid,
        after_pid,
        offsets: offsets(),
    })
}

fn facility(text: &str) -> Result<u8> {
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let named = FACILITIES.iter().position(|name| *name == text);
    named
        .or_else(|| text.parse().ok())
        .filter(|number| *number < FACILITIES.len())
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| refuse(format!("invalid log option syslog-facility={text}")))
}

/// The local time's distance from UTC, now and after each change to come.
fn offsets() -> Vec<(u64, i32)> {
    let zone = crate::zone::local(None);
    let nanoseconds = i128::from(berth_sys::clock::realtime());
    let now = Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let coming = zone.following(now).take(CHANGES);
    let coming = coming.map(|change| (change.timestamp(), change.offset()));
    std::iter::once((now, zone.to_offset(now)))
        .chain(coming)
        .map(|(since, offset)| {
            (
                u64::try_from(since.as_second()).unwrap_or(0),
                offset.seconds(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("", Target::Local),
            ("udp://10.0.0.1", Target::Udp("10.0.0.1".into(), 514)),
            (
                "tcp://logs.example:1514",
                Target::Tcp("logs.example".into(), 1514),
            ),
            ("udp://[::1]:99", Target::Udp("::1".into(), 99)),
            ("unix:///dev/log", Target::Stream("/dev/log".into())),
            ("unixgram:///dev/log", Target::Datagram("/dev/log".into())),
        ] {
            assert_eq!(Target::parse(text).unwrap(), expected, "{text}");
        }
        for wrong in [
            "logs:514",
            "udp://",
            "udp://:514",
            "udp://h:0",
            "udp://h:x",
            "unix://log",
            "tcp://[x]",
            "ftp://h",
            "tcp+tls://h",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn facilities() {
        for (text, expected) in [("", 3), ("local7", 23), ("kern", 0), ("12", 12)] {
            assert_eq!(facility(text).unwrap(), expected, "{text}");
        }
        for wrong in ["24", "-1", "disk"] {
            assert!(facility(wrong).is_err(), "{wrong}");
        }
    }
}
