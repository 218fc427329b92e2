//! Options of a tmpfs: Docker's defaults, and what the user says laid over them.

use berth_contract::Result;

use super::refuse;

/// Docker's defaults (`noexec,nosuid,nodev`) with what the user says laid over them.
pub(super) fn options(asked: &[&str]) -> Result<Vec<String>> {
    const FLAGS: [(&str, &str); 6] = [
        ("noexec", "exec"),
        ("nosuid", "suid"),
        ("nodev", "dev"),
        ("noatime", "atime"),
        ("nodiratime", "diratime"),
        ("ro", "rw"),
    ];
    const KEYS: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
    let mut options: Vec<String> = Vec::new();
    for (off, on) in &FLAGS[..3] {
        let last = asked
            .iter()
            .rev()
            .find(|option| *option == off || *option == on);
        options.push((*last.unwrap_or(off)).to_owned());
    }
    for option in asked {
        let key = option.split_once('=').map(|(key, _)| key);
        let flag = FLAGS.iter().any(|(off, on)| option == off || option == on);
        if !flag && !key.is_some_and(|key| KEYS.contains(&key)) {
            return Err(refuse(format!("{option:?} is no option of a tmpfs")));
        }
        if !options.iter().any(|known| known == option) {
            options.push((*option).to_owned());
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_checked() {
        assert_eq!(options(&[]).unwrap(), ["noexec", "nosuid", "nodev"]);
        assert_eq!(
            options(&["exec", "size=64k"]).unwrap(),
            ["exec", "nosuid", "nodev", "size=64k"]
        );
        for bad in ["size", "lowerdir=/", "sync=1", "mode"] {
            assert!(options(&[bad]).is_err(), "{bad}");
        }
    }
}
