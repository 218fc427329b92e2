//! What a guest sees as `/sys/fs/cgroup`: its own cgroup, laid out as the host's are.
//!
//! ```text
//! unified   cgroup2 at the destination
//! legacy    tmpfs at the destination, one cgroup file system for each hierarchy beneath it
//! hybrid    as legacy, with cgroup2 at `unified`
//! ```
//! A cgroup namespace makes the guest's own cgroup the root of each of them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use berth_contract::Result;
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{self, Attributes, Change, FileSystem};
use berth_sys::path::{self, Directory};

use crate::mounts;
use crate::plan::MountPlan;

/// Where hosts have it.
const PLACE: &str = "/sys/fs/cgroup";

/// One line of `/proc/self/cgroup`.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy<'a> {
    /// Controllers, or `name=…`; empty for cgroup2.
    controllers: &'a str,
}

impl Hierarchy<'_> {
    /// Its directory beneath `/sys/fs/cgroup`.
    fn directory(&self) -> &str {
        match self.controllers {
            "" => "unified",
            named => named.strip_prefix("name=").unwrap_or(named),
        }
    }
}

fn parse(text: &str) -> Vec<Hierarchy<'_>> {
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .map(|controllers| Hierarchy { controllers })
        .collect()
}

/// Mounts the view.
pub(crate) fn mount(root: &Directory, plan: &MountPlan) -> Result<()> {
    let sentence = || format!("cannot mount {}", plan.destination.display());
    let text = std::fs::read_to_string("/proc/self/cgroup").explain(sentence)?;
    let hierarchies = parse(&text);
    let attributes =
        Attributes::from_bits_retain(u32::try_from(plan.options.attributes.set).unwrap_or(0));
    if let [only] = hierarchies.as_slice()
        && only.controllers.is_empty()
    {
        let made = file_system(only, attributes)
            .or_else(|error| host_instead(error, Path::new(PLACE), attributes))
            .explain(sentence)?;
        return mounts::put(root, plan, &made, true);
    }
    let tmpfs = FileSystem::new("tmpfs")
        .and_then(|tmpfs| {
            tmpfs.string("source", "tmpfs")?;
            tmpfs.string("mode", "755")?;
            tmpfs.mount(attributes.difference(Attributes::MOUNT_ATTR_RDONLY))
        })
        .explain(sentence)?;
    mounts::put(root, plan, &tmpfs, true)?;
    let top = Directory::from_fd(tmpfs);
    for hierarchy in &hierarchies {
        // cgroup2 without a mount on the host is listed all the same.
        match file_system(hierarchy, attributes) {
            Ok(made) => attach(&top, hierarchy, &made).explain(sentence)?,
            Err(error) if hierarchy.controllers.is_empty() && !error::is(&error, Errno::NOMEM) => {}
            Err(error) => {
                let place = Path::new(PLACE).join(hierarchy.directory());
                let made = host_instead(error, &place, attributes).explain(sentence)?;
                attach(&top, hierarchy, &made).explain(sentence)?;
            }
        }
    }
    let set = u64::from((attributes & Attributes::MOUNT_ATTR_RDONLY).bits());
    mount::set_attributes(
        &top,
        &Change {
            set,
            ..Change::default()
        },
    )
    .explain(sentence)
}

fn attach(top: &Directory, hierarchy: &Hierarchy<'_>, made: &OwnedFd) -> io::Result<()> {
    let name = hierarchy.directory();
    let target = path::make_directory(top, name, 0o755)?;
    mount::attach(made, target)?;
    for controller in name.split(',').filter(|controller| *controller != name) {
        path::make_link(top, controller, name)?;
    }
    Ok(())
}

fn file_system(hierarchy: &Hierarchy<'_>, attributes: Attributes) -> io::Result<OwnedFd> {
    if hierarchy.controllers.is_empty() {
        let cgroup = FileSystem::new("cgroup2")?;
        cgroup.string("source", "cgroup")?;
        return cgroup.mount(attributes);
    }
    let cgroup = FileSystem::new("cgroup")?;
    cgroup.string("source", "cgroup")?;
    match hierarchy.controllers.strip_prefix("name=") {
        Some(name) => {
            cgroup.flag("none")?;
            cgroup.string("name", name)?;
        }
        None => {
            for controller in hierarchy.controllers.split(',') {
                cgroup.flag(controller)?;
            }
        }
    }
    cgroup.mount(attributes)
}

/// With users of its own a guest may not mount what shows the host's cgroup namespace; the host's own mount
/// shows the same, and is made as safe as the new one would have been.
fn host_instead(error: io::Error, place: &Path, attributes: Attributes) -> io::Result<OwnedFd> {
    if !error::is(&error, Errno::PERM) {
        return Err(error);
    }
    let host = mount::clone_path(place, true)?;
    let set = u64::from(attributes.bits());
    mount::set_attributes(
        &host,
        &Change {
            set,
            recursive: true,
            ..Change::default()
        },
    )?;
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_as_on_hosts() {
        let names = |text| {
            parse(text)
                .iter()
                .map(|one| one.directory().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("0::/x\n"), ["unified"]);
        assert_eq!(
            names("5:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/\n"),
            ["cpu,cpuacct", "systemd", "unified"]
        );
    }
}
