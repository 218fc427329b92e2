//! `RUN --mount=type=…`: what is there only while a command is executed.

use super::boolean;

/// One mount. Its texts may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The flag's value as it is written.
    pub text: String,
}

/// One mount once its variables are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, of a stage or of an image.
    Bind {
        /// Where.
        target: String,
        /// What, beneath the root of `from`.
        source: String,
        /// Of what; otherwise the context.
        from: Option<String>,
        /// Whether it can be written to; nothing of that is kept.
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Where.
        target: String,
        /// Which; otherwise the target names it.
        id: Option<String>,
        /// What it begins with: a path beneath the root of `from`.
        source: String,
        /// Of what; otherwise it begins empty.
        from: Option<String>,
        /// Whether it cannot be written to.
        read_only: bool,
        /// What other commands may do meanwhile.
        sharing: Sharing,
        /// Its mode when it is made.
        mode: u32,
        /// Its owner when it is made.
        owner: (u32, u32),
    },
    /// A file system in memory.
    Tmpfs {
        /// Where.
        target: String,
        /// How many bytes it may hold.
        size: Option<u64>,
    },
    /// A secret as a file, an environment variable, or both.
    Secret {
        /// Which.
        id: String,
        /// Where, if as a file.
        target: Option<String>,
        /// The variable, if as one.
        variable: Option<String>,
        /// Whether its absence is a failure.
        required: bool,
        /// The file's mode.
        mode: u32,
        /// The file's owner.
        owner: (u32, u32),
    },
    /// An ssh agent's socket.
    Ssh {
        /// Which.
        id: String,
        /// Where.
        target: Option<String>,
        /// Whether its absence is a failure.
        required: bool,
        /// The socket's mode.
        mode: u32,
        /// The socket's owner.
        owner: (u32, u32),
    },
}

/// What others may do with a cache meanwhile, the strictest last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// Use it too.
    #[default]
    Shared,
    /// Use another one.
    Private,
    /// Wait.
    Locked,
}

/// The keys of a mount, collected before it is known which of them its type allows.
#[derive(Debug, Default)]
struct Keys {
    kind: Option<String>,
    target: Option<String>,
    source: Option<String>,
    from: Option<String>,
    id: Option<String>,
    read_only: Option<bool>,
    required: Option<bool>,
    sharing: Option<Sharing>,
    size: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    variable: Option<String>,
    given: Vec<String>,
}

impl Mount {
    /// Where its files come from, as it is written.
    #[must_use]
    pub fn from(&self) -> Option<String> {
        fields(&self.text).iter().find_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.eq_ignore_ascii_case("from").then(|| value.to_owned())
        })
    }
}

impl MountKind {
    /// Reads the value of `--mount`.
    ///
    /// # Errors
    /// An unknown key, one that the type does not have, or a missing target.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Keys::default();
        for field in fields(text) {
            keys.set(&field)?;
        }
        let kind = keys.kind.clone().unwrap_or_else(|| "bind".to_owned());
        let allowed: &[&str] = match kind.as_str() {
            "bind" => &["target", "source", "from", "readonly", "relabel"],
            "cache" => &[
                "target", "source", "from", "readonly", "id", "sharing", "mode", "uid", "gid",
                "relabel",
            ],
            "tmpfs" => &["target", "size"],
            "secret" => &[
                "id", "target", "source", "env", "required", "mode", "uid", "gid",
            ],
            "ssh" => &["id", "target", "required", "mode", "uid", "gid"],
            other => {
                let near = suggested(other, &["bind", "cache", "tmpfs", "secret", "ssh"]);
                return Err(format!("unsupported mount type {other:?}{near}"));
            }
        };
        if let Some(unexpected) = keys
            .given
            .iter()
            .find(|key| !allowed.contains(&key.as_str()))
        {
            return Err(format!(
                "unexpected key '{unexpected}' for mount type '{kind}'"
            ));
        }
        keys.finish(&kind)
    }
}

/// Every key there is.
const KEYS: [&str; 14] = [
    "type",
    "target",
    "source",
    "from",
    "readonly",
    "readwrite",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

fn suggested(word: &str, known: &[&str]) -> String {
    let near = super::nearest(word, known.iter().copied());
    near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

impl Keys {
    #[expect(clippy::too_many_lines, reason = "one arm for each key")]
    fn set(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let text = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"))
        };
        let flag = || match value {
            None => Ok(true),
            Some(value) => {
                boolean(value).ok_or_else(|| format!("invalid value for {key}: {value}"))
            }
        };
        let number = |radix| {
            let value = text()?;
            u32::from_str_radix(&value, radix)
                .map_err(|error| format!("invalid value {value} for {key}: {error}"))
        };
        // The number that stands for nobody in `chown(2)`.
        let owner = |id: u32| match id {
            u32::MAX => Err(format!(
                "invalid value {id} for {key}: no user and no group has it"
            )),
            id => Ok(id),
        };
        let name = match key.as_str() {
            "type" => {
                self.kind = Some(text()?.to_ascii_lowercase());
                return Ok(());
            }
            "target" | "dst" | "destination" => {
                self.target = Some(text()?);
                "target"
            }
            "source" | "src" => {
                self.source = Some(text()?);
                "source"
            }
            "from" => {
                self.from = Some(text()?);
                "from"
            }
            "id" => {
                self.id = Some(text()?);
                "id"
            }
            "readonly" | "ro" => {
                self.read_only = Some(flag()?);
                "readonly"
            }
            "readwrite" | "rw" => {
                self.read_only = Some(!flag()?);
                "readonly"
            }
            "required" => {
                self.required = Some(flag()?);
                "required"
            }
            "sharing" => {
                self.sharing = Some(match text()?.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    other => return Err(format!("unsupported sharing value {other:?}")),
                });
                "sharing"
            }
            "size" => {
                self.size = Some(size(&text()?)?);
                "size"
            }
            "mode" => {
                self.mode = Some(number(8)?);
                "mode"
            }
            "uid" => {
                self.uid = Some(owner(number(10)?)?);
                "uid"
            }
            "gid" => {
                self.gid = Some(owner(number(10)?)?);
                "gid"
            }
            "env" => {
                self.variable = Some(text()?);
                "env"
            }
            // Podman's, for SELinux, whose labels nothing has here; as those of --volume.
            "z" if value.is_none() => "relabel",
            "relabel" => match text()?.as_str() {
                "shared" | "private" => "relabel",
                other => return Err(format!("unsupported relabel value {other:?}")),
            },
            _ => {
                let near = suggested(&key, &KEYS);
                return Err(format!("unexpected key '{key}' in '{field}'{near}"));
            }
        };
        self.given.push(name.to_owned());
        Ok(())
    }

    fn finish(self, kind: &str) -> Result<MountKind, String> {
        let owner = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
        let target = self.target.filter(|target| !target.is_empty());
        let required_target = || {
            target
                .clone()
                .ok_or_else(|| format!("a mount of type {kind} needs a target"))
        };
        Ok(match kind {
            "bind" => MountKind::Bind {
                target: required_target()?,
                source: self.source.unwrap_or_else(|| "/".to_owned()),
                from: self.from,
                writable: self.read_only == Some(false),
            },
            "cache" => MountKind::Cache {
                target: required_target()?,
                id: self.id,
                source: self.source.unwrap_or_else(|| "/".to_owned()),
                from: self.from,
                read_only: self.read_only == Some(true),
                sharing: self.sharing.unwrap_or_default(),
                mode: self.mode.unwrap_or(0o755),
                owner,
            },
            "tmpfs" => MountKind::Tmpfs {
                target: required_target()?,
                size: self.size,
            },
            "secret" => secret(
                self.id.or(self.source),
                target,
                self.variable,
                (
                    self.required == Some(true),
                    self.mode.unwrap_or(0o400),
                    owner,
                ),
            )?,
            _ => MountKind::Ssh {
                id: self.id.unwrap_or_else(|| "default".to_owned()),
                target,
                required: self.required == Some(true),
                mode: self.mode.unwrap_or(0o600),
                owner,
            },
        })
    }
}

/// A secret without an id is called as its file; without a target it lies beneath `/run/secrets`, unless
/// it is a variable.
fn secret(
    id: Option<String>,
    target: Option<String>,
    variable: Option<String>,
    (required, mode, owner): (bool, u32, (u32, u32)),
) -> Result<MountKind, String> {
    let last = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let id = id
        .or_else(|| target.as_ref().map(last))
        .or_else(|| variable.clone())
        .filter(|id| !id.is_empty())
        .ok_or("a mount of type secret needs an id or a target")?;
    let target = match (target, &variable) {
        (None, None) => Some(format!("/run/secrets/{id}")),
        (target, _) => target,
    };
    Ok(MountKind::Secret {
        id,
        target,
        variable,
        required,
        mode,
        owner,
    })
}

/// The comma-separated fields of a text; a field in double quotes may hold commas (RFC 4180).
pub(super) fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else {
            break;
        };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields.retain(|field| !field.is_empty());
    fields
}

fn size(text: &str) -> Result<u64, String> {
    let invalid = || format!("invalid size {text:?}");
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor = match lower[digits.len()..]
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1_u64 << 40,
        _ => return Err(invalid()),
    };
    let number: u64 = digits.parse().ok().ok_or_else(invalid)?;
    number.checked_mul(factor).ok_or_else(invalid)
}

#[cfg(test)]
mod tests;
