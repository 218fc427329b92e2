//! Device access rules: the OCI list, normalised, and its v1 spelling.
//!
//! A cgroup starts with everything allowed; each rule then changes what its devices may do, in order.

use berth_contract::{Class, Error, Result, oci};

/// `mknod`, `BPF_DEVCG_ACC_MKNOD`.
pub(super) const MAKE: u8 = 1;
/// Reading, `BPF_DEVCG_ACC_READ`.
pub(super) const READ: u8 = 2;
/// Writing, `BPF_DEVCG_ACC_WRITE`.
pub(super) const WRITE: u8 = 4;
/// All three.
pub(super) const ANY: u8 = MAKE | READ | WRITE;

/// What kind of device a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Both.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Character,
}

/// One rule; `None` for a number means every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Kind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: u8,
}

/// Normalises the OCI list.
///
/// # Errors
/// An access string with letters other than `r`, `w`, `m`, or a number no device can have.
pub(super) fn normalise(list: &[oci::LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    let mut rules = Vec::with_capacity(list.len());
    for entry in list {
        let kind = match entry.kind {
            None | Some(oci::LinuxDeviceType::All) => Kind::All,
            Some(oci::LinuxDeviceType::Block) => Kind::Block,
            Some(oci::LinuxDeviceType::Character | oci::LinuxDeviceType::Unbuffered) => {
                Kind::Character
            }
            Some(oci::LinuxDeviceType::Fifo) => {
                return Err(Error::new(
                    Class::Invalid,
                    "cannot apply a device rule of type p: FIFOs are not devices",
                ));
            }
        };
        rules.push(Rule {
            allow: entry.allow,
            kind,
            major: number(entry.major)?,
            minor: number(entry.minor)?,
            access: access(entry.access.as_deref())?,
        });
    }
    Ok(rules)
}

fn number(value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|cause| {
            Error::new(
                Class::Invalid,
                format!("cannot apply a device rule for number {number}"),
            )
            .caused_by(cause)
        }),
    }
}

fn access(text: Option<&str>) -> Result<u8> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(ANY);
    };
    let mut access = 0;
    for letter in text.chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MAKE,
            _ => {
                return Err(Error::new(
                    Class::Invalid,
                    format!(
                        "cannot apply a device rule with access {text:?}: only r, w and m exist"
                    ),
                ));
            }
        };
    }
    Ok(access)
}

/// The lines v1 wants for a rule, for `devices.allow` or `devices.deny`.
///
/// v1 takes type `a` as "everything", whatever numbers and access follow, so a narrower rule about both
/// kinds is spelt as one line for each.
pub(super) fn lines(rule: &Rule) -> Vec<String> {
    let everything = rule.major.is_none() && rule.minor.is_none() && rule.access == ANY;
    let kinds: &[char] = match rule.kind {
        Kind::All if everything => return vec!["a".to_owned()],
        Kind::All => &['b', 'c'],
        Kind::Block => &['b'],
        Kind::Character => &['c'],
    };
    let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let mut access = String::with_capacity(3);
    for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')] {
        if rule.access & bit != 0 {
            access.push(letter);
        }
    }
    kinds
        .iter()
        .map(|kind| {
            format!(
                "{kind} {}:{} {access}",
                number(rule.major),
                number(rule.minor)
            )
        })
        .collect()
}

#[cfg(test)]
pub(super) fn docker_rules() -> Vec<Rule> {
    let character = |major, minor, access| Rule {
        allow: true,
        kind: Kind::Character,
        major,
        minor,
        access,
    };
    vec![
        Rule {
            allow: false,
            kind: Kind::All,
            major: None,
            minor: None,
            access: ANY,
        },
        character(None, None, MAKE),
        Rule {
            allow: true,
            kind: Kind::Block,
            major: None,
            minor: None,
            access: MAKE,
        },
        character(Some(1), Some(3), ANY),
        character(Some(1), Some(5), ANY),
        character(Some(136), None, ANY),
        Rule {
            allow: false,
            ..character(Some(10), Some(229), WRITE)
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Result<Vec<Rule>> {
        let entry: oci::LinuxDeviceCgroup = serde_json::from_str(json).unwrap();
        normalise(&[entry])
    }

    #[test]
    fn rules_are_spelt_as_v1_wants_them() {
        for (json, expected) in [
            (r#"{"allow":false,"access":"rwm"}"#, vec!["a"]),
            (r#"{"allow":false}"#, vec!["a"]),
            (
                r#"{"allow":true,"type":"a","access":"m"}"#,
                vec!["b *:* m", "c *:* m"],
            ),
            (
                r#"{"allow":true,"type":"c","major":136,"minor":-1,"access":"mr"}"#,
                vec!["c 136:* rm"],
            ),
            (
                r#"{"allow":true,"type":"b","major":8,"minor":1,"access":"rw"}"#,
                vec!["b 8:1 rw"],
            ),
        ] {
            assert_eq!(lines(&rule(json).unwrap()[0]), expected, "{json}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            r#"{"allow":true,"access":"rx"}"#,
            r#"{"allow":true,"type":"p"}"#,
            r#"{"allow":true,"type":"c","major":-2}"#,
        ] {
            assert!(rule(json).is_err(), "{json}");
        }
    }
}
