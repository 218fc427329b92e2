//! What a process can be given by itself only with rights over the host: hard limits that are raised, and a
//! lower out-of-memory score. With users of its own it has no such rights, and its supervisor does it.

use berth_contract::{Class, Error, Result};
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::path;
use berth_sys::process::{self, Limit};

use crate::execute;
use crate::plan::process::{LimitPlan, ProcessPlan};

/// Gives a process its limits and its score: this one, or a child with that pid.
pub(crate) fn apply(plan: &ProcessPlan, child: Option<i32>) -> Result<()> {
    let pid = child.unwrap_or(0);
    for wanted in &plan.limits {
        set_limit(wanted, pid)?;
    }
    let Some(score) = plan.out_of_memory_score else {
        return Ok(());
    };
    let sentence = || format!("cannot set the out-of-memory score to {score}");
    let proc = execute::private_proc()?;
    let process = child.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let file = format!("{process}/oom_score_adj");
    path::write_proc(
        std::os::fd::AsFd::as_fd(&proc),
        &file,
        score.to_string().as_bytes(),
    )
    .explain(sentence)
}

fn set_limit(wanted: &LimitPlan, pid: i32) -> Result<()> {
    let sentence = || {
        format!(
            "cannot set {} to {}:{}",
            wanted.name, wanted.soft, wanted.hard
        )
    };
    let limit = Limit {
        resource: wanted.resource,
        soft: wanted.soft,
        hard: wanted.hard,
    };
    let hard = || process::limit_of(pid, wanted.resource).explain(sentence);
    match process::set_limit_of(pid, limit) {
        Err(error) if error::is(&error, Errno::PERM) && wanted.clamp => {
            let hard = hard()?.hard.min(wanted.hard);
            let clamped = Limit {
                soft: wanted.soft.min(hard),
                hard,
                ..limit
            };
            process::set_limit_of(pid, clamped).explain(sentence)
        }
        Err(error) if error::is(&error, Errno::PERM) => {
            let hard = hard()?.hard;
            Err(Error::new(Class::Denied, sentence())
                .caused_by(format!(
                    "berth may not raise the hard limit, which is {hard}"
                ))
                .hint(format!("ask for at most {hard}")))
        }
        result => result.explain(sentence),
    }
}
