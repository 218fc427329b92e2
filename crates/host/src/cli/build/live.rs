//! What a build looks like on a terminal: a line for each step that is done, and below them, drawn again and
//! again, those at work with what they said last.
//!
//! ```text
//!  => CACHED [1/4] FROM busybox
//!  => [2/4] RUN make                                                      3.1s
//!  => [3/4] RUN make install                                              1.0s   ┐ redrawn
//!     install -m 755 app /usr/bin                                                ┘
//! ```
//!
//! Nothing of the terminal's state is changed for longer than one write: whatever ends the program, there is
//! nothing to restore.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use berth_contract::TerminalSize;
use berth_host::build::Event;
use berth_host::format::human;
use unicode_width::UnicodeWidthStr as _;

use super::progress::{plain, safe};
use crate::cli::progress::remark;

/// How many of its last lines a step shows.
const LINES: usize = 5;
/// So much of a line is kept that does not end.
const LINE_LIMIT: usize = 4096;

/// The steps at work.
#[derive(Debug, Default)]
pub(super) struct Live {
    running: BTreeMap<usize, Running>,
    /// How many of the Dockerfile's are done, and how many of them were known before.
    done: usize,
    cached: usize,
    is_coloured: bool,
    /// How many lines were drawn and are to be drawn over.
    drawn: usize,
}

/// A step at work.
#[derive(Debug, Default)]
struct Running {
    name: String,
    began: Duration,
    is_cached: bool,
    lines: VecDeque<String>,
    /// Of each stream, a line whose end has not come.
    partial: [Vec<u8>; 2],
    /// What of each layer is here, and its size.
    layers: BTreeMap<String, (u64, u64)>,
}

impl Live {
    pub(super) fn new(is_coloured: bool) -> Self {
        Self {
            is_coloured,
            ..Self::default()
        }
    }

    /// How many steps of the Dockerfile are done, and how many of them were known before.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.done, self.cached)
    }

    /// Takes notice of what happened; the lines that stay.
    pub(super) fn event(
        &mut self,
        event: &Event<'_>,
        now: Duration,
        columns: usize,
    ) -> Vec<String> {
        match *event {
            Event::Begin { step, name } => {
                let running = Running {
                    name: plain(name),
                    began: now,
                    ..Running::default()
                };
                self.running.insert(step, running);
            }
            Event::Output {
                step, bytes, error, ..
            } => {
                if let Some(running) = self.running.get_mut(&step) {
                    running.output(bytes, error);
                }
            }
            Event::Note { step, text } => self.note(step, text),
            Event::Pull { step, event } => match remark(event) {
                Some(text) => self.note(step, &text),
                None => self.pull(step, event),
            },
            Event::Cached { step } => {
                if let Some(running) = self.running.get_mut(&step) {
                    running.is_cached = true;
                }
            }
            Event::Done { step, elapsed } => {
                let running = self.running.remove(&step).unwrap_or_default();
                let name = &running.name;
                // What the builder does for itself is none of the Dockerfile's steps.
                let counts = name.starts_with('[') && !name.starts_with("[internal]");
                self.done += usize::from(counts);
                if running.is_cached {
                    self.cached += 1;
                    return vec![row(&format!(" => CACHED {name}"), None, columns)];
                }
                return vec![row(&format!(" => {name}"), Some(elapsed), columns)];
            }
            Event::Failed { step, .. } => {
                let running = self.running.remove(&step).unwrap_or_default();
                let name = &running.name;
                let took = now.saturating_sub(running.began);
                let failed = row(&format!(" => ERROR {name}"), Some(took), columns);
                let mut rows = vec![self.coloured("31", &failed)];
                rows.extend(running.last(LINES).map(|line| format!("    {line}\x1b[0m")));
                return rows;
            }
            Event::Cancelled { step } => {
                let name = self.running.remove(&step).unwrap_or_default().name;
                return vec![row(&format!(" => CANCELED {name}"), None, columns)];
            }
            Event::Warnings { .. } => {}
        }
        Vec::new()
    }

    fn note(&mut self, step: usize, text: &str) {
        if let Some(running) = self.running.get_mut(&step) {
            running.line(safe(text));
        }
    }

    fn pull(&mut self, step: usize, event: &berth_image::Event<'_>) {
        let Some(running) = self.running.get_mut(&step) else {
            return;
        };
        let layers = &mut running.layers;
        match event {
            berth_image::Event::Layers { layers: all } => {
                for (layer, size) in *all {
                    layers.entry(layer.to_string()).or_insert((0, *size));
                }
            }
            berth_image::Event::Downloading {
                layer,
                received,
                total,
            } => {
                layers.insert(layer.to_string(), (*received, *total));
            }
            berth_image::Event::Downloaded { layer }
            | berth_image::Event::LayerDone { layer, .. } => {
                let entry = layers.entry(layer.to_string()).or_default();
                entry.0 = entry.1;
            }
            _ => {}
        }
    }

    /// The lines that are drawn again and again.
    pub(super) fn frame(&self, now: Duration, size: TerminalSize) -> Vec<String> {
        let (rows, columns) = (usize::from(size.rows), usize::from(size.columns));
        // The cursor's own line is the last.
        let room = rows.saturating_sub(1).max(1);
        let shown = self.running.len().min(room);
        let each = (room - shown).checked_div(shown).unwrap_or(0).min(LINES);
        let mut frame = Vec::new();
        // Those that began last say most.
        for running in self.running.values().skip(self.running.len() - shown) {
            let took = now.saturating_sub(running.began);
            frame.push(row(&format!(" => {}", running.name), Some(took), columns));
            let lines = running.last(each);
            frame.extend(lines.map(|line| self.coloured("2", &format!("    {line}"))));
        }
        frame
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.is_coloured {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            format!("{text}\x1b[0m")
        }
    }

    /// What is written to show lines that stay, and below them the frame in place of the one before.
    pub(super) fn draw(&mut self, stay: &[String], frame: &[String]) -> String {
        let mut text = String::new();
        let is_drawn = self.drawn > 0;
        if is_drawn {
            text.push_str(&format!("\r\x1b[{}A", self.drawn));
        }
        // Line by line: a terminal whose whole screen is cleared may keep what was on it in its history.
        let clear = if is_drawn { "\x1b[K" } else { "" };
        for line in stay {
            text.push_str(&format!("{clear}{line}\n"));
        }
        if !frame.is_empty() {
            // What is too long must not become two lines: they are counted.
            text.push_str("\x1b[?7l");
            for line in frame {
                text.push_str(&format!("{clear}{line}\n"));
            }
            text.push_str("\x1b[?7h");
        }
        if is_drawn {
            text.push_str("\x1b[J");
        }
        self.drawn = frame.len();
        text
    }
}

impl Running {
    fn output(&mut self, bytes: &[u8], error: bool) {
        let mut text = std::mem::take(&mut self.partial[usize::from(error)]);
        text.extend_from_slice(bytes);
        let end = text.iter().rposition(|byte| *byte == b'\n');
        let mut rest = text.split_off(end.map_or(0, |end| end + 1));
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.line(shown(line));
        }
        rest.drain(..rest.len().saturating_sub(LINE_LIMIT));
        self.partial[usize::from(error)] = rest;
    }

    fn line(&mut self, line: String) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines, those without an end and the state of a pull among them.
    fn last(&self, count: usize) -> impl Iterator<Item = String> {
        let partial = self.partial.iter().map(|line| shown(line));
        let partial = partial.filter(|line| !line.is_empty());
        let pull = (!self.layers.is_empty()).then(|| {
            let sum = |of: fn(&(u64, u64)) -> u64| {
                let all = self.layers.values().map(of);
                human::size(all.fold(0, u64::saturating_add))
            };
            let (received, total) = (sum(|layer| layer.0), sum(|layer| layer.1));
            let noun = if self.layers.len() == 1 {
                "layer"
            } else {
                "layers"
            };
            format!("{received} of {total}, {} {noun}", self.layers.len())
        });
        let all = self.lines.iter().cloned().chain(partial).chain(pull);
        let all: Vec<String> = all.collect();
        let skipped = all.len().saturating_sub(count);
        all.into_iter().skip(skipped)
    }
}

/// A line as it was drawn last by whoever redraws it.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    safe(text.rsplit('\r').next().unwrap_or_default())
}

/// A step in one line, with its seconds at the right.
fn row(text: &str, took: Option<Duration>, columns: usize) -> String {
    let seconds = took.map_or_else(String::new, |took| format!(" {:.1}s", took.as_secs_f64()));
    // One column stays free: some terminals go to the next line when the last one is written.
    let room = columns.saturating_sub(seconds.len() + 1).max(8);
    let mut shown = text.to_owned();
    if shown.width() > room {
        while shown.width() >= room {
            shown.pop();
        }
        shown.push('…');
    }
    if seconds.is_empty() {
        return shown;
    }
    let blanks = room - shown.width();
    format!("{shown}{:blanks$}{seconds}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: TerminalSize = TerminalSize {
        rows: 6,
        columns: 30,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begin(live: &mut Live, step: usize, name: &str, second: u64) {
        let stays = live.event(&Event::Begin { step, name }, at(second), 30);
        assert_eq!(stays, Vec::<String>::new());
    }

    fn output(live: &mut Live, step: usize, text: &str) {
        let event = Event::Output {
            step,
            elapsed: at(0),
            bytes: text.as_bytes(),
            error: false,
        };
        assert_eq!(live.event(&event, at(0), 30), Vec::<String>::new());
    }

    #[test]
    fn steps_at_work_are_drawn_with_their_last_lines_and_those_done_stay() {
        let mut live = Live::new(false);
        begin(&mut live, 1, "[1/2] FROM busybox", 0);
        live.event(&Event::Cached { step: 1 }, at(0), 30);
        let done = Event::Done {
            step: 1,
            elapsed: at(0),
        };
        assert_eq!(
            live.event(&done, at(0), 30),
            [" => CACHED [1/2] FROM busybox"]
        );
        begin(&mut live, 2, "[2/2] RUN a command that is long", 1);
        output(&mut live, 2, "one\ntwo\nthree\nfour\nfi");
        output(&mut live, 2, "ve\n10%\r20%\x1b[2J\r\x07");
        let expected = [
            " => [2/2] RUN a command… 3.0s",
            "    three\x1b[0m",
            "    four\x1b[0m",
            "    five\x1b[0m",
        ];
        assert_eq!(
            live.frame(at(4), TerminalSize { rows: 5, ..SIZE }),
            expected
        );
        let failed = Event::Failed {
            step: 2,
            reason: "x",
        };
        let stays = live.event(&failed, at(4), 30);
        assert_eq!(
            stays.first().unwrap(),
            " => ERROR [2/2] RUN a c… 3.0s\x1b[0m"
        );
        assert_eq!(stays.len(), 1 + LINES);
        assert_eq!((live.frame(at(4), SIZE).len(), live.counts()), (0, (1, 1)));
    }

    #[test]
    fn a_frame_is_never_higher_than_the_terminal() {
        let mut live = Live::new(true);
        for step in 1..=20 {
            begin(&mut live, step, "x", 0);
            output(&mut live, step, "a\nb\nc\nd\n");
        }
        for rows in 1..40 {
            let frame = live.frame(at(1), TerminalSize { rows, ..SIZE });
            assert!(frame.len() < usize::from(rows).max(2), "{rows}");
        }
    }

    #[test]
    fn the_frame_before_is_drawn_over() {
        let mut live = Live::new(false);
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(live.draw(&lines(&["a"]), &[]), "a\n");
        assert_eq!(
            live.draw(&[], &lines(&["b", "c"])),
            "\x1b[?7lb\nc\n\x1b[?7h"
        );
        assert_eq!(
            live.draw(&lines(&["d"]), &lines(&["e"])),
            "\r\x1b[2A\x1b[Kd\n\x1b[?7l\x1b[Ke\n\x1b[?7h\x1b[J"
        );
        assert_eq!(live.draw(&lines(&["f"]), &[]), "\r\x1b[1A\x1b[Kf\n\x1b[J");
        assert_eq!(live.draw(&[], &[]), "");
    }

    #[test]
    fn a_steps_row_is_one_row_whatever_its_command_says() {
        let mut live = Live::new(true);
        begin(&mut live, 1, "RUN \x1b[8mecho\t漢字漢字漢字漢字漢字", 0);
        let frame = live.frame(at(1), SIZE);
        assert_eq!(frame, [" => RUN echo 漢字漢字漢… 1.0s"]);
        assert_eq!(frame[0].width(), 29);
    }

    #[test]
    fn a_pull_tells_how_much_is_here() {
        let mut live = Live::new(false);
        begin(&mut live, 1, "FROM x", 0);
        let layers = [(berth_contract::Digest::sha256([1; 32]), 2_000_000)];
        let all = berth_image::Event::Layers { layers: &layers };
        let some = berth_image::Event::Downloading {
            layer: &layers[0].0,
            received: 1_000_000,
            total: 2_000_000,
        };
        for event in [&all, &some] {
            live.event(&Event::Pull { step: 1, event }, at(0), 30);
        }
        let frame = live.frame(at(0), SIZE);
        assert_eq!(frame[1], "    1MB of 2MB, 1 layer\x1b[0m");
    }
}
