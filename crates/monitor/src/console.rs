//! The monitor's ends of the guest's standard streams: two or three pipes, or a pty's master.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use berth_contract::{Stdio, TerminalSize};
use berth_sys::{pipe, terminal};

use crate::log::Stream;

/// What a read from one of the guest's streams gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// Whose bytes wait for the guest's standard input.
#[derive(Debug)]
struct Waiting {
    client: u32,
    bytes: Vec<u8>,
    taken: usize,
}

/// The monitor's ends.
#[derive(Debug, Default)]
pub(crate) struct Console {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    master: Option<OwnedFd>,
    /// Keeps a pty from hanging up after the guest closed all of its own descriptors.
    slave: Option<OwnedFd>,
    waiting: VecDeque<Waiting>,
    /// Whether standard input closes once `waiting` is written.
    ending: bool,
}

impl Console {
    /// Pipes for a guest without terminal: the monitor's ends and the guest's.
    pub(crate) fn pipes(open_stdin: bool) -> io::Result<(Self, Stdio)> {
        let (stdout, guest_stdout) = pipe::pair()?;
        let (stderr, guest_stderr) = pipe::pair()?;
        let mut console = Self::default();
        let stdin = if open_stdin {
            let (guest_stdin, stdin) = pipe::pair()?;
            pipe::set_nonblocking(&stdin)?;
            console.stdin = Some(stdin);
            guest_stdin
        } else {
            pipe::null()?
        };
        pipe::set_nonblocking(&stdout)?;
        pipe::set_nonblocking(&stderr)?;
        console.stdout = Some(stdout);
        console.stderr = Some(stderr);
        Ok((
            console,
            Stdio::Files {
                stdin,
                stdout: guest_stdout,
                stderr: guest_stderr,
            },
        ))
    }

    /// The console over a pty's master.
    pub(crate) fn terminal(master: OwnedFd) -> io::Result<Self> {
        pipe::set_nonblocking(&master)?;
        Ok(Self {
            master: Some(master),
            ..Self::default()
        })
    }

    /// The file that a stream is read from.
    pub(crate) fn source(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        let file = match stream {
            Stream::Stdout => self.master.as_ref().or(self.stdout.as_ref()),
            Stream::Stderr => self.stderr.as_ref(),
        };
        file.map(|file| file.as_fd())
    }

    /// The file that standard input is written to.
    pub(crate) fn sink(&self) -> Option<BorrowedFd<'_>> {
        self.master
            .as_ref()
            .or(self.stdin.as_ref())
            .map(|file| file.as_fd())
    }

    /// Whether the streams are one terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.master.is_some()
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        match &self.master {
            Some(master) => terminal::set_size(master, size),
            None => Err(io::Error::other("the container has no terminal")),
        }
    }

    /// Reads what is there from a stream, as much as fits.
    ///
    /// A guest that floods writes small pieces faster than they are read: going on until nothing is left
    /// makes one entry in the log and one message to each client out of many.
    pub(crate) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Read {
        let Some(source) = self.source(stream) else {
            return Read::End;
        };
        let mut total = 0;
        while total < buffer.len() {
            let nothing_more = match pipe::read(source, &mut buffer[total..]) {
                Ok(0) => Read::End,
                Ok(count) => {
                    total += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
                Err(_hangup) => Read::End,
            };
            if total == 0 {
                return nothing_more;
            }
            break;
        }
        Read::Bytes(total)
    }

    /// After a terminal's end while the guest lives: it closed its descriptors and may open it again.
    /// `false` if the end is final.
    pub(crate) fn keep_open(&mut self) -> bool {
        match &self.master {
            Some(master) if self.slave.is_none() => {
                self.slave = terminal::open_peer(master.as_fd()).ok();
                self.slave.is_some()
            }
            _ => false,
        }
    }

    /// Forgets a stream that has ended.
    pub(crate) fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => (self.stdout, self.master) = (None, None),
            Stream::Stderr => self.stderr = None,
        }
    }

    /// Adds a client's bytes for standard input.
    pub(crate) fn queue(&mut self, client: u32, bytes: Vec<u8>) {
        self.waiting.push_back(Waiting {
            client,
            bytes,
            taken: 0,
        });
    }

    /// Whether bytes wait for standard input.
    pub(crate) fn has_input(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Closes standard input once everything queued is written. A terminal has no end.
    pub(crate) fn end_input(&mut self) {
        self.ending = self.master.is_none();
    }

    /// Writes what the guest takes now, and says whose bytes that were: (client, count).
    pub(crate) fn feed(&mut self) -> Vec<(u32, usize)> {
        let mut done = Vec::new();
        while let Some(next) = self.waiting.front_mut() {
            let rest = &next.bytes[next.taken..];
            let Some(sink) = self.master.as_ref().or(self.stdin.as_ref()) else {
                // Nobody reads any more: the bytes are dropped, as a broken pipe drops them.
                done.push((next.client, rest.len()));
                self.waiting.pop_front();
                continue;
            };
            match pipe::write(sink, rest) {
                Ok(count) => {
                    next.taken += count;
                    done.push((next.client, count));
                    if next.taken == next.bytes.len() {
                        self.waiting.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return done,
                Err(_broken) if self.master.is_some() => return done,
                Err(_broken) => self.stdin = None,
            }
        }
        if self.ending {
            self.stdin = None;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_written_in_order_and_ends() {
        let (mut console, stdio) = Console::pipes(true).unwrap();
        let Stdio::Files { stdin, stdout, .. } = stdio else {
            panic!("no pipes")
        };
        console.queue(1, b"one ".to_vec());
        console.queue(2, vec![b'x'; 100_000]);
        console.end_input();
        let mut taken = console.feed();
        assert!(console.has_input());
        let (mut received, mut buffer) = (Vec::new(), vec![0; 1 << 17]);
        loop {
            match pipe::read(&stdin, &mut buffer).unwrap() {
                0 => break,
                count => received.extend_from_slice(&buffer[..count]),
            }
            taken.extend(console.feed());
        }
        assert!(received.starts_with(b"one x") && received.len() == 100_004);
        let of = |wanted: u32| {
            let mine = taken.iter().filter(|(client, _)| *client == wanted);
            mine.map(|(_, count)| count).sum::<usize>()
        };
        assert_eq!((of(1), of(2)), (4, 100_000));
        assert_eq!(console.read(Stream::Stdout, &mut buffer), Read::Nothing);
        drop(stdout);
        assert_eq!(console.read(Stream::Stdout, &mut buffer), Read::End);
    }

    #[test]
    fn input_for_a_guest_that_closed_it_is_dropped() {
        let (mut console, stdio) = Console::pipes(true).unwrap();
        drop(stdio);
        console.queue(1, b"late".to_vec());
        assert_eq!(console.feed(), [(1, 4)]);
        assert!(console.sink().is_none() && !console.has_input());
    }

    #[test]
    fn a_terminal_that_hangs_up_is_kept_open() {
        let (master, slave) = terminal::open_pair().unwrap();
        let mut console = Console::terminal(master).unwrap();
        let mut buffer = [0; 64];
        pipe::write(&slave, b"hi").unwrap();
        drop(slave);
        assert_eq!(console.read(Stream::Stdout, &mut buffer), Read::Bytes(2));
        assert_eq!(console.read(Stream::Stdout, &mut buffer), Read::End);
        assert!(console.keep_open());
        assert_eq!(console.read(Stream::Stdout, &mut buffer), Read::Nothing);
        assert!(!console.keep_open());
    }
}
