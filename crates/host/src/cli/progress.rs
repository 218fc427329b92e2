//! What a pull or push looks like: silence for a quarter of a second, then one calm line, then one sentence.
//!
//! The line is redrawn on a terminal only. Standard error that is a file or a pipe gets the sentence
//! and nothing else, unless `--progress` asks for more.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use berth_host::format::human;
use berth_image::{Event, Progress, Provided};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Screen;

/// How long nothing is shown: most commands are done by then.
const SILENCE: Duration = Duration::from_millis(250);
/// How often the line is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// What `--progress` chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// A line on a terminal, `plain` elsewhere.
    #[default]
    Auto,
    /// The line, even if standard error is not a terminal.
    Tty,
    /// One sentence at the end, and one for each retry.
    Plain,
    /// Every event as a JSON object.
    #[value(alias = "rawjson")]
    Json,
    /// Nothing.
    #[value(alias = "quiet")]
    None,
}

/// Shows how a pull or load gets on; hand it to the engine and call [`PullProgress::finish`].
#[derive(Debug)]
pub(crate) struct PullProgress {
    screen: Screen,
    style: Style,
    begun: Instant,
    state: Mutex<State>,
    drawing: Mutex<Option<Drawing>>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct State {
    /// Whether layers go to the registry.
    upwards: bool,
    subject: String,
    layers: BTreeMap<String, Layer>,
    bar: Option<ProgressBar>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Layer {
    received: u64,
    total: u64,
    done: bool,
    existed: bool,
}

/// The thread that ends the silence.
#[derive(Debug)]
struct Drawing {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl PullProgress {
    /// A progress that shows itself in this style.
    pub(crate) fn new(screen: Screen, style: Style) -> Self {
        let style = match style {
            Style::Auto if screen.talks_to_terminal() => Style::Tty,
            Style::Auto => Style::Plain,
            chosen => chosen,
        };
        Self {
            screen,
            style,
            begun: Instant::now(),
            state: Mutex::default(),
            drawing: Mutex::default(),
        }
    }

    /// Takes the line away and says in one sentence what was done: `Pulled busybox:latest`.
    ///
    /// Says nothing when nothing had to be fetched and nothing was shown.
    pub(crate) fn finish(&self, sentence: &str) {
        self.clear();
        if matches!(self.style, Style::None | Style::Json) {
            return;
        }
        let state = self.state();
        let fetched: u64 = state
            .layers
            .values()
            .filter(|layer| !layer.existed)
            .map(|layer| layer.total)
            .fold(0, u64::saturating_add);
        let layers = state.layers.len();
        drop(state);
        let noun = if layers == 1 { "layer" } else { "layers" };
        let took = self.begun.elapsed().as_secs_f64();
        let detail = if layers == 0 || fetched == 0 {
            String::new()
        } else {
            format!(" ({}, {layers} {noun}) in {took:.1}s", human::size(fetched))
        };
        self.screen
            .say(&format!("{}{detail}", super::failure::escape(sentence)));
    }

    /// Says what is under way: a push of this name.
    pub(crate) fn pushing(&self, name: &str) {
        self.update(|state| {
            state.upwards = true;
            name.clone_into(&mut state.subject);
        });
    }

    /// Writes something while the line is out of the way.
    pub(crate) fn beside_the_line<T>(&self, write: impl FnOnce(Screen) -> T) -> T {
        let bar = self.state().bar.clone();
        match bar {
            Some(bar) => bar.suspend(|| write(self.screen)),
            None => write(self.screen),
        }
    }

    /// Takes the line away without a word, before a failure is told.
    pub(crate) fn clear(&self) {
        let drawing = self
            .drawing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(drawing) = drawing {
            drop(drawing.stop);
            drop(drawing.thread.join());
        }
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the clock of the silence at the first event.
    fn ensure_drawing(&self) {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if drawing.is_some() {
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        self.state().bar = Some(bar.clone());
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || draw(&bar, &stopped));
        *drawing = Some(Drawing { stop, thread });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let Some(bar) = &state.bar {
            bar.set_message(line(&state, self.begun.elapsed()));
        }
    }
}

impl Drop for PullProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Redraws the line until the other side of `stopped` is dropped.
fn draw(bar: &ProgressBar, stopped: &Receiver<()>) {
    let mut wait = SILENCE;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        if wait == SILENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            wait = REDRAW;
        }
        bar.tick();
    }
}

/// The one line: what, how many layers, how much, how fast.
fn line(state: &State, elapsed: Duration) -> String {
    let subject = super::failure::escape(&state.subject);
    let verb = if state.upwards { "pushing" } else { "pulling" };
    if state.layers.is_empty() {
        return format!("{verb} {subject}");
    }
    let layers = state.layers.values();
    let done = layers.clone().filter(|layer| layer.done).count();
    let received: u64 = layers
        .clone()
        .map(|layer| layer.received)
        .fold(0, u64::saturating_add);
    let total: u64 = layers
        .clone()
        .map(|layer| layer.total)
        .fold(0, u64::saturating_add);
    let fetched: u64 = layers
        .filter(|layer| !layer.existed)
        .map(|layer| layer.received)
        .fold(0, u64::saturating_add);
    let milliseconds = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let speed = fetched.saturating_mul(1000) / milliseconds;
    format!(
        "{verb} {subject}  {} of {}  {}/s  {done} of {} layers",
        human::size(received),
        human::size(total),
        human::size(speed),
        state.layers.len(),
    )
}

impl Progress for PullProgress {
    fn event(&self, event: &Event<'_>) {
        match self.style {
            // What is used in place of what was asked for is said in any case.
            Style::None => {
                if let Event::Stale { .. } = event
                    && let Some(text) = remark(event)
                {
                    self.screen.warn(&text);
                }
                return;
            }
            Style::Json => {
                if let Some(json) = json(event) {
                    self.screen.say(&json);
                }
                return;
            }
            Style::Tty => self.ensure_drawing(),
            Style::Plain | Style::Auto => {}
        }
        match event {
            Event::Resolving { reference } => {
                self.update(|state| (*reference).clone_into(&mut state.subject));
            }
            Event::Layers { layers } => self.update(|state| {
                for (digest, size) in *layers {
                    let layer = Layer {
                        total: *size,
                        ..Layer::default()
                    };
                    state.layers.entry(digest.to_string()).or_insert(layer);
                }
            }),
            Event::Downloading {
                layer,
                received,
                total,
            } => self.update(|state| {
                let entry = state.layers.entry(layer.to_string()).or_default();
                entry.received = *received;
                entry.total = *total;
            }),
            Event::Downloaded { layer } => self.update(|state| {
                let entry = state.layers.entry(layer.to_string()).or_default();
                entry.received = entry.total;
            }),
            Event::LayerDone { layer, existed } => self.update(|state| {
                let entry = state.layers.entry(layer.to_string()).or_default();
                entry.received = entry.total;
                entry.done = true;
                entry.existed = *existed;
            }),
            Event::Uploading { layer, sent, total } => self.update(|state| {
                let entry = state.layers.entry(layer.to_string()).or_default();
                entry.received = *sent;
                entry.total = *total;
            }),
            Event::Pushed { layer, how } => self.update(|state| {
                let entry = state.layers.entry(layer.to_string()).or_default();
                entry.received = entry.total;
                entry.done = true;
                entry.existed = **how != Provided::Uploaded;
            }),
            other => {
                if let Some(text) = remark(other) {
                    self.beside_the_line(|screen| screen.warn(&text));
                }
            }
        }
    }
}

/// What went differently, in words.
pub(crate) fn remark(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Retrying { reason, wait } => {
            let seconds = wait.as_secs_f64();
            Some(format!("{reason}; trying again in {seconds:.1}s"))
        }
        Event::Waiting { layer } => {
            let short = layer.short();
            Some(format!(
                "another berth is fetching layer {short}; waiting for it"
            ))
        }
        Event::NextHost { failed, reason } => Some(format!(
            "{failed} does not have it: {reason}; asking the next host"
        )),
        Event::Stale { reference, reason } => Some(format!(
            "using the {reference} that is here, which may be old: {reason}"
        )),
        Event::Warned { registry, text } => Some(format!("{registry} says: {text}")),
        _ => None,
    }
}

/// An event as Docker's API has it, as far as it is told there.
pub(crate) fn json(event: &Event<'_>) -> Option<String> {
    let value = match event {
        Event::Resolving { reference } => {
            serde_json::json!({"status": "resolving", "id": reference})
        }
        Event::Layers { layers } => {
            let layers: Vec<_> = layers
                .iter()
                .map(|(digest, size)| serde_json::json!({"id": digest.to_string(), "total": size}))
                .collect();
            serde_json::json!({"status": "layers", "layers": layers})
        }
        Event::Downloading {
            layer,
            received,
            total,
        } => serde_json::json!({
            "status": "downloading",
            "id": layer.to_string(),
            "progressDetail": {"current": received, "total": total},
        }),
        Event::Downloaded { layer } => {
            serde_json::json!({"status": "downloaded", "id": layer.to_string()})
        }
        Event::LayerDone { layer, existed } => {
            serde_json::json!({"status": "done", "id": layer.to_string(), "existed": existed})
        }
        Event::Retrying { reason, wait } => {
            serde_json::json!({"status": "retrying", "reason": reason, "wait": wait.as_secs_f64()})
        }
        Event::Waiting { layer } => {
            serde_json::json!({"status": "waiting", "id": layer.to_string()})
        }
        Event::NextHost { failed, reason } => {
            serde_json::json!({"status": "next host", "failed": failed, "reason": reason})
        }
        Event::Stale { reference, reason } => {
            serde_json::json!({"status": "stale", "id": reference, "reason": reason})
        }
        Event::Warned { registry, text } => {
            serde_json::json!({"status": "warning", "registry": registry, "text": text})
        }
        Event::Uploading { layer, sent, total } => serde_json::json!({
            "status": "uploading",
            "id": layer.to_string(),
            "progressDetail": {"current": sent, "total": total},
        }),
        Event::Pushed { layer, how } => serde_json::json!({
            "status": "pushed",
            "id": layer.to_string(),
            "existed": **how != Provided::Uploaded,
        }),
        _ => return None,
    };
    Some(value.to_string())
}
