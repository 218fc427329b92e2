//! What variables mean at one point of a stage: its environment, then its arguments.

use std::collections::{BTreeMap, BTreeSet};

use berth_image::Platform;

use super::dockerfile::expand::Variables;

/// What a program is found by when an image does not say.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
///
/// `BuildKit` has one set of variables for both kinds: whichever of `ENV` and `ARG` comes last counts, though only
/// what `ENV` says becomes the image's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The image's environment in order.
    environment: Vec<(String, String)>,
    /// The names of the arguments declared so far, in order.
    declared: Vec<String>,
    /// The values of arguments which the environment has not set since.
    arguments: BTreeMap<String, String>,
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
            ..Self::default()
        }
    }

    /// Sets an environment variable; a known one keeps its place.
    pub fn set(&mut self, name: &str, value: &str) {
        self.arguments.remove(name);
        let mut known = self.environment.iter_mut();
        match known.find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.environment.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes away all that is known of a name.
    pub fn remove(&mut self, name: &str) {
        self.arguments.remove(name);
        self.environment.retain(|(known, _)| known != name);
    }

    /// Declares an argument; a name alone changes no value.
    pub fn declare(&mut self, name: &str, value: Option<String>) {
        if !self.declared.iter().any(|known| known == name) {
            self.declared.push(name.to_owned());
        }
        if let Some(value) = value {
            self.arguments.insert(name.to_owned(), value);
        }
    }

    /// The environment as an image's config has it.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        let pair = |(name, value): &(String, String)| format!("{name}={value}");
        self.environment.iter().map(pair).collect()
    }

    /// The environment as a command sees it: with the arguments that have a value.
    #[must_use]
    pub fn of_commands(&self) -> Vec<String> {
        let mut all = self.clone();
        for name in &self.declared {
            if let Some(value) = self.arguments.get(name) {
                all.set(name, value);
            }
        }
        all.environment()
    }

    /// Every argument declared so far with what its name means now, as the history of a command tells it.
    pub fn declarations(&self) -> impl Iterator<Item = (&str, String)> {
        let value = |name: &String| self.value(name).unwrap_or_default();
        self.declared
            .iter()
            .map(move |name| (name.as_str(), value(name)))
    }

    /// The names of all arguments declared so far.
    #[must_use]
    pub fn declared(&self) -> BTreeSet<&str> {
        self.declared.iter().map(String::as_str).collect()
    }

    /// Every name that has a value.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let environment = self.environment.iter().map(|(name, _)| name.as_str());
        environment
            .chain(self.arguments.keys().map(String::as_str))
            .collect()
    }
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<String> {
        let set = || self.environment.iter().find(|(known, _)| known == name);
        self.arguments
            .get(name)
            .or_else(|| set().map(|(_, value)| value))
            .cloned()
    }
}

/// The predefined arguments: what they tell of platforms, and which stage is built.
#[must_use]
pub fn predefined_arguments(
    (target, build): (&Platform, &Platform),
    stage: &str,
) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::from([("TARGETSTAGE".to_owned(), stage.to_owned())]);
    for (prefix, platform) in [("TARGET", target), ("BUILD", build)] {
        let variant = platform.variant.clone().unwrap_or_default();
        for (name, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", String::new()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant),
        ] {
            arguments.insert(format!("{prefix}{name}"), value);
        }
    }
    arguments
}

/// The arguments that are given and that neither an `ARG` nor the builder itself knows.
#[must_use]
pub fn undeclared_arguments<'a>(
    given: &'a BTreeMap<String, String>,
    declared: &BTreeSet<String>,
) -> Vec<&'a str> {
    let host = Platform::host();
    let predefined = predefined_arguments((&host, &host), "");
    let is_known = |name: &String| {
        declared.contains(name)
            || predefined.contains_key(name)
            || PROXIES.contains(&name.as_str())
            || name.starts_with("BUILDKIT_")
            || name == "SOURCE_DATE_EPOCH"
    };
    let unknown = given.keys().filter(|name| !is_known(name));
    unknown.map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_environment_and_arguments_counts() {
        let mut scope = Scope::of_environment(&["PATH=/bin", "A=1", "E=5"]);
        scope.declare("A", Some("2".into()));
        scope.declare("B", Some("3".into()));
        scope.declare("C", None);
        scope.declare("E", None);
        assert_eq!(scope.value("A").as_deref(), Some("2"));
        assert_eq!(scope.value("E").as_deref(), Some("5"));
        assert_eq!(
            (scope.value("B").as_deref(), scope.value("C")),
            (Some("3"), None)
        );
        assert_eq!(scope.environment(), ["PATH=/bin", "A=1", "E=5"]);
        assert_eq!(scope.of_commands(), ["PATH=/bin", "A=2", "E=5", "B=3"]);
        scope.set("B", "4");
        scope.set("A", "6");
        assert_eq!(scope.environment(), ["PATH=/bin", "A=6", "E=5", "B=4"]);
        assert_eq!(scope.of_commands(), scope.environment());
        let told: Vec<_> = scope.declarations().collect();
        assert_eq!(
            told,
            [
                ("A", "6".into()),
                ("B", "4".into()),
                ("C", String::new()),
                ("E", "5".into())
            ]
        );
        assert_eq!(
            scope.names().into_iter().collect::<Vec<_>>(),
            ["A", "B", "E", "PATH"]
        );
    }

    #[test]
    fn arguments_that_mean_nothing_are_found() {
        let names = [
            "OWN",
            "TYPO",
            "http_proxy",
            "TARGETOS",
            "BUILDKIT_INLINE_CACHE",
            "SOURCE_DATE_EPOCH",
        ];
        let given = names.map(|name| (name.to_owned(), String::new())).into();
        let declared = BTreeSet::from(["OWN".to_owned(), "OTHER".to_owned()]);
        assert_eq!(undeclared_arguments(&given, &declared), ["TYPO"]);
    }

    #[test]
    fn platforms_are_told_in_parts() {
        let wasm = Platform::new("wasi", "wasm");
        let found = predefined_arguments((&wasm, &"linux/arm/v7".parse().unwrap()), "default");
        assert_eq!(found["TARGETSTAGE"], "default");
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
