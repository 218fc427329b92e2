//! The lifecycle suite: each function is one row of the lifecycle table, run on a native twin and on
//! the wasm twin of the same program, with one expectation.
//!
//! A row may look at [`Kind`] only where the table itself says that the two must differ, and says why.

mod build;
mod exec;
mod exit;
mod files;
mod identity;
mod limits;
mod logging;
mod network;
mod stop;
mod streams;

use crate::{ImageArchive, Kind, Sandbox, Twin};

pub use build::build_steps_run_in_the_stages_root;
pub use exec::{exec_has_its_own_exit_status, exec_runs_a_second_instance, top_shows_the_guest};
pub use exit::{
    a_missing_program_is_127, an_unusable_program_is_126, exit_statuses_agree_everywhere,
    restart_policy_counts, rm_leaves_nothing, run_again_keeps_the_writable_layer,
    wait_prints_the_status,
};
pub use files::{
    absolute_paths_are_absolute, binds_and_volumes_are_the_same_tree,
    read_only_is_enforced_by_the_kernel, tmpfs_is_fresh_each_time,
};
pub use identity::{
    arguments_environment_and_directory_arrive, dispatch_needs_no_flag, isolation_is_complete,
    the_user_is_the_process_owner, users_can_be_its_own,
};
pub use limits::{limits_are_set_and_stay, memory_limit_is_real, pause_freezes_the_guest};
pub use logging::{
    a_receiver_may_go_away, a_receiver_must_be_there, a_slow_receiver_is_waited_for_or_not,
    syslog_gets_what_was_said, the_journal_gets_what_was_said,
};
pub use network::{none_has_only_loopback, published_port_answers};
pub use stop::{
    a_timeout_ends_it, kill_sends_the_signal, kill_survivors_are_reaped, stop_asks_first,
    stop_insists_after_the_grace_time,
};
pub use streams::{
    a_terminal_is_a_terminal, input_ends_at_the_end, logs_are_what_was_said, logs_rotate,
};

/// Rows of the lifecycle table that wait for verbs this version does not have, and which those are.
pub const PENDING: [(&str, &str); 4] = [
    (
        "stats",
        "the verb `stats` and the verb `update` come with resource reporting",
    ),
    ("events", "the verb `events` comes with the event log"),
    (
        "healthcheck",
        "health probes come with the verb `healthcheck`",
    ),
    (
        "cp, diff, commit, export",
        "the verbs come with the root file system tools",
    ),
];

/// A sandbox that holds the image of one twin, and the twin.
pub fn sandbox(kind: Kind, program: &'static str) -> (Sandbox, Twin) {
    let twin = Twin::new(kind, program);
    let sandbox = Sandbox::new();
    sandbox.load(&ImageArchive::twin(&twin));
    (sandbox, twin)
}
