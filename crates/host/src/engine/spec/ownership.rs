//! `:idmap`: a bind mount in which the source's owner is the container's user, and the other way round, so
//! that what the container writes belongs to whoever owns the directory, and nothing is changed on disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use berth_contract::Result;
use berth_contract::oci::{LinuxIdMapping, Mount};
use berth_sys::error::Explain as _;

use crate::engine::mount::{Material, Planned};
use crate::engine::user::Identity;

/// The last user and group there is; the number above means "nobody" (-1).
const LAST: u32 = u32::MAX - 1;

/// Adds the maps to the mounts that ask for them.
pub(super) fn match_users(
    mounts: &mut [Mount],
    planned: &[Planned],
    identity: &Identity,
) -> Result<()> {
    for wanted in planned.iter().filter(|planned| planned.matches_user) {
        let Material::Path(source) = &wanted.material else {
            continue;
        };
        let owner = fs::metadata(source).explain(|| format!("cannot use {}", source.display()))?;
        let found = mounts
            .iter_mut()
            .find(|mount| mount.destination == wanted.destination);
        if let Some(mount) = found {
            let mut options = mount.options.clone().unwrap_or_default();
            options.push("idmap".to_owned());
            mount.options = Some(options);
            mount.uid_mappings = Some(exchanged(owner.uid(), identity.uid));
            mount.gid_mappings = Some(exchanged(owner.gid(), identity.gid));
        }
    }
    Ok(())
}

/// All ids as they are, but for two that change places.
fn exchanged(one: u32, other: u32) -> Vec<LinuxIdMapping> {
    let (low, high) = (one.min(other), one.max(other));
    let mut lines = Vec::new();
    let mut line = |inside: u32, outside: u32, last: u32| {
        lines.push(LinuxIdMapping {
            host_id: outside,
            container_id: inside,
            size: last - inside + 1,
        });
    };
    if low > 0 {
        line(0, 0, low - 1);
    }
    line(low, high, low);
    if high > low {
        if high - low > 1 {
            line(low + 1, low + 1, high - 1);
        }
        line(high, low, high);
    }
    if high < LAST {
        line(high + 1, high + 1, LAST);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_change_places() {
        let shown = |one, other| {
            let lines = exchanged(one, other);
            let line = |line: &LinuxIdMapping| {
                format!("{}>{}+{}", line.container_id, line.host_id, line.size)
            };
            lines.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        let rest = |from: u32| format!("{from}>{from}+{}", LAST - from + 1);
        assert_eq!(
            shown(1000, 0),
            format!("0>1000+1 1>1+999 1000>0+1 {}", rest(1001))
        );
        assert_eq!(shown(5, 6), format!("0>0+5 5>6+1 6>5+1 {}", rest(7)));
        assert_eq!(shown(7, 7), format!("0>0+7 7>7+1 {}", rest(8)));
        assert_eq!(
            shown(0, LAST),
            format!("0>{LAST}+1 1>1+{} {LAST}>0+1", LAST - 1)
        );
    }
}
