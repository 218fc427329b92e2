//! `berth-monitor --data DATA --run RUN ID`: composes a runtime and looks after one container.
//!
//! Connection 0 is file 3; everything that is said is said there. A build with the feature
//! `fault-points` reads `RUN/fault-point` and dies, as if by `kill -9`, at the point it names:
//!
//! ```text
//! start-  locked pessimistic network-reserved created network-attached executed running published
//! stop-   signal kill
//! end-    reaped destroyed network-detached exit-written left
//! remove- begin hidden deleting
//! ```

#![no_main]

use std::ffi::OsString;
use std::path::PathBuf;

use berth_contract::{Class, ContainerId, Error, Result, Runtime};
use berth_linux_runtime::LinuxRuntime;
use berth_monitor::launch::{Launch, RuntimeKind};
use berth_monitor::{Arguments, refuse_connection, run};
use berth_wasm_runtime::WasmRuntime;

/// Started through a detached mount, the process would be called by the number of its descriptor.
const NAME_FILE: &str = "/proc/self/comm";

berth_sys::entry!(monitor);

fn monitor() -> u8 {
    let Ok(connection) = berth_sys::spawn::inherited(3) else {
        return 125;
    };
    drop(std::fs::write(NAME_FILE, "berth-monitor"));
    // Whoever waits for the container is an open file, and so are an exec's streams.
    drop(berth_sys::process::raise_open_files());
    match arguments(std::env::args_os().skip(1)) {
        Ok(arguments) => {
            #[cfg(feature = "fault-points")]
            if let Ok(name) = std::fs::read_to_string(arguments.run.join("fault-point")) {
                berth_sys::fault::arm(name.trim());
            }
            run(&arguments, connection, runtime);
        }
        Err(error) => refuse_connection(connection, &error),
    }
    0
}

/// The one place where the kinds differ.
fn runtime(launch: &Launch) -> Result<Box<dyn Runtime>> {
    let linux = Box::new(LinuxRuntime::new());
    Ok(match launch.runtime {
        RuntimeKind::Linux => linux,
        RuntimeKind::Wasm => {
            let programs = &launch.directories.programs;
            Box::new(WasmRuntime::new(
                linux,
                programs.join("berth-wasm"),
                programs.join("berth-wasmc"),
                launch.directories.data.join("wasm"),
            ))
        }
    })
}

fn arguments(given: impl Iterator<Item = OsString>) -> Result<Arguments> {
    let usage = || {
        Error::new(Class::Invalid, "berth-monitor was started wrongly")
            .caused_by("usage: berth-monitor --data DATA --run RUN ID")
    };
    let given: Vec<OsString> = given.collect();
    let [data_flag, data, run_flag, run, id] = &given[..] else {
        return Err(usage());
    };
    if data_flag != "--data" || run_flag != "--run" {
        return Err(usage());
    }
    let id: ContainerId = id.to_str().ok_or_else(usage)?.parse()?;
    Ok(Arguments {
        data: PathBuf::from(data),
        run: PathBuf::from(run),
        id,
    })
}
