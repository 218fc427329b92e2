//! Named places where a test build can be made to die as if by `kill -9`.
//!
//! Without the feature `fault-points` a point is nothing at all. With it, `main` arms one name, and the
//! process kills itself when it comes to the point of that name.

#[cfg(feature = "fault-points")]
static ARMED: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Chooses the point at which this process dies; the first choice stays.
#[cfg(feature = "fault-points")]
pub fn arm(name: &str) {
    ARMED.get_or_init(|| name.to_owned());
}

/// Dies here if this is the armed point.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault-points")]
    if ARMED.get().is_some_and(|armed| armed == name) {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).ok();
    }
    #[cfg(not(feature = "fault-points"))]
    let _ = name;
}
