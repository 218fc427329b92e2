//! Which capabilities a container's processes have: Docker's rules for `--cap-add` and `--cap-drop`.

use berth_contract::oci::{Capabilities, Capability, LinuxCapabilities};
use berth_contract::{Class, Error, Result};
use berth_linux_runtime::defaults;

/// The set of a container.
pub(crate) fn set(add: &[String], drop: &[String], privileged: bool) -> Result<Capabilities> {
    let (add, add_all) = parse(add)?;
    let (drop, drop_all) = parse(drop)?;
    if privileged {
        return Ok(defaults::all_capabilities());
    }
    let mut set = match (add_all, drop_all) {
        // `--cap-add ALL` wins over `--cap-drop ALL`, as in Docker.
        (true, _) => defaults::all_capabilities(),
        (false, true) => return Ok(add),
        (false, false) => defaults::capabilities(),
    };
    set.retain(|capability| !drop.contains(capability));
    if !add_all {
        set.extend(add);
    }
    Ok(set)
}

/// The five kernel sets: an ordinary user gets them as a bound only, and regains them through setuid
/// programs; nothing is ever inheritable or ambient (CVE-2022-29162).
pub(crate) fn for_user(set: &Capabilities, uid: u32) -> LinuxCapabilities {
    let held = if uid == 0 {
        set.clone()
    } else {
        Capabilities::default()
    };
    LinuxCapabilities {
        bounding: Some(set.clone()),
        effective: Some(held.clone()),
        permitted: Some(held),
        inheritable: Some(Capabilities::default()),
        ambient: Some(Capabilities::default()),
    }
}

fn parse(names: &[String]) -> Result<(Capabilities, bool)> {
    let mut set = Capabilities::default();
    let mut all = false;
    for name in names {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if short == "ALL" {
            all = true;
            continue;
        }
        let capability: Capability = format!("CAP_{short}").parse().map_err(|_unparsable| {
            Error::new(Class::Invalid, format!("unknown capability {name:?}"))
                .hint("man 7 capabilities lists them; write NET_ADMIN or CAP_NET_ADMIN")
        })?;
        set.insert(capability);
    }
    Ok((set, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(add: &[&str], drop: &[&str]) -> Capabilities {
        let own = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        set(&own(add), &own(drop), false).unwrap()
    }

    #[test]
    fn adding_and_dropping() {
        assert_eq!(resolve(&[], &[]).len(), 14);
        assert_eq!(resolve(&["net_admin"], &[]).len(), 15);
        assert_eq!(
            resolve(&["CAP_NET_ADMIN"], &["cap_chown", "MKNOD"]).len(),
            13
        );
        assert_eq!(resolve(&[], &["ALL"]).len(), 0);
        assert_eq!(
            resolve(&["SYS_TIME"], &["all"]),
            [Capability::SysTime].into_iter().collect()
        );
        assert_eq!(resolve(&["ALL"], &[]).len(), 41);
        assert_eq!(resolve(&["ALL"], &["SYS_ADMIN"]).len(), 40);
        assert_eq!(set(&[], &["ALL".into()], true).unwrap().len(), 41);
        assert!(set(&["NOT_ONE".into()], &[], false).is_err());
    }

    #[test]
    fn only_root_holds_them() {
        let all = defaults::capabilities();
        let root = for_user(&all, 0);
        assert_eq!(root.effective.as_ref().unwrap().len(), 14);
        let user = for_user(&all, 1000);
        assert_eq!(user.bounding.as_ref().unwrap().len(), 14);
        for empty in [
            user.effective,
            user.permitted,
            user.inheritable,
            user.ambient,
        ] {
            assert!(empty.as_ref().unwrap().is_empty());
        }
        assert!(root.inheritable.as_ref().unwrap().is_empty());
    }
}
