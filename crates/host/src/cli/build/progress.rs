//! What a build looks like: numbered steps, their output with times, as `BuildKit`'s plain form has it.
//!
//! ```text
//! #2 [2/3] RUN make
//! #2 0.312 cc -o app app.c
//! #2 DONE 1.4s
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_host::build::{Event, Report};

use crate::cli::Screen;

/// What `--progress` chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// Numbered steps.
    #[default]
    Auto,
    /// Numbered steps.
    #[value(alias = "tty")]
    Plain,
    /// Nothing but the image's id.
    #[value(alias = "none")]
    Quiet,
    /// Every event as a JSON object.
    Rawjson,
}

impl Style {
    /// What it means here.
    pub(super) fn settled(self, _screen: Screen) -> Self {
        match self {
            Self::Auto => Self::Plain,
            other => other,
        }
    }
}

/// Shows how a build goes on.
#[derive(Debug)]
pub(super) struct BuildProgress {
    screen: Screen,
    style: Style,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<usize, String>,
    /// The beginning of a line whose end has not come yet.
    partial: BTreeMap<(usize, bool), Vec<u8>>,
    cached: Vec<usize>,
    /// Whose lines were shown last: a blank line stands between two steps.
    last: usize,
    warnings: String,
}

impl BuildProgress {
    pub(super) fn new(screen: Screen, style: Style) -> Self {
        Self {
            screen,
            style,
            state: Mutex::default(),
        }
    }

    /// Shows what was kept for the end.
    pub(super) fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.style == Style::Plain && !state.warnings.is_empty() {
            self.screen.say(&format!("\n{}", state.warnings.trim_end()));
        }
    }

    fn say(&self, state: &mut State, step: usize, text: &str) {
        if state.last != step && state.last != 0 {
            self.screen.say("");
            if let Some(name) = state.names.get(&step)
                && !text.starts_with(&format!("#{step} ["))
                && !text.ends_with(name.as_str())
            {
                self.screen.say(&format!("#{step} {name}"));
            }
        }
        state.last = step;
        self.screen.say(text);
    }

    fn plain(&self, state: &mut State, event: &Event<'_>) {
        match *event {
            Event::Begin { step, name } => {
                state.names.insert(step, name.to_owned());
                self.say(state, step, &format!("#{step} {name}"));
            }
            Event::Output {
                step,
                elapsed,
                bytes,
                error,
            } => self.output(state, (step, error), elapsed, bytes),
            Event::Note { step, text } => self.say(state, step, &format!("#{step} {}", safe(text))),
            Event::Cached { step } => state.cached.push(step),
            Event::Done { step, elapsed } => {
                self.flush(state, step, elapsed);
                let end = if state.cached.contains(&step) {
                    format!("#{step} CACHED")
                } else {
                    format!("#{step} DONE {:.1}s", elapsed.as_secs_f64())
                };
                self.say(state, step, &end);
            }
            Event::Failed { step, reason } => {
                self.flush(state, step, Duration::ZERO);
                self.say(state, step, &format!("#{step} ERROR: {}", safe(reason)));
            }
            Event::Warnings { text } => state.warnings.push_str(text),
        }
    }

    fn output(
        &self,
        state: &mut State,
        (step, error): (usize, bool),
        elapsed: Duration,
        bytes: &[u8],
    ) {
        let mut text = state.partial.remove(&(step, error)).unwrap_or_default();
        text.extend_from_slice(bytes);
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let rest = text.split_off(end);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.line(state, step, elapsed, line);
        }
        if !rest.is_empty() {
            state.partial.insert((step, error), rest);
        }
    }

    fn line(&self, state: &mut State, step: usize, elapsed: Duration, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        // What redraws its line is shown as it was last.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or_default();
        self.say(
            state,
            step,
            &format!("#{step} {:.3} {}", elapsed.as_secs_f64(), safe(text)),
        );
    }

    fn flush(&self, state: &mut State, step: usize, elapsed: Duration) {
        for error in [false, true] {
            if let Some(rest) = state.partial.remove(&(step, error)) {
                self.line(state, step, elapsed, &rest);
            }
        }
    }

    fn json(&self, event: &Event<'_>) {
        let document = match *event {
            Event::Begin { step, name } => {
                serde_json::json!({"event": "begin", "step": step, "name": name})
            }
            Event::Output {
                step,
                elapsed,
                bytes,
                error,
            } => serde_json::json!({
                "event": "output", "step": step, "stream": if error { "stderr" } else { "stdout" },
                "elapsed": elapsed.as_secs_f64(), "text": String::from_utf8_lossy(bytes)
            }),
            Event::Note { step, text } => {
                serde_json::json!({"event": "note", "step": step, "text": text})
            }
            Event::Cached { step } => serde_json::json!({"event": "cached", "step": step}),
            Event::Done { step, elapsed } => {
                serde_json::json!({"event": "done", "step": step, "elapsed": elapsed.as_secs_f64()})
            }
            Event::Failed { step, reason } => {
                serde_json::json!({"event": "failed", "step": step, "reason": reason})
            }
            Event::Warnings { text } => serde_json::json!({"event": "warnings", "text": text}),
        };
        self.screen.say(&document.to_string());
    }
}

impl Report for BuildProgress {
    fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.style {
            Style::Quiet => {}
            Style::Rawjson => self.json(event),
            Style::Auto | Style::Plain => self.plain(&mut state, event),
        }
    }
}

/// Colours may pass; what moves the cursor or rings the bell may not.
fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.peek() == Some(&'[') {
            let mut sequence = String::from("\u{1b}[");
            characters.next();
            let mut last = ' ';
            while let Some(next) = characters.next_if(|next| next.is_ascii_digit() || *next == ';')
            {
                sequence.push(next);
            }
            if let Some(end) = characters.next() {
                sequence.push(end);
                last = end;
            }
            if last == 'm' {
                shown.push_str(&sequence);
            }
            continue;
        }
        if character == '\t' || !character.is_control() {
            shown.push(character);
        }
    }
    shown
}
