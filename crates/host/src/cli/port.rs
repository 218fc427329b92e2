//! `berth port`: where a container's ports are published.

use berth_contract::{Class, Error};
use berth_host::api::types::PortBinding;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Port>(
    "port",
    Group::Run,
    "Print where a container's ports are published",
    "CONTAINER [PORT[/PROTOCOL]]",
)
.examples("berth port web\nberth port web 80/tcp");

/// The arguments of `port`.
#[derive(Debug, clap::Args)]
pub(crate) struct Port {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    name: String,
    /// The port inside the container; tcp unless said otherwise
    #[arg(value_name = "PORT[/PROTOCOL]", hide = true)]
    port: Option<String>,
}

impl Arguments for Port {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let id = engine.find(&self.name)?;
        let ports = engine.inspect(&id, false)?.network_settings.ports;
        let text = match &self.port {
            None => ports
                .iter()
                .flat_map(|(port, bindings)| bindings.iter().flatten().map(move |one| (port, one)))
                .map(|(port, binding)| format!("{port} -> {}\n", address(binding)))
                .collect::<String>(),
            Some(port) => {
                let wanted = private_port(port)?;
                let bindings = ports.get(&wanted).and_then(Option::as_ref);
                match bindings.filter(|bindings| !bindings.is_empty()) {
                    Some(bindings) => bindings
                        .iter()
                        .map(|binding| address(binding) + "\n")
                        .collect(),
                    None => {
                        let message =
                            format!("no public port {wanted:?} published for {}", self.name);
                        return Err(Error::new(Class::NotFound, message)
                            .hint(format!("berth port {} lists those that are", self.name)));
                    }
                }
            }
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}

/// `80` → `80/tcp`, checked.
fn private_port(text: &str) -> berth_contract::Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match number.parse::<u16>() {
        Ok(number) if matches!(protocol, "tcp" | "udp" | "sctp") => {
            Ok(format!("{number}/{protocol}"))
        }
        _ => Err(Error::new(Class::Invalid, format!("invalid port {text:?}"))
            .caused_by("it must be PORT or PORT/PROTOCOL, as in 80 or 53/udp")),
    }
}

fn address(binding: &PortBinding) -> String {
    let host = match binding.host_ip.as_str() {
        "" => "0.0.0.0".to_owned(),
        address if address.contains(':') => format!("[{address}]"),
        address => address.to_owned(),
    };
    format!("{host}:{}", binding.host_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_tcp_unless_said_otherwise() {
        assert_eq!(private_port("80").unwrap(), "80/tcp");
        assert_eq!(private_port("53/udp").unwrap(), "53/udp");
        for wrong in ["", "x", "80/", "80/icmp", "70000"] {
            assert!(private_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_written_as_docker_writes_them() {
        let binding = |ip: &str| PortBinding {
            host_ip: ip.to_owned(),
            host_port: "8080".to_owned(),
        };
        assert_eq!(address(&binding("0.0.0.0")), "0.0.0.0:8080");
        assert_eq!(address(&binding("::")), "[::]:8080");
        assert_eq!(address(&binding("")), "0.0.0.0:8080");
    }
}
