//! The lifecycle table over both runtimes: every row is one test natively and one as wasm.

mod entries;
mod guests;
mod toolchains;

use berth_testkit::{Kind, conformance};

macro_rules! rows {
    ($($row:ident,)*) => {
        mod native {
            use super::{Kind, conformance};
            $(#[test] fn $row() { conformance::$row(Kind::Native); })*
        }
        mod wasm {
            use super::{Kind, conformance};
            $(#[test] fn $row() { conformance::$row(Kind::Wasm); })*
        }
    };
}

rows! {
    dispatch_needs_no_flag,
    isolation_is_complete,
    arguments_environment_and_directory_arrive,
    the_user_is_the_process_owner,
    users_can_be_its_own,
    input_ends_at_the_end,
    a_terminal_is_a_terminal,
    logs_are_what_was_said,
    logs_rotate,
    syslog_gets_what_was_said,
    the_journal_gets_what_was_said,
    a_slow_receiver_is_waited_for_or_not,
    a_receiver_must_be_there,
    a_receiver_may_go_away,
    binds_and_volumes_are_the_same_tree,
    absolute_paths_are_absolute,
    read_only_is_enforced_by_the_kernel,
    tmpfs_is_fresh_each_time,
    none_has_only_loopback,
    published_port_answers,
    exit_statuses_agree_everywhere,
    a_missing_program_is_127,
    an_unusable_program_is_126,
    rm_leaves_nothing,
    wait_prints_the_status,
    restart_policy_counts,
    run_again_keeps_the_writable_layer,
    memory_limit_is_real,
    limits_are_set_and_stay,
    pause_freezes_the_guest,
    stop_asks_first,
    stop_insists_after_the_grace_time,
    a_timeout_ends_it,
    kill_sends_the_signal,
    kill_survivors_are_reaped,
    exec_runs_a_second_instance,
    exec_has_its_own_exit_status,
    top_shows_the_guest,
    build_steps_run_in_the_stages_root,
}

#[test]
fn pending_rows_say_what_they_wait_for() {
    for (row, reason) in conformance::PENDING {
        berth_testkit::skip(&format!("lifecycle row {row:?}"), reason);
    }
}
