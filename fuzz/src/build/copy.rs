//! Of copying what can be said without files.

#[path = "../../../crates/host/src/build/copy/mode.rs"]
mod mode;

pub(super) fn mode_change(text: &str) -> Result<mode::ModeChange, String> {
    mode::ModeChange::parse(text)
}
