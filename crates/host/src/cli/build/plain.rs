//! A build in plain lines: numbered steps, their output with times, as `BuildKit`'s plain form has it.
//!
//! ```text
//! #2 [2/3] RUN make
//! #2 0.312 cc -o app app.c
//! #2 DONE 1.4s
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use berth_host::build::Event;

use super::progress::{plain, safe};
use crate::cli::Screen;
use crate::cli::progress::remark;

/// A line that is longer comes in pieces: whoever never ends one fills no memory.
const LINE_LIMIT: usize = 64 << 10;

/// What was said so far, as far as it matters for what comes.
#[derive(Debug)]
pub(super) struct Plain {
    screen: Screen,
    names: BTreeMap<usize, String>,
    /// The beginning of a line whose end has not come yet.
    partial: BTreeMap<(usize, bool), Vec<u8>>,
    cached: Vec<usize>,
    /// Whose lines were shown last: a blank line stands between two steps.
    last: usize,
}

impl Plain {
    pub(super) fn new(screen: Screen) -> Self {
        Self {
            screen,
            names: BTreeMap::new(),
            partial: BTreeMap::new(),
            cached: Vec::new(),
            last: 0,
        }
    }

    fn say(&mut self, step: usize, text: &str) {
        if self.last != step && self.last != 0 {
            self.screen.say("");
            if let Some(name) = self.names.get(&step)
                && !text.starts_with(&format!("#{step} ["))
                && !text.ends_with(name.as_str())
            {
                self.screen.say(&format!("#{step} {name}"));
            }
        }
        self.last = step;
        self.screen.say(text);
    }

    /// Shows what happened.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Begin { step, name } => {
                let name = plain(name);
                let line = format!("#{step} {name}");
                self.names.insert(step, name);
                self.say(step, &line);
            }
            Event::Output {
                step,
                elapsed,
                bytes,
                error,
            } => self.output((step, error), elapsed, bytes),
            Event::Note { step, text } => self.say(step, &format!("#{step} {}", safe(text))),
            Event::Cached { step } => self.cached.push(step),
            Event::Done { step, elapsed } => {
                self.flush(step, elapsed);
                let end = if self.cached.contains(&step) {
                    format!("#{step} CACHED")
                } else {
                    format!("#{step} DONE {:.1}s", elapsed.as_secs_f64())
                };
                self.say(step, &end);
            }
            Event::Failed { step, reason } => {
                self.flush(step, Duration::ZERO);
                self.say(step, &format!("#{step} ERROR: {}", plain(reason)));
            }
            Event::Pull { step, event } => {
                if let Some(text) = remark(event) {
                    self.say(step, &format!("#{step} {}", safe(&text)));
                }
            }
            Event::Cancelled { step } => {
                self.flush(step, Duration::ZERO);
                self.say(step, &format!("#{step} CANCELED"));
            }
            Event::Warnings { .. } => {}
        }
    }

    fn output(&mut self, (step, error): (usize, bool), elapsed: Duration, bytes: &[u8]) {
        let mut text = self.partial.remove(&(step, error)).unwrap_or_default();
        text.extend_from_slice(bytes);
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let rest = text.split_off(end);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.line(step, elapsed, line);
        }
        if rest.len() > LINE_LIMIT {
            self.line(step, elapsed, &rest);
        } else if !rest.is_empty() {
            self.partial.insert((step, error), rest);
        }
    }

    fn line(&mut self, step: usize, elapsed: Duration, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        // What redraws its line is shown as it was last.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or_default();
        self.say(
            step,
            &format!("#{step} {:.3} {}", elapsed.as_secs_f64(), safe(text)),
        );
    }

    fn flush(&mut self, step: usize, elapsed: Duration) {
        for error in [false, true] {
            if let Some(rest) = self.partial.remove(&(step, error)) {
                self.line(step, elapsed, &rest);
            }
        }
    }
}
