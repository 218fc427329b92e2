//! What variables mean at one point of a stage: its environment, then its arguments.

use std::collections::{BTreeMap, BTreeSet};

use berth_image::Platform;

use super::dockerfile::expand::Variables;

/// Arguments that every build has without declaring them; they leave no trace in image or cache.
pub const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variables of a stage at one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The image's environment in order.
    environment: Vec<(String, String)>,
    /// The arguments declared so far, in order.
    arguments: Vec<(String, Option<String>)>,
}

impl Scope {
    /// The scope of a stage that begins with an image's environment.
    #[must_use]
    pub fn of_environment<S: AsRef<str>>(environment: &[S]) -> Self {
        let pair = |text: &S| {
            let text = text.as_ref();
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        Self {
            environment: environment.iter().map(pair).collect(),
            arguments: Vec::new(),
        }
    }

    /// Sets an environment variable; a known one keeps its place.
    pub fn set(&mut self, name: &str, value: &str) {
        set(&mut self.environment, name, value.to_owned());
    }

    /// Declares an argument; one that is declared again without a value keeps the one it has.
    pub fn declare(&mut self, name: &str, value: Option<String>) {
        if value.is_some() || !self.declared().contains(name) {
            set(&mut self.arguments, name, value);
        }
    }

    /// The environment as an image's config has it.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        let pair = |(name, value): &(String, String)| format!("{name}={value}");
        self.environment.iter().map(pair).collect()
    }

    /// The arguments that have a value and are not hidden by the environment.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        let hidden = |name: &str| self.environment.iter().any(|(known, _)| known == name);
        self.arguments
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .filter(move |(name, _)| !hidden(name))
    }

    /// The names of all arguments declared so far.
    #[must_use]
    pub fn declared(&self) -> BTreeSet<&str> {
        self.arguments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Every name that has a value.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let environment = self.environment.iter().map(|(name, _)| name.as_str());
        environment
            .chain(self.arguments().map(|(name, _)| name))
            .collect()
    }
}

fn set<T>(pairs: &mut Vec<(String, T)>, name: &str, value: T) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => pairs.push((name.to_owned(), value)),
    }
}

impl Variables for Scope {
    /// What is set by `ENV` wins over an argument of the same name.
    fn value(&self, name: &str) -> Option<String> {
        let set = self.environment.iter().find(|(known, _)| known == name);
        if let Some((_, value)) = set {
            return Some(value.clone());
        }
        let declared = self.arguments.iter().find(|(known, _)| known == name)?;
        declared.1.clone()
    }
}

/// The predefined arguments that tell of platforms.
#[must_use]
pub fn platform_arguments(target: &Platform, build: &Platform) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", build)] {
        let variant = platform.variant.clone().unwrap_or_default();
        for (name, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant),
        ] {
            arguments.insert(format!("{prefix}{name}"), value);
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_hides_arguments() {
        let mut scope = Scope::of_environment(&["PATH=/bin", "A=1"]);
        scope.declare("A", Some("2".into()));
        scope.declare("B", Some("3".into()));
        scope.declare("C", None);
        assert_eq!(scope.value("A").as_deref(), Some("1"));
        assert_eq!(
            (scope.value("B").as_deref(), scope.value("C")),
            (Some("3"), None)
        );
        scope.set("B", "4");
        scope.set("A", "5");
        assert_eq!(scope.environment(), ["PATH=/bin", "A=5", "B=4"]);
        assert_eq!(scope.arguments().count(), 0);
        assert!(scope.declared().contains("C"));
    }

    #[test]
    fn platforms_are_told_in_parts() {
        let wasm = Platform::new("wasi", "wasm");
        let found = platform_arguments(&wasm, &"linux/arm/v7".parse().unwrap());
        assert_eq!(found["TARGETPLATFORM"], "wasi/wasm");
        assert_eq!(
            (found["TARGETOS"].as_str(), found["TARGETARCH"].as_str()),
            ("wasi", "wasm")
        );
        assert_eq!(
            (
                found["BUILDPLATFORM"].as_str(),
                found["BUILDVARIANT"].as_str()
            ),
            ("linux/arm/v7", "v7")
        );
    }
}
