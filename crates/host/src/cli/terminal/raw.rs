//! Raw mode that is undone on every way out, the abort that follows a panic included.

use std::io;
use std::sync::Arc;

use berth_contract::{Class, Error, Result};
use berth_sys::terminal::{RawMode, is_terminal};

/// Keeps standard input's terminal in raw mode; dropping it restores what was before.
#[derive(Debug)]
pub(super) struct Raw {
    mode: Option<Arc<RawMode>>,
}

impl Raw {
    /// Switches standard input to raw mode if it is a terminal and `wanted`.
    pub(super) fn enter(wanted: bool) -> Result<Self> {
        if !wanted || !is_terminal(io::stdin()) {
            return Ok(Self { mode: None });
        }
        let mode = RawMode::enter(io::stdin()).map_err(|error| {
            Error::new(Class::Internal, "cannot switch the terminal to raw mode").caused_by(error)
        })?;
        let mode = Arc::new(mode);
        let weak = Arc::downgrade(&mode);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |information| {
            if let Some(mode) = weak.upgrade() {
                mode.restore();
            }
            report(information);
        }));
        Ok(Self { mode: Some(mode) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The hook holds a weak reference only: this is the last strong one, and restores.
        drop(self.mode.take());
    }
}
