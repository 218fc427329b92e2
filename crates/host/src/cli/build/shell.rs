//! A shell where a command failed: this terminal's, in place of the build's progress.

use berth_contract::{Class, Error, Result, Signal};
use berth_host::build::FailedPlace;
use berth_sys::signals::Signals;

use crate::cli::Screen;
use crate::cli::terminal::{self, DetachKeys, Session, Wishes};

/// Opens it, and returns when it has ended.
pub(super) fn open(screen: Screen, place: &FailedPlace<'_>) {
    screen.say(&format!(
        "{}; {} is opened there, and the build ends when it does",
        place.error(),
        crate::cli::failure::escape(place.shell()),
    ));
    if let Err(error) = enter(place) {
        screen.fail(&error.context("cannot open a shell where the command failed"));
    }
}

fn enter(place: &FailedPlace<'_>) -> Result<()> {
    place.enter(terminal::size(), |connection| {
        let wishes = Wishes {
            stdin: true,
            ends_stdin: true,
            tty: true,
            // Those that end the build have their own taker, which ends this container too.
            forwards_signals: true,
            redraws: false,
            until_removed: false,
            detach_keys: DetachKeys::none(),
        };
        // How it ended is nobody's affair: the build has failed already.
        Session::new(connection, resizes()?, wishes)?
            .run()
            .map(drop)
    })
}

/// Takes the changes of the terminal's size. They reach only who has blocked them, and the kernel forgets them
/// when the first thread has not: that one takes them as long as there may be a shell.
pub(super) fn resizes() -> Result<Signals> {
    Signals::take(&[Signal::WINCH])
        .map_err(|error| Error::new(Class::Internal, "cannot take signals").caused_by(error))
}
