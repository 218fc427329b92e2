//! A container's `/etc/resolv.conf`, from the host's text and the `--dns*` flags. Pure.

use std::net::IpAddr;

/// What Docker falls back on when no name server of the host can be reached from a container.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// The `--dns*` flags; what is given replaces what the host has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Name servers (`--dns`).
    pub servers: Vec<IpAddr>,
    /// Search domains (`--dns-search`); a single `.` means none.
    pub search: Vec<String>,
    /// Options (`--dns-option`).
    pub options: Vec<String>,
}

/// Whether the container shares the host's loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// It is the host's: name servers on it can be reached.
    Hosts,
    /// It is the container's own.
    Own,
}

/// The text of a container's `/etc/resolv.conf`.
///
/// Name servers on the host's loopback (systemd-resolved's 127.0.0.53, dnsmasq) cannot be reached from
/// another network namespace and are left out; so are IPv6 servers with a zone.
#[must_use]
pub fn contents(host: &str, overrides: &Overrides, loopback: Loopback) -> String {
    let mut servers: Vec<String> = overrides.servers.iter().map(ToString::to_string).collect();
    let mut search = overrides.search.clone();
    let mut options = overrides.options.clone();
    let mut host_servers = Vec::new();
    let mut host_search = Vec::new();
    let mut host_options = Vec::new();
    for line in host.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => host_servers.extend(words.next().map(str::to_owned)),
            // The last of these lines counts, as resolv.conf(5) says.
            Some("search" | "domain") => host_search = words.map(str::to_owned).collect(),
            Some("options") => host_options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    if servers.is_empty() {
        servers = host_servers
            .into_iter()
            .filter(|server| loopback == Loopback::Hosts || reachable(server))
            .collect();
        if servers.is_empty() && loopback == Loopback::Own {
            servers = FALLBACK.map(str::to_owned).to_vec();
        }
    }
    if search.is_empty() {
        search = host_search;
    }
    search.retain(|domain| domain != ".");
    if options.is_empty() {
        options = host_options;
    }
    let mut text = String::new();
    for server in servers {
        text.push_str("nameserver ");
        text.push_str(&server);
        text.push('\n');
    }
    for (word, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            text.push_str(word);
            text.push(' ');
            text.push_str(&values.join(" "));
            text.push('\n');
        }
    }
    text
}

fn reachable(server: &str) -> bool {
    server
        .parse::<IpAddr>()
        .is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_becomes_the_containers() {
        let none = Overrides::default();
        for (host, expected) in [
            ("", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
            (
                "nameserver 127.0.0.53\noptions edns0\n",
                "nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions edns0\n",
            ),
            (
                "nameserver 10.0.0.1 # ours\nsearch a.example b.example\noptions ndots:5 rotate\n",
                "nameserver 10.0.0.1\nsearch a.example b.example\noptions ndots:5 rotate\n",
            ),
            (
                "domain x\nsearch y\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver fd00::53\n",
                "nameserver fd00::53\nsearch y\n",
            ),
            ("search .\nnameserver 1.1.1.1\n", "nameserver 1.1.1.1\n"),
        ] {
            assert_eq!(contents(host, &none, Loopback::Own), expected, "{host}");
        }
        assert_eq!(
            contents("nameserver 127.0.0.53\n", &none, Loopback::Hosts),
            "nameserver 127.0.0.53\n"
        );
    }

    #[test]
    fn flags_win() {
        let overrides = Overrides {
            servers: vec!["127.0.0.1".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["ndots:1".to_owned()],
        };
        assert_eq!(
            contents(
                "nameserver 9.9.9.9\nsearch x\noptions rotate\n",
                &overrides,
                Loopback::Own
            ),
            "nameserver 127.0.0.1\noptions ndots:1\n"
        );
    }
}
