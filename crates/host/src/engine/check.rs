//! `system check`: images, containers, names and leftovers, and what can be put right.

use std::fs;

use berth_contract::{Class, ContainerId, Error, Result};
use berth_image::{CheckOptions, Finding};
use berth_sys::error::io_cause;

use super::Engine;
use super::in_use::{InUse, LiveContainers};
use crate::records;

impl Engine {
    /// Looks for what is missing, damaged or left over; with `repair`, puts right what can be.
    ///
    /// # Errors
    /// The data directory cannot be read.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        self.require_root("cannot check the data directory")?;
        let store = self.store();
        let mut damaged = self.list()?.damaged;
        for id in records::identifiers(self.paths())? {
            match InUse::told(self.paths(), &id) {
                // A listing shows its summary, which is whole; what it stands on is not known.
                Err(error) if io_cause(&error).is_none() => {
                    damaged.push(self.put_aside(&id, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        // Of what a power cut left, it was not known before what containers need.
        let recovered = store.recover(&LiveContainers::new(self.paths()));
        let mut findings = store.check(options)?;
        findings.extend(damaged.into_iter().map(|problem| Finding {
            problem,
            repaired: Some("it was set aside"),
        }));
        findings.extend(recovered.err().map(|problem| Finding {
            problem,
            repaired: None,
        }));
        self.check_names(options, &mut findings)?;
        let in_use = InUse::read(self.paths());
        for layer in in_use.layers().iter().filter(|layer| !layer.is_dir()) {
            let message = format!(
                "a container stands on {}, which is missing",
                layer.display()
            );
            findings.push(Finding {
                problem: Error::new(Class::Internal, message)
                    .hint("berth system check --repair brings it back while its image is here"),
                repaired: None,
            });
        }
        if options.repair {
            store.collect(&LiveContainers::new(self.paths()))?;
            store.empty_trash();
            self.sweep()?;
        }
        Ok(findings)
    }

    /// Names that lead to containers which are not there.
    fn check_names(&self, options: CheckOptions, findings: &mut Vec<Finding>) -> Result<()> {
        for entry in records::entries(&self.paths().names()) {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let id: Result<ContainerId> = target.to_string_lossy().parse();
            let stands = id.is_ok_and(|id| {
                self.paths().container(&id).exists() || records::is_being_made(self.paths(), &id)
            });
            if stands {
                continue;
            }
            let name = entry.file_name();
            let removed = options.repair && fs::remove_file(entry.path()).is_ok();
            findings.push(Finding {
                problem: Error::new(
                    Class::Internal,
                    format!("the name {} leads to no container", name.to_string_lossy()),
                )
                .hint("berth system check --repair"),
                repaired: removed.then_some("it was removed"),
            });
        }
        Ok(())
    }

    /// Removes every container, image, volume and network, and all that berth keeps.
    ///
    /// # Errors
    /// A container cannot be stopped; what was removed until then is gone.
    pub fn reset(&self) -> Result<()> {
        self.require_root("cannot remove everything")?;
        for container in self.list()?.containers {
            let id: ContainerId = container.id.parse()?;
            let everything = super::RemoveOptions {
                force: true,
                volumes: true,
            };
            match self.remove(&id, &everything) {
                Err(error) if error.class() == Class::NotFound => {}
                outcome => outcome?,
            }
        }
        self.prune_networks()?;
        let trash = self.paths().trash();
        let aside = trash.join(berth_sys::file::unique_name("reset-"));
        let kept: Vec<_> = records::entries(self.paths().data())
            .map(|entry| entry.path())
            .filter(|path| *path != trash)
            .collect();
        let explain = |error: std::io::Error| {
            let message = format!("cannot empty {}", self.paths().data().display());
            Error::new(berth_sys::error::class(&error), message).caused_by(error)
        };
        if kept.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&aside).map_err(explain)?;
        for path in kept {
            let name = path.file_name().unwrap_or_default();
            fs::rename(&path, aside.join(name)).map_err(explain)?;
        }
        Ok(())
    }
}
