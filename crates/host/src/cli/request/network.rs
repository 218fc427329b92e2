//! Which networks the container joins, under what addresses and names, and which ports are published.

use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_host::api::types::{CreateRequest, HostConfig};
use clap::Args;

use super::{conflict, read_text};
use crate::cli::parse::name;
use crate::cli::parse::network::{self, Membership, addresses};
use crate::cli::parse::port::{self, Expose, Publish};

/// Flags about the network.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct NetworkFlags {
    /// Join a network: bridge, none, host, container:NAME, or NAME[:ip=…,alias=…] (can be repeated)
    #[arg(long, visible_alias = "net", value_name = "NETWORK", value_parser = network::network)]
    network: Vec<Membership>,

    /// Publish a port: [[ADDRESS:]HOST:]CONTAINER[/udp], ranges allowed (can be repeated)
    #[arg(short, long, value_name = "PORT", value_parser = port::publish)]
    publish: Vec<Publish>,

    /// Publish every exposed port to a free port of the host
    #[arg(short = 'P', long)]
    publish_all: bool,

    /// Expose a port or a range of ports (can be repeated)
    #[arg(long, value_name = "PORT", value_parser = port::expose)]
    expose: Vec<Expose>,

    /// Answer to this name as well within the network (can be repeated)
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,

    /// Use this IPv4 address
    #[arg(long, value_name = "ADDRESS", value_parser = network::ipv4)]
    ip: Option<String>,

    /// Use this IPv6 address
    #[arg(long, value_name = "ADDRESS", value_parser = network::ipv6)]
    ip6: Option<String>,

    /// Use this link-local address as well (can be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = name::address)]
    link_local_ip: Vec<String>,

    /// Use this hardware address
    #[arg(long, value_name = "ADDRESS", value_parser = network::mac)]
    mac_address: Option<String>,

    /// Use this name server (can be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = name::address)]
    dns: Vec<String>,

    /// Set a resolver option (can be repeated)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,

    /// Search this domain; . searches none (can be repeated)
    #[arg(long, value_name = "DOMAIN", value_parser = name::domain)]
    dns_search: Vec<String>,

    /// Add a line to /etc/hosts: HOST:ADDRESS (can be repeated)
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = name::extra_host)]
    add_host: Vec<String>,

    #[command(flatten)]
    files: NameFiles,

    /// Legacy; accepted with a warning
    #[arg(long, value_name = "CONTAINER", hide = true)]
    link: Vec<String>,
}

/// Flags about the files below /etc that name hosts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct NameFiles {
    /// Begin /etc/hosts with the lines of this file in place of the usual ones
    #[arg(long, value_name = "FILE", conflicts_with = "no_hosts")]
    hosts_file: Option<PathBuf>,

    /// Leave the image's /etc/hosts as it is
    #[arg(long, conflicts_with = "add_host")]
    no_hosts: bool,

    /// Leave the image's /etc/hostname as it is
    #[arg(long)]
    no_hostname: bool,
}

impl NameFiles {
    /// Asks for what they say.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn apply(self, host: &mut HostConfig) -> Result<()> {
        if let Some(file) = &self.hosts_file {
            host.base_hosts = Some(read_text("--hosts-file", file)?);
        }
        host.no_hosts = self.no_hosts;
        host.no_hostname = self.no_hostname;
        Ok(())
    }
}

impl NetworkFlags {
    pub(super) fn apply(
        self,
        request: &mut CreateRequest,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let wishes = self.wishes();
        let mut memberships = self.network;
        check_together(&memberships)?;
        let config = &mut request.config;
        config.exposed_ports.extend(
            self.expose
                .into_iter()
                .flat_map(|expose| expose.0)
                .map(|port| (port, Default::default())),
        );
        let host = &mut request.host_config;
        for (port, binding) in self.publish.into_iter().flat_map(|publish| publish.0) {
            config
                .exposed_ports
                .insert(port.clone(), Default::default());
            host.port_bindings.entry(port).or_default().push(binding);
        }
        host.publish_all_ports = self.publish_all;
        host.dns = self.dns;
        host.dns_options = self.dns_option;
        host.dns_search = self.dns_search;
        host.extra_hosts = self.add_host;
        self.files.apply(host)?;
        if !self.link.is_empty() {
            warnings.push(
                "--link does nothing: containers of one network find each other by name".into(),
            );
        }
        if memberships.is_empty() && wishes {
            memberships.push(Membership::of("bridge"));
        }
        if let Some(first) = memberships.first_mut() {
            host.network_mode.clone_from(&first.network);
            if wishes && !first.joins() {
                let mode = format!("--network {}", first.network);
                return Err(conflict(
                    "an address or alias",
                    &mode,
                    "this mode has no network of its own",
                ));
            }
            let endpoint = &mut first.endpoint;
            if !self.network_alias.is_empty() {
                endpoint
                    .aliases
                    .get_or_insert_default()
                    .extend(self.network_alias);
            }
            if let Some(address) = self.ip {
                addresses(endpoint).ipv4_address = address;
            }
            if let Some(address) = self.ip6 {
                addresses(endpoint).ipv6_address = address;
            }
            if !self.link_local_ip.is_empty() {
                addresses(endpoint).link_local_ips = self.link_local_ip;
            }
            if let Some(address) = self.mac_address {
                config.mac_address.clone_from(&address);
                endpoint.mac_address = address;
            }
        }
        for membership in memberships.into_iter().filter(Membership::joins) {
            let endpoints = &mut request.networking_config.endpoints_config;
            if endpoints
                .insert(membership.network.clone(), membership.endpoint)
                .is_some()
            {
                let name = membership.network;
                return Err(Error::new(
                    Class::Invalid,
                    format!("the network {name} is named twice"),
                )
                .hint("use --network once for each network"));
            }
        }
        Ok(())
    }

    fn wishes(&self) -> bool {
        !self.network_alias.is_empty()
            || self.ip.is_some()
            || self.ip6.is_some()
            || self.mac_address.is_some()
            || !self.link_local_ip.is_empty()
    }
}

/// The modes that are no networks stand alone.
fn check_together(memberships: &[Membership]) -> Result<()> {
    let several = memberships.len() > 1;
    if several && memberships.iter().any(|membership| !membership.joins()) {
        return Err(Error::new(Class::Invalid, "cannot join several networks")
            .caused_by("the modes none, host and container: stand alone")
            .hint("use --network once, or name networks only"));
    }
    Ok(())
}
