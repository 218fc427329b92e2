//! What the executor gives up: before it looks at the module, and before guest code runs.

use berth_contract::{Class, Error, Result};
use berth_sys::termination;

/// Ends on signals although it may be the first process of its namespace.
pub(crate) fn begin() -> Result<()> {
    if termination::is_first_process() {
        termination::on_default_signals()
            .map_err(|error| Error::new(Class::Internal, "the wasm executor cannot set up signals").caused_by(error))?;
    }
    Ok(())
}

/// Gives up everything guest code cannot need.
pub(crate) fn complete() -> Result<()> {
    Ok(())
}
