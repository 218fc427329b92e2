//! `--network`: a mode, a network's name, or a network with options.

use std::net::{Ipv4Addr, Ipv6Addr};

use berth_host::api::types::{EndpointSettings, IpamConfig};

use super::{Parsed, environment, fields};

/// One `--network`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Membership {
    /// `bridge`, `none`, `host`, `container:NAME`, or a network's name.
    pub(crate) network: String,
    /// What was asked for within it.
    pub(crate) endpoint: EndpointSettings,
}

impl Membership {
    /// A network without wishes.
    pub(crate) fn of(network: &str) -> Self {
        Self {
            network: network.to_owned(),
            endpoint: EndpointSettings::default(),
        }
    }

    /// Whether it is a network that containers join, not a mode.
    pub(crate) fn joins(&self) -> bool {
        !matches!(self.network.as_str(), "none" | "host") && !self.network.starts_with("container:")
    }
}

/// `NAME`, Docker's `name=NAME,ip=…,alias=…`, or Podman's `NAME:ip=…,alias=…`.
pub(crate) fn network(text: &str) -> Parsed<Membership> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    let (mut membership, options) = match text.split_once(':') {
        Some(("container", name)) if !name.is_empty() => return Ok(Membership::of(text)),
        Some(("container", _)) => return Err("it names no container".into()),
        Some((name, options)) if !name.contains('=') && options.contains('=') => {
            (Membership::of(name), fields(options)?)
        }
        Some((mode @ ("slirp4netns" | "pasta" | "ns" | "private"), _)) => {
            return Err(format!(
                "the mode {mode} is not supported: use bridge, none or host"
            ));
        }
        _ if text.contains('=') => (Membership::of(""), fields(text)?),
        _ => return named(text),
    };
    for option in &options {
        let (key, value) = option
            .split_once('=')
            .ok_or(format!("{option:?} has no value"))?;
        set(&mut membership, key, value).map_err(|reason| format!("{key}: {reason}"))?;
    }
    match membership.network.as_str() {
        "" => Err("the field name is missing".into()),
        "none" | "host" => Err(format!("the mode {} has no options", membership.network)),
        _ => Ok(membership),
    }
}

fn named(name: &str) -> Parsed<Membership> {
    match name {
        "default" => Ok(Membership::of("bridge")),
        "slirp4netns" | "pasta" => Err(format!("the mode {name} is not supported: use bridge")),
        // Podman's word for a network namespace of its own with a bridge.
        "private" => Ok(Membership::of("bridge")),
        _ => Ok(Membership::of(name)),
    }
}

fn set(membership: &mut Membership, key: &str, value: &str) -> Parsed<()> {
    let endpoint = &mut membership.endpoint;
    match key {
        "name" => value.clone_into(&mut membership.network),
        "alias" => endpoint
            .aliases
            .get_or_insert_default()
            .push(value.to_owned()),
        "ip" => addresses(endpoint).ipv4_address = ipv4(value)?,
        "ip6" => addresses(endpoint).ipv6_address = ipv6(value)?,
        "mac-address" | "mac" => endpoint.mac_address = mac(value)?,
        "driver-opt" => {
            let (name, value) = environment::pair(value)?;
            endpoint
                .driver_opts
                .get_or_insert_default()
                .insert(name, value);
        }
        "gw-priority" => {
            endpoint.gw_priority = value
                .parse()
                .map_err(|_unparsable| "it is no number".to_owned())?;
        }
        "link-local-ip" => addresses(endpoint)
            .link_local_ips
            .push(super::name::address(value)?),
        "interface_name" => return Err("interfaces are named eth0, eth1, …".into()),
        _ => return Err("it is no option of a network".into()),
    }
    Ok(())
}

/// The addresses asked for in an endpoint.
pub(crate) fn addresses(endpoint: &mut EndpointSettings) -> &mut IpamConfig {
    endpoint.ipam_config.get_or_insert_default()
}

/// An IPv4 address.
pub(crate) fn ipv4(text: &str) -> Parsed<String> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("it is not an IPv4 address".into()),
    }
}

/// An IPv6 address.
pub(crate) fn ipv6(text: &str) -> Parsed<String> {
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("it is not an IPv6 address".into()),
    }
}

/// A hardware address of six pairs of digits, separated by `:` or `-`.
pub(crate) fn mac(text: &str) -> Parsed<String> {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if pairs.len() != 6 || !pairs.iter().all(pair) {
        return Err("it must be six pairs of hexadecimal digits, such as 02:42:ac:11:00:02".into());
    }
    let address = pairs.join(":").to_ascii_lowercase();
    // The lowest bit of the first byte marks a group of interfaces, which no interface can be.
    if pairs[0]
        .bytes()
        .last()
        .is_some_and(|digit| matches!(digit, b'1' | b'3' | b'5' | b'7' | b'9'))
        || pairs[0].to_ascii_lowercase().ends_with(['b', 'd', 'f'])
    {
        return Err("it is a multicast address; the second digit must be even".into());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_names() {
        for (text, expected, joins) in [
            ("none", "none", false),
            ("host", "host", false),
            ("bridge", "bridge", true),
            ("default", "bridge", true),
            ("container:web", "container:web", false),
            ("backend", "backend", true),
        ] {
            let membership = network(text).unwrap();
            assert_eq!(
                (membership.network.as_str(), membership.joins()),
                (expected, joins)
            );
        }
    }

    #[test]
    fn both_spellings_of_options() {
        let mut expected = Membership::of("backend");
        expected.endpoint.aliases = Some(vec!["db".into(), "sql".into()]);
        expected.endpoint.mac_address = "02:42:ac:11:00:02".into();
        addresses(&mut expected.endpoint).ipv4_address = "10.1.0.5".into();
        addresses(&mut expected.endpoint).ipv6_address = "fd00::5".into();
        for text in [
            "name=backend,alias=db,alias=sql,ip=10.1.0.5,ip6=fd00::5,mac-address=02-42-AC-11-00-02",
            "backend:alias=db,alias=sql,ip=10.1.0.5,ip6=fd00::5,mac=02:42:ac:11:00:02",
        ] {
            assert_eq!(network(text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn wrong_networks_are_refused() {
        for text in [
            "",
            "container:",
            "alias=x",
            "name=none,alias=x",
            "host:alias=x",
            "name=b,ip=x",
            "name=b,colour=red",
            "name=b,alias",
            "slirp4netns",
            "pasta:-T,80",
            "name=b,mac-address=1",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
        assert!(mac("03:42:ac:11:00:02").is_err());
    }
}
