//! Which signals a client takes, and what each means for the guest.

use berth_contract::{Class, Error, Result, Signal};
use berth_sys::signals::Signals;

/// Signals that a foreground `run` hands to its guest. The job-control signals keep stopping the client
/// itself, as they would a program; `CHLD`, `PIPE` and `URG` are the client's own affairs.
const FORWARDED: [&str; 11] = [
    "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR",
];

/// Takes the signals that are forwarded, and changes of the terminal's size.
///
/// # Errors
/// The process has no file left.
pub(crate) fn forwarded() -> Result<Signals> {
    let mut signals: Vec<Signal> = FORWARDED
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    signals.push(Signal::WINCH);
    Signals::take(&signals)
        .map_err(|error| Error::new(Class::Internal, "cannot take signals").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_signal() {
        assert!(FORWARDED.iter().all(|name| name.parse::<Signal>().is_ok()));
    }
}
