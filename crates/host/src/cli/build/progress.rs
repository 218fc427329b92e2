//! How a build is shown: on a terminal, as plain lines, as JSON, or not at all.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use berth_contract::TerminalSize;
use berth_host::build::{Event, FailedPlace, Report};
use berth_sys::clock;

use super::live::Live;
use super::plain::Plain;
use crate::cli::Screen;
use crate::cli::progress::{json, remark};

/// How long nothing is redrawn: most builds are done by then.
const SILENCE: Duration = Duration::from_millis(250);
/// How often it is redrawn.
const REDRAW: Duration = Duration::from_millis(100);
/// The size of a terminal that does not say.
const UNKNOWN: TerminalSize = TerminalSize {
    rows: 24,
    columns: 80,
};

/// What `--progress` chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// As on a terminal if there is one, otherwise plain
    #[default]
    Auto,
    /// What goes on now, drawn again and again
    Tty,
    /// Numbered steps
    Plain,
    /// Nothing but the image's id
    #[value(alias = "none")]
    Quiet,
    /// Every event as a JSON object
    Rawjson,
}

/// Shows how a build goes on.
#[derive(Debug)]
pub(super) struct BuildProgress {
    shared: Arc<Shared>,
    drawing: Option<Drawing>,
}

#[derive(Debug)]
struct Shared {
    screen: Screen,
    style: Style,
    began: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plain: Plain,
    live: Live,
    /// What the checks found, kept for the end.
    warnings: String,
}

/// The thread that redraws.
#[derive(Debug)]
struct Drawing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl BuildProgress {
    pub(super) fn new(screen: Screen, style: Style) -> Self {
        let shared = Arc::new(Shared {
            screen,
            style,
            began: clock::monotonic(),
            state: Mutex::new(State {
                plain: Plain::new(screen),
                live: Live::new(screen.is_coloured()),
                warnings: String::new(),
            }),
        });
        let drawing = (style == Style::Tty).then(|| {
            let (stop, stopped) = channel();
            let shared = Arc::clone(&shared);
            let thread = std::thread::spawn(move || shared.redraw(&stopped));
            Drawing { stop, thread }
        });
        Self { shared, drawing }
    }

    /// Shows what was kept for the end, and on a terminal what was built, if it was.
    pub(super) fn finish(mut self, built: Option<&str>) {
        self.stop();
        let shared = &self.shared;
        let state = shared.state();
        if matches!(shared.style, Style::Plain | Style::Tty) && !state.warnings.is_empty() {
            let warnings = state.warnings.trim_end();
            shared.screen.say(&format!("\n{warnings}"));
        }
        if let (Style::Tty, Some(built)) = (shared.style, built) {
            let (done, cached) = state.live.counts();
            let steps = if done == 1 { "step" } else { "steps" };
            let known = match cached {
                0 => String::new(),
                cached => format!(", {cached} cached"),
            };
            let took = clock::monotonic().saturating_sub(shared.began);
            shared.screen.say(&format!(
                "Built {built} in {:.1}s ({done} {steps}{known})",
                took.as_secs_f64()
            ));
        }
    }

    /// Takes away what is redrawn.
    fn stop(&mut self) {
        if let Some(drawing) = self.drawing.take() {
            drop(drawing.stop);
            drop(drawing.thread.join());
        }
    }
}

impl Drop for BuildProgress {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redraws until the other side of `stopped` is dropped.
    fn redraw(&self, stopped: &Receiver<()>) {
        let mut wait = SILENCE;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = REDRAW;
            self.draw(&mut self.state(), &[]);
        }
        let text = self.state().live.draw(&[], &[]);
        self.screen.ask(&text);
    }

    fn size() -> TerminalSize {
        let size = berth_sys::terminal::size(std::io::stderr());
        let known = size.ok().filter(|size| size.rows > 0 && size.columns > 0);
        known.unwrap_or(UNKNOWN)
    }

    /// Draws what is at work, below lines that stay.
    fn draw(&self, state: &mut State, stay: &[String]) {
        let now = clock::monotonic();
        let frame = if now.saturating_sub(self.began) < SILENCE {
            Vec::new()
        } else {
            state.live.frame(now, Self::size())
        };
        let text = state.live.draw(stay, &frame);
        self.screen.ask(&text);
    }

    fn live(&self, state: &mut State, event: &Event<'_>) {
        let columns = usize::from(Self::size().columns);
        let stay = state.live.event(event, clock::monotonic(), columns);
        if !stay.is_empty() {
            self.draw(state, &stay);
        }
    }

    /// What is used in place of what was asked for is said in any case.
    fn quiet(&self, event: &Event<'_>) {
        if let Event::Pull { event, .. } = event
            && let berth_image::Event::Stale { .. } = event
            && let Some(text) = remark(event)
        {
            self.screen.warn(&text);
        }
    }
}

impl Report for BuildProgress {
    fn event(&self, event: &Event<'_>) {
        let shared = &self.shared;
        let mut state = shared.state();
        if let Event::Warnings { text } = event
            && shared.style != Style::Rawjson
        {
            state.warnings.push_str(text);
            return;
        }
        match shared.style {
            Style::Quiet => shared.quiet(event),
            Style::Rawjson => shared.screen.say(&document(event).to_string()),
            Style::Tty => shared.live(&mut state, event),
            Style::Auto | Style::Plain => state.plain.event(event),
        }
    }

    fn failed(&self, place: &FailedPlace<'_>) {
        let shared = &self.shared;
        // Held until the shell has ended: nobody else writes to the terminal meanwhile.
        let mut state = shared.state();
        let text = state.live.draw(&[], &[]);
        shared.screen.ask(&text);
        super::shell::open(shared.screen, place);
    }
}

fn document(event: &Event<'_>) -> serde_json::Value {
    match *event {
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
        Event::Pull { step, event } => {
            serde_json::json!({"event": "pull", "step": step, "pull": json(event)})
        }
        Event::Cached { step } => serde_json::json!({"event": "cached", "step": step}),
        Event::Done { step, elapsed } => {
            serde_json::json!({"event": "done", "step": step, "elapsed": elapsed.as_secs_f64()})
        }
        Event::Failed { step, reason } => {
            serde_json::json!({"event": "failed", "step": step, "reason": reason})
        }
        Event::Cancelled { step } => serde_json::json!({"event": "cancelled", "step": step}),
        Event::Warnings { text } => serde_json::json!({"event": "warnings", "text": text}),
    }
}

/// Colours may pass; what moves the cursor or rings the bell may not.
pub(super) fn safe(text: &str) -> String {
    passed(text, true)
}

/// As [`safe`], without the colours, which could hide what follows.
pub(super) fn plain(text: &str) -> String {
    passed(text, false).replace('\t', " ")
}

fn passed(text: &str, with_colours: bool) -> String {
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
            if last == 'm' && with_colours {
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
