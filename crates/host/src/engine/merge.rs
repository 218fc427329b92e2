//! A container's configuration with its image's defaults filled in, by Docker's rules.

use berth_contract::{Class, Error, Result};
use berth_image::ContainerConfig as ImageDefaults;

use super::spec::variable_name;
use crate::api::types::{ContainerConfig, Empty, HealthConfig};

/// Fills in what the user left out.
///
/// Arguments alone replace the image's arguments; a new entrypoint drops them; `[""]` as entrypoint
/// removes the image's.
pub(crate) fn merge(mut config: ContainerConfig, image: &ImageDefaults) -> Result<ContainerConfig> {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    for port in image.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_insert(Empty {});
    }
    for volume in image.volumes.keys() {
        config.volumes.entry(volume.clone()).or_insert(Empty {});
    }
    for (key, value) in &image.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    for variable in &image.env {
        let name = variable_name(variable);
        if !config.env.iter().any(|own| variable_name(own) == name) {
            config.env.push(variable.clone());
        }
    }
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if config
        .entrypoint
        .as_ref()
        .is_some_and(|entry| *entry == [""])
    {
        config.entrypoint = None;
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if config.stop_signal.is_none() {
        config.stop_signal = image
            .stop_signal
            .clone()
            .filter(|signal| !signal.is_empty());
    }
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    if config.shell.is_none() && !image.shell.is_empty() {
        config.shell = Some(image.shell.clone());
    }
    check_health(config.healthcheck.as_ref())?;
    Ok(config)
}

/// Health checks of images are left out, those of the user are refused: a check that never runs would
/// report a health that nobody looked at.
fn check_health(health: Option<&HealthConfig>) -> Result<()> {
    match health {
        Some(health) if health.test.first().is_some_and(|word| word != "NONE") => Err(Error::new(
            Class::Unsupported,
            "cannot check the container's health",
        )
        .caused_by("health checks are not carried out yet")
        .hint("leave --health-cmd out")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|text| (*text).to_owned()).collect())
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            user: "web".into(),
            env: vec!["A=image".into(), "B=image".into()],
            entrypoint: own(&["/entry"]),
            cmd: own(&["default"]),
            working_dir: "/srv".into(),
            stop_signal: Some("SIGINT".into()),
            ..ImageDefaults::default()
        }
    }

    #[test]
    fn entrypoint_and_arguments() {
        type Words = Option<Vec<String>>;
        let cases: [((Words, Words), (Words, Words)); 5] = [
            ((None, None), (own(&["/entry"]), own(&["default"]))),
            ((None, own(&["x"])), (own(&["/entry"]), own(&["x"]))),
            ((own(&["/mine"]), None), (own(&["/mine"]), None)),
            (
                (own(&["/mine"]), own(&["x"])),
                (own(&["/mine"]), own(&["x"])),
            ),
            ((own(&[""]), own(&["x"])), (None, own(&["x"]))),
        ];
        for ((entrypoint, cmd), expected) in cases {
            let config = ContainerConfig {
                entrypoint,
                cmd,
                ..ContainerConfig::default()
            };
            let merged = merge(config, &image()).unwrap();
            assert_eq!((merged.entrypoint, merged.cmd), expected);
        }
    }

    #[test]
    fn the_users_word_counts() {
        let config = ContainerConfig {
            env: vec!["A=mine".into(), "B".into()],
            user: "0".into(),
            ..ContainerConfig::default()
        };
        let merged = merge(config, &image()).unwrap();
        assert_eq!(merged.env, ["A=mine", "B"]);
        assert_eq!(
            (merged.user.as_str(), merged.working_dir.as_str()),
            ("0", "/srv")
        );
        assert_eq!(merged.stop_signal.as_deref(), Some("SIGINT"));
        let health = HealthConfig {
            test: vec!["CMD".into()],
            ..HealthConfig::default()
        };
        let config = ContainerConfig {
            healthcheck: Some(health),
            ..ContainerConfig::default()
        };
        assert_eq!(
            merge(config, &image()).unwrap_err().class(),
            Class::Unsupported
        );
    }
}
