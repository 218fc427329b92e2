//! Operating system, architecture and variant, and which entry of an index a host should take.

use std::fmt;
use std::str::FromStr;

use berth_contract::{Class, Error, Result};
use serde::{Deserialize, Serialize};

/// An image's platform as image-spec spells it: `linux/amd64`, `linux/arm/v7`, `wasip1/wasm`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `wasi`, `wasip1`, `wasip2`, …
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`, `wasm`, …
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system's version; only lists say it.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// What the operating system must be able to do; only lists say it.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// A platform without a variant.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// The platform this program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::new("linux", normal_architecture(std::env::consts::ARCH))
    }

    /// The same with the variant that is meant where none is said: of 32-bit Arm, v7.
    #[must_use]
    pub fn with_default_variant(mut self) -> Self {
        if self.architecture == "arm" {
            self.variant.get_or_insert_with(|| "v7".to_owned());
        }
        self
    }

    /// Whether guests of this platform are wasm.
    #[must_use]
    pub fn is_wasm(&self) -> bool {
        self.architecture == "wasm" || self.architecture == "wasm32"
    }

    /// How well an image of platform `offered` serves who asked for `self`: `None` does not, higher is
    /// better.
    ///
    /// All spellings of wasm serve each other (`wasi/wasm`, `wasi/wasm32`, `wasip1/wasm`, `linux/wasm`…); an
    /// exact one is better. Of 32-bit Arm, any older variant serves a newer one.
    #[must_use]
    pub fn served_by(&self, offered: &Self) -> Option<u8> {
        if self.is_wasm() || offered.is_wasm() {
            let both = self.is_wasm() && offered.is_wasm();
            let exact = self.os == offered.os;
            // A request for one WASI version is not served by another.
            let versions = ["wasip1", "wasip2", "wasip3"];
            let versioned = |os: &str| versions.contains(&os);
            let contradicts = versioned(&self.os) && versioned(&offered.os) && !exact;
            return (both && !contradicts).then_some(if exact { 2 } else { 1 });
        }
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (wanted, given) = (self.variant_number(), offered.variant_number());
        if wanted == given {
            Some(20)
        } else if self.variant.is_none() && self.architecture != "arm" {
            // Without a wish, the plainest variant: amd64 before amd64/v3.
            Some(10_u8.saturating_sub(given))
        } else {
            (given < wanted).then_some(10_u8.saturating_add(given))
        }
    }

    /// The variant as a number, with image-spec's defaults: arm64 is v8, arm is v7, amd64 is v1.
    fn variant_number(&self) -> u8 {
        let given = self
            .variant
            .as_deref()
            .and_then(|variant| variant.strip_prefix('v'));
        given
            .and_then(|digits| digits.split('.').next()?.parse().ok())
            .unwrap_or(match self.architecture.as_str() {
                "arm64" => 8,
                "arm" => 7,
                _ => 1,
            })
    }
}

/// Which of these platforms to take: what was asked for, else this host's, else wasm.
pub(crate) fn choose<'a, T>(
    wanted: Option<&Platform>,
    host: &Platform,
    offered: impl Iterator<Item = (&'a Platform, T)> + Clone,
) -> Option<T> {
    let best = |platform: &Platform| {
        let mut best: Option<(u8, T)> = None;
        for (candidate, value) in offered.clone() {
            let Some(score) = platform.served_by(candidate) else {
                continue;
            };
            // The first of equals wins, as in containerd: indexes are in order of preference.
            if best.as_ref().is_none_or(|(known, _)| score > *known) {
                best = Some((score, value));
            }
        }
        best.map(|(_, value)| value)
    };
    match wanted {
        Some(platform) => best(platform),
        None => best(host).or_else(|| best(&Platform::new("wasi", "wasm"))),
    }
}

/// Operating systems that a word alone names.
const SYSTEMS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];

fn normal_architecture(text: &str) -> &str {
    match text {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        "i386" | "i686" | "x86" => "386",
        "powerpc64le" => "ppc64le",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Accepts `os/arch[/variant]`, or one word: an architecture (`arm64`), `wasm`, or an OS.
    fn from_str(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !parts.iter().all(word) {
            return Err(invalid(text));
        }
        let mut platform = match parts[..] {
            ["wasm" | "wasm32" | "wasi"] => Self::new("wasi", "wasm"),
            [os @ ("wasip1" | "wasip2" | "wasip3")] => Self::new(os, "wasm"),
            ["linux"] => Self::host(),
            [os] if SYSTEMS.contains(&os) => Self::new(os, &Self::host().architecture),
            [one] => Self::new("linux", normal_architecture(one)),
            [os, architecture] => Self::new(os, normal_architecture(architecture)),
            [os, architecture, variant] => {
                let platform = Self::new(os, normal_architecture(architecture));
                Self {
                    variant: Some(variant.to_owned()),
                    ..platform
                }
            }
            _ => return Err(invalid(text)),
        };
        if platform.architecture == "arm64" && platform.variant.as_deref() == Some("v8") {
            platform.variant = None;
        }
        Ok(platform)
    }
}

fn invalid(text: &str) -> Error {
    Error::new(Class::Invalid, format!("invalid platform {text:?}"))
        .hint("write it as linux/amd64, linux/arm/v7 or wasi/wasm")
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(wanted: Option<&str>, host: &str, offered: &[&str]) -> Option<String> {
        let parsed: Vec<Platform> = offered.iter().map(|text| text.parse().unwrap()).collect();
        let wanted: Option<Platform> = wanted.map(|text| text.parse().unwrap());
        choose(
            wanted.as_ref(),
            &host.parse().unwrap(),
            parsed.iter().map(|p| (p, p.to_string())),
        )
    }

    #[test]
    fn native_wins_where_it_fits_and_wasm_otherwise() {
        let both = ["wasi/wasm", "linux/arm64", "linux/amd64"];
        assert_eq!(pick(None, "linux/amd64", &both).unwrap(), "linux/amd64");
        assert_eq!(pick(None, "linux/riscv64", &both).unwrap(), "wasi/wasm");
        assert_eq!(
            pick(Some("wasi/wasm"), "linux/amd64", &both).unwrap(),
            "wasi/wasm"
        );
        assert_eq!(
            pick(Some("linux/arm64/v8"), "linux/amd64", &both).unwrap(),
            "linux/arm64"
        );
        assert_eq!(pick(Some("linux/s390x"), "linux/amd64", &both), None);
        assert_eq!(pick(None, "linux/s390x", &["linux/amd64"]), None);
    }

    #[test]
    fn spellings_of_wasm_serve_each_other_but_versions_do_not() {
        assert_eq!(
            pick(Some("wasi/wasm"), "linux/amd64", &["wasi/wasm32"]).unwrap(),
            "wasi/wasm32"
        );
        assert_eq!(
            pick(Some("wasm"), "linux/amd64", &["linux/wasm"]).unwrap(),
            "linux/wasm"
        );
        assert_eq!(
            pick(Some("wasip2/wasm"), "linux/amd64", &["wasip1/wasm"]),
            None
        );
        let two = ["wasip1/wasm", "wasip2/wasm"];
        assert_eq!(
            pick(Some("wasip2"), "linux/amd64", &two).unwrap(),
            "wasip2/wasm"
        );
    }

    #[test]
    fn variants_are_ordered() {
        let arms = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"];
        assert_eq!(
            pick(Some("linux/arm/v6"), "linux/amd64", &arms).unwrap(),
            "linux/arm/v6"
        );
        assert_eq!(
            pick(Some("linux/arm"), "linux/amd64", &arms[..2]).unwrap(),
            "linux/arm/v6"
        );
        assert_eq!(pick(Some("linux/arm/v5"), "linux/amd64", &arms[1..]), None);
        let levels = ["linux/amd64/v3", "linux/amd64"];
        assert_eq!(pick(None, "linux/amd64", &levels).unwrap(), "linux/amd64");
        assert_eq!(
            pick(None, "linux/amd64", &levels[..1]).unwrap(),
            "linux/amd64/v3"
        );
    }

    #[test]
    fn words_and_nonsense() {
        assert_eq!(
            "x86_64".parse::<Platform>().unwrap().to_string(),
            "linux/amd64"
        );
        assert_eq!("wasm".parse::<Platform>().unwrap().to_string(), "wasi/wasm");
        let windows = "windows".parse::<Platform>().unwrap();
        assert_eq!(
            (windows.os.as_str(), windows.architecture),
            ("windows", Platform::host().architecture)
        );
        for (text, expected) in [
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/arm64", "linux/arm64"),
        ] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.with_default_variant().to_string(), expected);
        }
        for text in ["", "/", "a/", "a/b/c/d", "linux/amd 64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
