//! The option strings of an OCI mount (runtime-spec `config.md`, "Linux mount options"), understood.
//!
//! Three kinds are told apart: attributes of the mount itself, flags of the file system, and words only
//! the file system knows (`size=64m`).

use std::path::PathBuf;

use berth_sys::mount::Propagation;

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const ATIME: u64 = 0x70;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// A change of mount attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    /// Set these.
    pub(crate) set: u64,
    /// Clear these.
    pub(crate) clear: u64,
}

impl Attributes {
    fn apply(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear & !set) | set;
        self.clear = (self.clear & !set) | clear;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

/// How ids of the source appear in the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdMapped {
    /// On this mount.
    Single,
    /// On this one and those beneath.
    Recursive,
}

/// Everything the option strings of one mount say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options {
    /// `bind` (`Some(false)`) or `rbind` (`Some(true)`).
    pub(crate) bind: Option<bool>,
    /// For this mount.
    pub(crate) attributes: Attributes,
    /// For this mount and those beneath it (`rro`, `rnosuid`, …).
    pub(crate) recursive: Attributes,
    /// Propagation changes, each with whether it is recursive.
    pub(crate) propagation: Vec<(Propagation, bool)>,
    /// `remount`: change what is mounted there already.
    pub(crate) remount: bool,
    /// `tmpcopyup`: fill a tmpfs with what it hides.
    pub(crate) copy_up: bool,
    /// `subpath=PATH`, berth's own word: only this part of the source, resolved beneath it.
    pub(crate) subpath: Option<PathBuf>,
    /// `idmap` or `ridmap`.
    pub(crate) id_mapped: Option<IdMapped>,
    /// Flags of the file system: `sync`, `dirsync`, `lazytime`, `mand`, `silent`, `iversion`.
    pub(crate) flags: Vec<&'static str>,
    /// What the file system itself understands: key and value.
    pub(crate) data: Vec<(String, Option<String>)>,
}

impl Options {
    /// Understands the option strings; later ones win.
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut options = Self::default();
        for word in words {
            options.word(word);
        }
        options
    }

    fn word(&mut self, word: &str) {
        if let Some((set, clear)) = attribute(word) {
            self.attributes.apply(set, clear);
        } else if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
            self.recursive.apply(set, clear);
        } else if let Some(change) = propagation(word) {
            self.propagation.push(change);
        } else if let Some(flag) = flag(word) {
            self.flags.push(flag);
        } else {
            self.rest(word);
        }
    }

    fn rest(&mut self, word: &str) {
        match word {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_mapped = Some(IdMapped::Single),
            "ridmap" => self.id_mapped = Some(IdMapped::Recursive),
            // What holds anyway, and flags that only undo a default no new mount has. Labels of volumes
            // (z, Z), copy modes and consistency hints are the engine's, not the kernel's.
            "" | "defaults" | "loud" | "async" | "nomand" | "noiversion" | "nolazytime"
            | "nofail" | "auto" | "noauto" | "z" | "Z" | "nocopy" | "copy" | "consistent"
            | "cached" | "delegated" => {
                self.undo(word);
            }
            _ => self.data.push(match word.split_once('=') {
                Some(("subpath", path)) => return self.subpath = Some(path.into()),
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (word.to_owned(), None),
            }),
        }
    }

    fn undo(&mut self, word: &str) {
        let flag = match word {
            "async" => "sync",
            "nomand" => "mand",
            "noiversion" => "iversion",
            "nolazytime" => "lazytime",
            "loud" => "silent",
            _ => return,
        };
        self.flags.retain(|own| *own != flag);
    }
}

/// The attribute bits a word sets and clears.
fn attribute(word: &str) -> Option<(u64, u64)> {
    Some(match word {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "noatime" => (NOATIME, ATIME & !NOATIME),
        "strictatime" => (STRICTATIME, ATIME & !STRICTATIME),
        "relatime" | "norelatime" | "nostrictatime" | "atime" => (0, ATIME),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        _ => return None,
    })
}

/// The propagation a word asks for; also used for `linux.rootfsPropagation`.
pub(crate) fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

fn flag(word: &str) -> Option<&'static str> {
    ["sync", "dirsync", "lazytime", "mand", "silent", "iversion"]
        .into_iter()
        .find(|known| *known == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn attributes_and_data_are_told_apart() {
        let options = parse("nosuid,noexec,newinstance,ptmxmode=0666,gid=5,ro,rw,sync");
        assert_eq!(options.attributes.set, NOSUID | NOEXEC);
        assert_eq!(options.attributes.clear, RDONLY);
        assert_eq!(options.flags, ["sync"]);
        assert_eq!(
            options.data,
            [
                ("newinstance".to_owned(), None),
                ("ptmxmode".to_owned(), Some("0666".to_owned())),
                ("gid".to_owned(), Some("5".to_owned())),
            ]
        );
    }

    #[test]
    fn recursive_words_are_not_plain_ones() {
        let options = parse("rbind,rro,rprivate,relatime,rnosuid,ridmap");
        assert_eq!(options.bind, Some(true));
        assert_eq!(
            options.attributes,
            Attributes {
                set: 0,
                clear: ATIME
            }
        );
        assert_eq!(options.recursive.set, RDONLY | NOSUID);
        assert_eq!(options.propagation, [(Propagation::Private, true)]);
        assert_eq!(options.id_mapped, Some(IdMapped::Recursive));
        assert!(options.data.is_empty());
        let options = parse("rbind,subpath=a/b=c");
        assert_eq!(options.subpath, Some(PathBuf::from("a/b=c")));
        assert!(options.data.is_empty());
    }

    #[test]
    fn every_word_of_the_specification_is_known() {
        let words = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime \
            nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow \
            private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodev rnodiratime rnoexec \
            rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave \
            rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync \
            tmpcopyup unbindable idmap ridmap";
        for word in words.split_whitespace() {
            let options = parse(word);
            assert!(options.data.is_empty(), "{word}");
        }
    }
}
