//! The flags of `build` about the commands of `RUN`.
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "the help texts write optional parts in brackets"
)]

use berth_contract::{Class, Error, Result};
use berth_host::api::types::{HostConfig, Ulimit};
use clap::Args;

use crate::cli::parse::{limit, name, size};
use crate::cli::request::{NameFiles, bind, security_options};

/// Flags about the commands of `RUN`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Commands")]
pub(super) struct CommandFlags {
    /// The network of the commands: default, none or host
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// Let a name lead to an address: NAME:ADDRESS (can be repeated)
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = name::extra_host)]
    add_host: Vec<String>,

    /// Mount a directory of the host: SOURCE:TARGET[:ro,…] (can be repeated)
    #[arg(short, long, value_name = "MOUNT", value_parser = host_bind)]
    volume: Vec<String>,

    /// The size of /dev/shm, such as 64m
    #[arg(long, value_name = "BYTES", value_parser = size::bytes)]
    shm_size: Option<i64>,

    /// Set a limit of setrlimit(2): NAME=SOFT[:HARD] (can be repeated)
    #[arg(long, value_name = "LIMIT", value_parser = limit::ulimit)]
    ulimit: Vec<Ulimit>,

    /// At most so much memory, such as 64m or 1.5g
    #[arg(short, long, value_name = "BYTES", value_parser = size::bytes)]
    memory: Option<i64>,

    /// At most so much memory and swap together; -1 for any amount of swap
    #[arg(long, value_name = "BYTES", value_parser = size::bytes_or_unlimited)]
    memory_swap: Option<i64>,

    /// The share of CPU time under load, relative to others' 1024
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,

    /// The length of a scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,

    /// How much CPU time within a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,

    /// Only these CPUs, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Only these memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Add a capability; ALL for all (can be repeated)
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_add: Vec<String>,

    /// Drop a capability; ALL for all (can be repeated)
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_drop: Vec<String>,

    /// Run with this further group (can be repeated)
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// Use this name server (can be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = name::address)]
    dns: Vec<String>,

    /// Set a resolver option (can be repeated)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,

    /// Search this domain; . searches none (can be repeated)
    #[arg(long, value_name = "DOMAIN", value_parser = name::domain)]
    dns_search: Vec<String>,

    #[command(flatten)]
    files: NameFiles,

    /// Put the containers' cgroups beneath this one
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,

    /// Confine the commands otherwise, as for run (can be repeated)
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
}

impl CommandFlags {
    /// Whether the commands are to have the network of the host.
    pub(super) fn asks_for_host_network(&self) -> bool {
        self.network.as_deref() == Some("host")
    }

    pub(super) fn host(self) -> Result<HostConfig> {
        let network_mode = match self.network.as_deref() {
            // Podman calls a network of its own private.
            None | Some("" | "default" | "private") => String::new(),
            Some(mode @ ("none" | "host" | "bridge")) => mode.to_owned(),
            Some(other) => {
                return Err(
                    Error::new(Class::Invalid, format!("invalid --network {other:?}"))
                        .hint("default, none and host are there"),
                );
            }
        };
        let mut host = HostConfig {
            network_mode,
            binds: self.volume,
            extra_hosts: self.add_host,
            shm_size: self.shm_size.unwrap_or(0),
            ulimits: self.ulimit,
            memory: self.memory.unwrap_or(0),
            memory_swap: self.memory_swap.unwrap_or(0),
            cpu_shares: self.cpu_shares.unwrap_or(0),
            cpu_period: self.cpu_period.unwrap_or(0),
            cpu_quota: self.cpu_quota.unwrap_or(0),
            cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.unwrap_or_default(),
            cgroup_parent: self.cgroup_parent.unwrap_or_default(),
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            group_add: self.group_add,
            dns: self.dns,
            dns_options: self.dns_option,
            dns_search: self.dns_search,
            ..HostConfig::default()
        };
        security_options(self.security_opt, &mut host)?;
        self.files.apply(&mut host)?;
        Ok(host)
    }
}

/// A directory of the host; volumes outlive builds and would be of no use.
fn host_bind(text: &str) -> Result<String, String> {
    let bind = bind(text).map_err(|error| error.to_string())?;
    if bind.starts_with('/') && bind.contains(':') {
        Ok(bind)
    } else {
        Err("the source must be a directory of the host, beginning with / or .".to_owned())
    }
}
