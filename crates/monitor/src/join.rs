//! Namespaces of other containers: where they are at this moment.

use std::path::PathBuf;

use berth_contract::{Class, Error, Result, oci};

use crate::launch::Launch;
use crate::status;

/// Puts the present paths of the namespaces to join into the spec.
///
/// At every start, also by a restart policy: the other container may have been started again, and its old pid
/// may be a process of the host by now.
pub(crate) fn locate(spec: &mut oci::Spec, launch: &Launch) -> Result<()> {
    for (kind, other) in &launch.joined {
        let seen = status::read(&launch.directories, other)?;
        if !seen.alive || seen.status.pid == 0 {
            return Err(Error::new(
                Class::Conflict,
                format!("cannot join container {}", other.short()),
            )
            .caused_by("it is not running")
            .hint(format!("berth start {}", other.short())));
        }
        let file = match kind.as_str() {
            "network" => "net",
            file => file,
        };
        let path = PathBuf::from(format!("/proc/{}/ns/{file}", seen.status.pid));
        let linux = spec.linux.as_mut();
        let list = linux.and_then(|linux| linux.namespaces.as_mut());
        for namespace in list
            .into_iter()
            .flatten()
            .filter(|known| known.kind.word() == kind)
        {
            namespace.path = Some(path.clone());
        }
    }
    Ok(())
}
