//! The program that answers system calls for a guest (`SCMP_ACT_NOTIFY`): it gets the filter's listener.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use berth_contract::{Class, Error, Result, oci};
use berth_sys::error::Explain as _;
use berth_sys::socket::{self, Wait};
use serde_json::json;

/// Where the program listens, and what it is told beside the guest's state.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    socket: PathBuf,
    metadata: String,
}

impl Agent {
    /// The agent that a spec names.
    pub(crate) fn of(spec: &oci::Spec) -> Option<Self> {
        let profile = spec.linux.as_ref()?.seccomp.as_ref()?;
        Some(Self {
            socket: profile.listener_path.clone()?,
            metadata: profile.listener_metadata.clone().unwrap_or_default(),
        })
    }

    /// Hands a listener over, with the "container process state" of the specification.
    pub(crate) fn hand_over(
        &self,
        listener: &OwnedFd,
        pid: i32,
        state: &serde_json::Value,
    ) -> Result<()> {
        let sentence = || {
            format!(
                "cannot hand the system call listener to {}",
                self.socket.display()
            )
        };
        let (Some(directory), Some(name)) = (
            self.socket.parent(),
            self.socket.file_name().and_then(|name| name.to_str()),
        ) else {
            return Err(Error::new(Class::Invalid, sentence()).caused_by("it is no socket's path"));
        };
        let mut document = json!({
            "ociVersion": state["ociVersion"],
            "fds": ["seccompFd"],
            "pid": pid,
            "state": state,
        });
        if let Some(object) = document
            .as_object_mut()
            .filter(|_| !self.metadata.is_empty())
        {
            object.insert("metadata".to_owned(), json!(self.metadata));
        }
        let text = document.to_string();
        let mut rest = text.as_bytes();
        let directory = File::open(directory).explain(sentence)?;
        let socket = socket::connect(&directory, name).explain(sentence)?;
        let mut files = vec![listener.as_fd()];
        while !rest.is_empty() {
            let sent = socket::send(&socket, &[IoSlice::new(rest)], &files, Wait::Yes)
                .explain(sentence)?;
            rest = rest.get(sent..).unwrap_or_default();
            files.clear();
        }
        Ok(())
    }
}
