//! `-p` and `--expose`: ports, ranges of ports, and the addresses they are published on.

use std::net::{IpAddr, Ipv6Addr};

use berth_host::api::types::PortBinding;

use super::Parsed;

/// Published ports: a container port (`80/tcp`) and where the host listens for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish(pub(crate) Vec<(String, PortBinding)>);

/// Exposed ports: `80/tcp`, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expose(pub(crate) Vec<String>);

/// `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`; HOST and CONTAINER may be ranges.
pub(crate) fn publish(text: &str) -> Parsed<Publish> {
    let (rest, protocol) = protocol(text)?;
    let (rest, container) = match rest.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, rest),
    };
    let (address, host) = match rest {
        None => (None, ""),
        Some(rest) => split_address(rest)?,
    };
    let host_ip = address
        .map(|address| address.to_string())
        .unwrap_or_default();
    let container = range(container)?;
    let host = if host.is_empty() {
        None
    } else {
        Some(host_range(host)?)
    };
    let ports = container.1 - container.0;
    let binding = |host_port: String| PortBinding {
        host_ip: host_ip.clone(),
        host_port,
    };
    let mut published = Vec::with_capacity(usize::from(ports) + 1);
    for offset in 0..=ports {
        let host_port = match host {
            None => String::new(),
            Some((first, last)) if last - first == ports => (first + offset).to_string(),
            // One container port for a whole range: the first free one of the range.
            Some((first, last)) if ports == 0 => format!("{first}-{last}"),
            Some(_) => return Err("the two ranges have different lengths".into()),
        };
        published.push((
            format!("{}/{protocol}", container.0 + offset),
            binding(host_port),
        ));
    }
    Ok(Publish(published))
}

/// `PORT[-PORT][/PROTOCOL]`.
pub(crate) fn expose(text: &str) -> Parsed<Expose> {
    let (ports, protocol) = protocol(text)?;
    let (first, last) = range(ports)?;
    Ok(Expose(
        (first..=last)
            .map(|port| format!("{port}/{protocol}"))
            .collect(),
    ))
}

fn protocol(text: &str) -> Parsed<(&str, &'static str)> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok((rest, "tcp")),
        "udp" => Ok((rest, "udp")),
        "sctp" => Err("SCTP is not supported: use tcp or udp".into()),
        _ => Err(format!("{protocol:?} is no protocol: use tcp or udp")),
    }
}

fn split_address(rest: &str) -> Parsed<(Option<IpAddr>, &str)> {
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (address, port) = bracketed
            .split_once(']')
            .ok_or("the bracket [ is not closed")?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_unparsable| format!("{address:?} is not an IPv6 address"))?;
        let port = port.strip_prefix(':').unwrap_or(port);
        return Ok((Some(address.into()), port));
    }
    match rest.rsplit_once(':') {
        None => match rest.parse::<IpAddr>() {
            // `127.0.0.1:80`: Docker reads an address without a host port only as `ADDRESS::PORT`.
            Ok(address) => Err(format!(
                "write {address}::PORT for a port that the kernel chooses"
            )),
            Err(_) => Ok((None, rest)),
        },
        Some((address, _)) if address.contains(':') => {
            Err("an IPv6 address stands in brackets: [::1]:8080:80".into())
        }
        Some(("", port)) => Ok((None, port)),
        Some((address, port)) => match address.parse::<IpAddr>() {
            Ok(address) => Ok((Some(address), port)),
            Err(_) => Err(format!("{address:?} is not an IP address")),
        },
    }
}

fn range(text: &str) -> Parsed<(u16, u16)> {
    let (first, last) = host_range(text)?;
    if first == 0 {
        Err("port 0 does not exist".into())
    } else {
        Ok((first, last))
    }
}

/// As [`range`], but 0 is allowed: the kernel chooses.
fn host_range(text: &str) -> Parsed<(u16, u16)> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{text:?} is no port number")),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Vec<String> {
        let Publish(ports) = publish(text).unwrap();
        let line =
            |(port, to): (String, PortBinding)| format!("{}|{}|{port}", to.host_ip, to.host_port);
        ports.into_iter().map(line).collect()
    }

    #[test]
    fn every_form_of_publishing() {
        for (text, expected) in [
            ("80", &["||80/tcp"][..]),
            ("8080:80", &["|8080|80/tcp"]),
            ("8080:80/udp", &["|8080|80/udp"]),
            ("8080:80/TCP", &["|8080|80/tcp"]),
            (":80", &["||80/tcp"]),
            ("0:80", &["|0|80/tcp"]),
            ("127.0.0.1:8080:80", &["127.0.0.1|8080|80/tcp"]),
            ("127.0.0.1::80", &["127.0.0.1||80/tcp"]),
            ("[::1]:8080:80", &["::1|8080|80/tcp"]),
            ("[::1]::80", &["::1||80/tcp"]),
            ("8000-8001:80-81", &["|8000|80/tcp", "|8001|81/tcp"]),
            ("8000-8010:80", &["|8000-8010|80/tcp"]),
            ("80-81", &["||80/tcp", "||81/tcp"]),
        ] {
            assert_eq!(published(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_ports_are_refused() {
        for text in [
            "",
            "x",
            "0",
            "65536",
            "8080:",
            "8080:0",
            "80/icmp",
            "80/sctp",
            "8000-8002:80-81",
            "81-80",
            "::1:80:80",
            "[::1:80:80",
            "300.0.0.1:80:80",
            "host:80:80",
            "+80",
            "-80",
            "127.0.0.1:80",
        ] {
            assert!(publish(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exposing() {
        assert_eq!(expose("80").unwrap().0, ["80/tcp"]);
        assert_eq!(
            expose("80-82/udp").unwrap().0,
            ["80/udp", "81/udp", "82/udp"]
        );
        assert!(expose("80:80").is_err());
    }
}
