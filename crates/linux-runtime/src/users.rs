//! The users of a guest that has its own: the namespace that says who they are, and who its root is.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use berth_contract::{Error, Result, Stdio};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::namespace::{self, Mapping, Namespaces};
use berth_sys::path;

use crate::plan::Plan;

/// A guest's users as the host sees them.
#[derive(Debug)]
pub(crate) struct Users {
    /// A user namespace with the guest's maps.
    namespace: OwnedFd,
    root: Root,
}

/// What the guest's user and group 0 are on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Users {
    /// The users of a guest; `None` when they are the host's.
    pub(crate) fn of(plan: &Plan) -> Result<Option<Self>> {
        if plan.namespaces.contains(Namespaces::USER) {
            return Ok(Some(Self {
                namespace: mapped(&plan.users, &plan.groups)?,
                root: Root::of(&plan.users, &plan.groups),
            }));
        }
        let Some(path) = plan.joined(Namespaces::USER) else {
            return Ok(None);
        };
        let sentence = || format!("cannot join the user namespace {}", path.display());
        let namespace: OwnedFd = File::open(path).explain(sentence)?.into();
        let (users, groups) = namespace::maps_of(&namespace).explain(sentence)?;
        Ok(Some(Self {
            root: Root::of(&users, &groups),
            namespace,
        }))
    }

    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    pub(crate) fn root(&self) -> Root {
        self.root
    }
}

impl Root {
    fn of(users: &[Mapping], groups: &[Mapping]) -> Self {
        let outside = |map: &[Mapping]| {
            map.iter()
                .find(|line| line.inside == 0)
                .map_or(0, |line| line.outside)
        };
        Self {
            user: outside(users),
            group: outside(groups),
        }
    }

    /// Makes the guest's root the owner of its pipes: a guest may give to its own users only what already
    /// belongs to one of them, and `/dev/stdout` is to be opened again by its user.
    pub(crate) fn give(self, stdio: &Stdio) {
        let Stdio::Files {
            stdin,
            stdout,
            stderr,
        } = stdio
        else {
            return;
        };
        for file in [stdin, stdout, stderr] {
            if path::status(file).is_ok_and(|status| path::is_pipe(&status)) {
                // Without it, only opening it again by name fails.
                drop(path::set_owner(file, self.user, self.group));
            }
        }
    }
}

/// A user namespace with these maps, for id-mapped mounts.
pub(crate) fn mapped(users: &[Mapping], groups: &[Mapping]) -> Result<OwnedFd> {
    namespace::mapped_users(users, groups).map_err(|error| {
        let denied = error::is(&error, Errno::PERM);
        let error =
            Error::new(error::class(&error), "cannot map the container's users").caused_by(error);
        if denied {
            error.hint("the kernel makes no user namespace inside a chroot")
        } else {
            error
        }
    })
}
