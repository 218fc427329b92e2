//! From `--network`, `-p`, `--dns`, `--add-host` to what the network and `/etc` are made of. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use berth_contract::{Class, ContainerId, Error, NetworkName, Result};
use berth_network::{Join, Mode, Protocol, Publish, Request};

use crate::api::types::{
    ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig, PortBinding,
};

/// The network of containers that name none.
pub(super) const DEFAULT: &str = "bridge";

fn refuse(message: impl Into<String>) -> Error {
    Error::new(Class::Invalid, message)
}

/// What a container asks of its network, and what was accepted without effect.
pub(super) fn request(
    id: &ContainerId,
    config: &ContainerConfig,
    host: &HostConfig,
    networking: &NetworkingConfig,
) -> Result<(Request, Vec<String>)> {
    let mode = mode(config, host, networking)?;
    let mut warnings = Vec::new();
    let mut publish = published(config, host)?;
    if !publish.is_empty() {
        match &mode {
            Mode::Networks(_) => {}
            Mode::Container(_) => {
                return Err(
                    refuse("ports cannot be published for --network container:NAME")
                        .hint("publish them where the network's owner is started"),
                );
            }
            Mode::None | Mode::Host => {
                let name = if mode == Mode::Host { "host" } else { "none" };
                warnings.push(format!(
                    "published ports have no effect with --network {name}"
                ));
                publish.clear();
            }
        }
    }
    Ok((
        Request {
            container: id.clone(),
            mode,
            publish,
        },
        warnings,
    ))
}

fn mode(
    config: &ContainerConfig,
    host: &HostConfig,
    networking: &NetworkingConfig,
) -> Result<Mode> {
    if config.network_disabled {
        return Ok(Mode::None);
    }
    match host.network_mode.as_str() {
        "none" => return Ok(Mode::None),
        "host" => return Ok(Mode::Host),
        mode => {
            if let Some(id) = mode.strip_prefix("container:") {
                return Ok(Mode::Container(id.parse()?));
            }
        }
    }
    let first = match host.network_mode.as_str() {
        "" | "default" => DEFAULT,
        name => name,
    };
    let mut names = vec![first];
    names.extend(
        networking
            .endpoints_config
            .keys()
            .map(String::as_str)
            .filter(|name| !matches!(*name, "default") && *name != first),
    );
    let mut joins = Vec::new();
    for (position, name) in names.into_iter().enumerate() {
        let settings = networking.endpoints_config.get(name);
        let mut join = join(name, settings)?;
        if position == 0 && join.mac.is_none() && !config.mac_address.is_empty() {
            join.mac = Some(hardware_address(&config.mac_address)?);
        }
        joins.push(join);
    }
    Ok(Mode::Networks(joins))
}

fn join(name: &str, settings: Option<&EndpointSettings>) -> Result<Join> {
    let mut join = Join {
        network: name.parse::<NetworkName>()?,
        address: None,
        address6: None,
        mac: None,
        link_local: Vec::new(),
        aliases: Vec::new(),
    };
    let Some(settings) = settings else {
        return Ok(join);
    };
    join.aliases = settings.aliases.clone().unwrap_or_default();
    if !settings.mac_address.is_empty() {
        join.mac = Some(hardware_address(&settings.mac_address)?);
    }
    if let Some(addresses) = &settings.ipam_config {
        let parse = |text: &str| -> Result<IpAddr> {
            text.parse()
                .map_err(|_unparsable| refuse(format!("invalid address {text:?}")))
        };
        if !addresses.ipv4_address.is_empty() {
            let IpAddr::V4(address) = parse(&addresses.ipv4_address)? else {
                return Err(refuse("--ip takes an IPv4 address").hint("use --ip6"));
            };
            join.address = Some(address);
        }
        if !addresses.ipv6_address.is_empty() {
            let IpAddr::V6(address) = parse(&addresses.ipv6_address)? else {
                return Err(refuse("--ip6 takes an IPv6 address").hint("use --ip"));
            };
            join.address6 = Some(address);
        }
        for text in &addresses.link_local_ips {
            let address: IpAddr = parse(text)?;
            let local = match address {
                IpAddr::V4(address) => address.is_link_local(),
                IpAddr::V6(address) => address.is_unicast_link_local(),
            };
            if !local {
                return Err(refuse(format!("{address} is no link-local address"))
                    .hint("they begin with 169.254. or fe80:"));
            }
            join.link_local.push(address);
        }
    }
    Ok(join)
}

fn hardware_address(text: &str) -> Result<[u8; 6]> {
    let invalid = || refuse(format!("invalid MAC address {text:?}"));
    let mut address = [0_u8; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut address {
        let part = parts
            .next()
            .filter(|part| part.len() == 2)
            .ok_or_else(invalid)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_unparsable| invalid())?;
    }
    // The lowest bit of the first byte marks groups, which no interface can be.
    if parts.next().is_some() || address[0] & 1 == 1 {
        return Err(invalid());
    }
    Ok(address)
}

/// `80/tcp`; a port alone is TCP.
pub(super) fn port(text: &str) -> Result<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => {
            return Err(
                Error::new(Class::Unsupported, format!("cannot publish {other} ports"))
                    .hint("tcp and udp are there"),
            );
        }
    };
    match number.parse::<u16>() {
        Ok(number) if number > 0 => Ok((number, protocol)),
        _ => Err(refuse(format!("invalid port {text:?}"))),
    }
}

fn published(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<Publish>> {
    let mut publish = Vec::new();
    let mut known = BTreeSet::new();
    for (text, bindings) in &host.port_bindings {
        let (container_port, protocol) = port(text)?;
        known.insert((container_port, protocol));
        let any = [PortBinding::default()];
        let bindings = if bindings.is_empty() {
            &any[..]
        } else {
            bindings
        };
        for binding in bindings {
            publish.push(Publish {
                protocol,
                host_address: host_address(&binding.host_ip)?,
                host_port: host_port(&binding.host_port)?,
                container_port,
            });
        }
    }
    if host.publish_all_ports {
        for text in config.exposed_ports.keys() {
            let (container_port, protocol) = port(text)?;
            if known.insert((container_port, protocol)) {
                publish.push(Publish {
                    protocol,
                    host_address: None,
                    host_port: 0,
                    container_port,
                });
            }
        }
    }
    Ok(publish)
}

fn host_address(text: &str) -> Result<Option<IpAddr>> {
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_unparsable| {
        refuse(format!("invalid host address {text:?}")).hint("write an address, not a name")
    })
}

fn host_port(text: &str) -> Result<u16> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_unparsable| {
        let error = refuse(format!("invalid host port {text:?}"));
        if text.contains('-') {
            return error.hint("a range of host ports needs a range of container ports as long");
        }
        error
    })
}

/// A container in another's network has that one's host name and files.
pub(super) fn check_joined(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let own = !config.hostname.is_empty() || !host.dns.is_empty() || !host.extra_hosts.is_empty();
    if own && host.network_mode.starts_with("container:") {
        return Err(refuse(
            "--hostname, --dns and --add-host cannot be used with --network container:NAME",
        ));
    }
    Ok(())
}

/// The lines every `/etc/hosts` begins with.
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n\
                         ::1\tlocalhost ip6-localhost ip6-loopback\n\
                         fe00::\tip6-localnet\n\
                         ff00::\tip6-mcastprefix\n\
                         ff02::1\tip6-allnodes\n\
                         ff02::2\tip6-allrouters\n";

/// `/etc/hosts` before the container's own addresses are known, and the names of `host-gateway`.
pub(super) fn hosts(base: Option<&str>, extra: &[String]) -> Result<(String, Vec<String>)> {
    let mut text = base.unwrap_or(LOCALHOST).to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut gateway = Vec::new();
    for line in extra {
        // Docker writes NAME:ADDRESS and, newer, NAME=ADDRESS; an IPv6 address has colons itself.
        let (name, address) = line
            .split_once('=')
            .or_else(|| line.split_once(':'))
            .ok_or_else(|| {
                refuse(format!("invalid --add-host {line:?}")).hint("write NAME:ADDRESS")
            })?;
        let sane = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !sane {
            return Err(refuse(format!("invalid --add-host {line:?}")));
        }
        if address == "host-gateway" {
            gateway.push(name.to_owned());
            continue;
        }
        let address = address
            .strip_prefix('[')
            .and_then(|a| a.strip_suffix(']'))
            .unwrap_or(address);
        let address: IpAddr = address.parse().map_err(|_unparsable| {
            refuse(format!("invalid --add-host {line:?}")).hint("write NAME:ADDRESS")
        })?;
        text.push_str(&format!("{address}\t{name}\n"));
    }
    Ok((text, gateway))
}

/// A host name as the kernel and resolvers take it.
pub(super) fn check_hostname(name: &str) -> Result<()> {
    let sane = name.len() <= 63
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if sane {
        Ok(())
    } else {
        Err(refuse(format!("invalid hostname {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &HostConfig) -> Result<(Request, Vec<String>)> {
        let config = ContainerConfig {
            exposed_ports: [("53/udp".to_owned(), crate::api::types::Empty {})].into(),
            ..ContainerConfig::default()
        };
        let id = ContainerId::from_random([7; 32]);
        request(&id, &config, host, &NetworkingConfig::default())
    }

    fn binding(ip: &str, port: &str) -> PortBinding {
        PortBinding {
            host_ip: ip.into(),
            host_port: port.into(),
        }
    }

    #[test]
    fn ports_are_published() {
        let host = HostConfig {
            port_bindings: [
                (
                    "80/tcp".to_owned(),
                    vec![binding("", "8080"), binding("[::1]", "")],
                ),
                ("90".to_owned(), Vec::new()),
            ]
            .into(),
            publish_all_ports: true,
            ..HostConfig::default()
        };
        let (request, warnings) = ask(&host).unwrap();
        assert!(warnings.is_empty());
        let ports: Vec<_> = request
            .publish
            .iter()
            .map(|port| (port.host_port, port.container_port))
            .collect();
        assert_eq!(ports, [(8080, 80), (0, 80), (0, 90), (0, 53)]);
        assert!(
            matches!(&request.mode, Mode::Networks(joins) if joins[0].network.as_str() == "bridge")
        );
    }

    #[test]
    fn modes_and_ports_that_do_not_fit() {
        let with = |mode: &str| HostConfig {
            network_mode: mode.into(),
            port_bindings: [("80/tcp".to_owned(), vec![binding("", "80")])].into(),
            ..HostConfig::default()
        };
        for mode in ["host", "none"] {
            let (request, warnings) = ask(&with(mode)).unwrap();
            assert!(request.publish.is_empty() && warnings.len() == 1);
        }
        assert!(ask(&with(&format!("container:{}", "a".repeat(64)))).is_err());
        for bad in ["0", "65536", "80/sctp", "x", ""] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(host_port("80-90").is_err() && host_address("localhost").is_err());
    }

    #[test]
    fn hosts_file() {
        let own = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        let (text, gateway) = hosts(
            None,
            &own(&[
                "db:10.0.0.1",
                "six=::1",
                "seven:[fe80::1]",
                "up:host-gateway",
            ]),
        )
        .unwrap();
        assert!(text.contains("10.0.0.1\tdb\n") && text.contains("::1\tsix\n"));
        assert!(text.contains("fe80::1\tseven\n"));
        assert_eq!(gateway, ["up"]);
        for bad in ["db", "db:", ":1.2.3.4", "a b:1.2.3.4", "a:b", "x\n:1.2.3.4"] {
            assert!(hosts(None, &own(&[bad])).is_err(), "{bad}");
        }
        assert!(hosts(Some("1.1.1.1 x"), &[]).unwrap().0.ends_with("x\n"));
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(
            hardware_address("02:42:ac:11:00:02").unwrap(),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        for bad in [
            "",
            "02:42",
            "03:42:ac:11:00:02",
            "02:42:ac:11:00:02:01",
            "0g:42:ac:11:00:02",
        ] {
            assert!(hardware_address(bad).is_err(), "{bad}");
        }
    }
}
