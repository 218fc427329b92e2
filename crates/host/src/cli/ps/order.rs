//! `ps --sort`: in which order containers are listed.

use std::cmp::Reverse;

use berth_host::api::types::ContainerSummary;

use super::row::names;

/// What containers are listed by, as Podman names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Order {
    Command,
    Created,
    Id,
    Image,
    Names,
    Runningfor,
    Size,
    Status,
}

impl Order {
    /// Sorts; what is equal stays in the order it had.
    pub(super) fn sort(self, containers: &mut [ContainerSummary]) {
        let size = |one: &ContainerSummary| {
            one.size_rw
                .unwrap_or(0)
                .saturating_add(one.size_root_fs.unwrap_or(0))
        };
        match self {
            Self::Command => containers.sort_by(|one, other| one.command.cmp(&other.command)),
            Self::Created => containers.sort_by_key(|one| one.created),
            Self::Id => containers.sort_by(|one, other| one.id.cmp(&other.id)),
            Self::Image => containers.sort_by(|one, other| one.image.cmp(&other.image)),
            Self::Names => containers.sort_by_key(names),
            Self::Runningfor => containers.sort_by_key(|one| Reverse(one.created)),
            Self::Size => containers.sort_by_key(size),
            Self::Status => containers.sort_by(|one, other| one.state.cmp(&other.state)),
        }
    }
}
