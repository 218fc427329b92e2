//! The guest's streams: its input as fast as it takes it, its output to the log and to everybody attached.

use berth_sys::clock;
use berth_sys::epoll::Interest;

use crate::console::Read;
use crate::log::Stream;
use crate::supervisor::Supervisor;
use crate::token::Token;

impl Supervisor<'_> {
    pub(crate) fn end_input(&mut self) {
        if let Some(running) = &mut self.running {
            running.console.end_input();
        }
        self.feed();
    }

    /// Writes waiting input to the guest, as much as it takes.
    pub(crate) fn feed(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let waited = running.console.has_input();
        for (client, count) in running.console.feed() {
            if let Some(peer) = self.clients.get_mut(&client) {
                peer.taken(count);
            }
        }
        let waits = running.console.has_input();
        let Some(sink) = running.console.sink() else {
            return;
        };
        let changed = if running.console.is_terminal() {
            if self.throttled {
                return;
            }
            let interest = if waits {
                Interest::BOTH
            } else {
                Interest::READ
            };
            self.poller.modify(sink, Token::Stdout.number(), interest)
        } else if waits {
            match self
                .poller
                .add(sink, Token::Stdin.number(), Interest::WRITE)
            {
                // It is there already.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                added => added,
            }
        } else if waited {
            match self.poller.remove(sink) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        } else {
            Ok(())
        };
        if let Err(error) = changed {
            self.status
                .leftovers
                .push(format!("cannot wait for standard input: {error}"));
        }
    }

    /// Moves on what the guest wrote.
    pub(crate) fn pump(&mut self, stream: Stream) {
        match self.read_once(stream) {
            Read::Bytes(_) | Read::Nothing => {}
            Read::End => {
                let Some(running) = &mut self.running else {
                    return;
                };
                if !running.console.keep_open() {
                    if let Some(source) = running.console.source(stream) {
                        drop(self.poller.remove(source));
                    }
                    running.console.close(stream);
                }
            }
        }
    }

    /// One read, to the log and to every attached client.
    pub(crate) fn read_once(&mut self, stream: Stream) -> Read {
        let Some(running) = &mut self.running else {
            return Read::End;
        };
        let read = running.console.read(stream, &mut self.scratch);
        if let Read::Bytes(count) = read {
            let bytes = &self.scratch[..count];
            self.log.write(stream, bytes, clock::realtime());
            for peer in self.clients.values_mut() {
                peer.output(stream, bytes);
            }
        }
        read
    }

    /// Waits for the guest's output from now on, or no more. A pipe that has hung up is reported
    /// whatever is asked for, so "no more" takes it off the poller.
    pub(crate) fn watch_output(&mut self, watch: bool) {
        let Some(running) = &self.running else { return };
        for (stream, token) in [
            (Stream::Stdout, Token::Stdout),
            (Stream::Stderr, Token::Stderr),
        ] {
            let Some(source) = running.console.source(stream) else {
                continue;
            };
            let waits = running.console.is_terminal() && running.console.has_input();
            let interest = if waits {
                Interest::BOTH
            } else {
                Interest::READ
            };
            let changed = if watch {
                self.poller.add(source, token.number(), interest)
            } else {
                self.poller.remove(source)
            };
            if let Err(error) = changed {
                self.status
                    .leftovers
                    .push(format!("cannot wait for output: {error}"));
            }
        }
    }
}
