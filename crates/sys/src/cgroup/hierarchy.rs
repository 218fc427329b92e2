//! Which cgroup hierarchies the host has mounted, and where.
//!
//! ```text
//! legacy    v1 hierarchies only, each with one or more controllers, or with none and a name
//! hybrid    v1 hierarchies and a cgroup2 without (most of) the controllers; it still kills, freezes
//!           and takes clone3's CLONE_INTO_CGROUP
//! unified   cgroup2 only
//! ```

use std::fs;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};

/// The v1 controllers as they appear in mount options; anything else there is a file system option.
const V1_CONTROLLERS: [&str; 14] = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where its root, or the part of it this process may see, is mounted.
    pub(super) mount_point: PathBuf,
    /// Its controllers; for cgroup2 those offered at the mount point, for a named hierarchy `name=…`.
    pub(super) controllers: Vec<String>,
    /// Whether it is cgroup2.
    pub(super) unified: bool,
}

impl Hierarchy {
    /// Whether the hierarchy has the controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// The host's cgroup hierarchies, found once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    pub(super) all: Vec<Hierarchy>,
}

/// How the host's cgroups are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// v1 hierarchies only.
    Legacy,
    /// v1 hierarchies with a cgroup2 beside them.
    Hybrid,
    /// cgroup2 only.
    Unified,
}

impl Hierarchies {
    /// Finds the mounted hierarchies.
    ///
    /// # Errors
    /// There are none, or `/proc` cannot be read.
    pub fn discover() -> Result<Self> {
        const MOUNTS: &str = "/proc/self/mountinfo";
        let text = fs::read_to_string(MOUNTS).map_err(|cause| {
            Error::new(
                Class::Internal,
                format!("cannot find the host's cgroups in {MOUNTS}"),
            )
            .caused_by(cause)
        })?;
        let mut all = parse(&text);
        for hierarchy in all.iter_mut().filter(|hierarchy| hierarchy.unified) {
            let path = hierarchy.mount_point.join("cgroup.controllers");
            let offered = fs::read_to_string(&path).map_err(|cause| {
                Error::new(Class::Internal, format!("cannot read {}", path.display()))
                    .caused_by(cause)
            })?;
            hierarchy.controllers = offered
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect();
        }
        if all.is_empty() {
            return Err(
                Error::new(Class::Unsupported, "no cgroup file system is mounted")
                    .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
            );
        }
        Ok(Self { all })
    }

    /// How they are laid out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let unified = self.all.iter().any(|hierarchy| hierarchy.unified);
        let legacy = self.all.iter().any(|hierarchy| !hierarchy.unified);
        match (unified, legacy) {
            (true, true) => Layout::Hybrid,
            (true, false) => Layout::Unified,
            (false, _) => Layout::Legacy,
        }
    }

    /// Whether a controller is available, under its v1 or its v2 name (`blkio` or `io`).
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.all.iter().any(|hierarchy| hierarchy.has(controller))
    }
}

/// Reads the cgroup mounts out of `mountinfo` (proc(5)); a hierarchy mounted twice counts once.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut all: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else {
            continue;
        };
        let mut file_system = file_system.split(' ');
        let unified = match file_system.next() {
            Some("cgroup") => false,
            Some("cgroup2") => true,
            _ => continue,
        };
        let options = file_system.nth(1).unwrap_or_default();
        let Some(mount_point) = mount.split(' ').nth(4) else {
            continue;
        };
        let mount_point = PathBuf::from(unescape(mount_point));
        let controllers: Vec<String> = if unified {
            Vec::new()
        } else {
            options
                .split(',')
                .filter(|option| V1_CONTROLLERS.contains(option) || option.starts_with("name="))
                .map(str::to_owned)
                .collect()
        };
        let same = all
            .iter_mut()
            .find(|known| known.unified == unified && known.controllers == controllers);
        match same {
            // Later mounts hide earlier ones, and only what lies below /sys/fs/cgroup is the system's
            // own: bind mounts into other roots must not win.
            Some(known) if mount_point.starts_with("/sys/fs/cgroup") => {
                known.mount_point = mount_point;
            }
            Some(_) => {}
            None => all.push(Hierarchy {
                mount_point,
                controllers,
                unified,
            }),
        }
    }
    all
}

/// Undoes mountinfo's octal escapes of blank, tab, newline and backslash.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_is_read() {
        let text = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
90 80 0:32 /a\\040b /mnt/x\\040y rw,relatime - cgroup cgroup rw,memory
";
        let all = parse(text);
        let shown: Vec<_> = all
            .iter()
            .map(|one| {
                (
                    one.mount_point.to_str().unwrap(),
                    one.controllers.join(","),
                    one.unified,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (
                    "/sys/fs/cgroup/cpu,cpuacct",
                    "cpu,cpuacct".to_owned(),
                    false
                ),
                ("/sys/fs/cgroup/memory", "memory".to_owned(), false),
                ("/sys/fs/cgroup/systemd", "name=systemd".to_owned(), false),
                ("/sys/fs/cgroup/unified", String::new(), true),
            ]
        );
        assert_eq!(Hierarchies { all }.layout(), Layout::Hybrid);
        assert_eq!(unescape("/mnt/x\\040y"), "/mnt/x y");
    }

    #[test]
    fn this_host_has_cgroups() {
        assert!(Hierarchies::discover().unwrap().has("pids"));
    }
}
