//! What `top` shows: rows of `ps` for given pids, read from `/proc`, because berth runs no helper
//! program and the container may have none.
//!
//! `ps` options are understood as far as they choose columns: `-ef`, `aux`, `-o LIST` and its
//! spellings, or a bare list of columns. Anything else is refused with the list of columns.

mod column;
mod process;

use berth_contract::{Class, Error, Result};
use jiff::tz::TimeZone;

use self::column::Column;
use self::process::{Host, Process};
use crate::api::types::ContainerTop;

/// The columns of `ps -ef`.
const FULL: &str = "user=UID,pid,ppid,c,stime,tty,time,args=CMD";
/// The columns of `ps aux`.
const USER_ORIENTED: &str = "user,pid,pcpu,pmem,vsz,rss,tty,stat,stime=START,time,args=COMMAND";

/// The processes with these pids, in the columns that the `ps` options ask for.
///
/// # Errors
/// The options ask for something else than known columns.
pub(super) fn processes(
    pids: &[i32],
    options: &[String],
    now: u64,
    zone: &TimeZone,
) -> Result<ContainerTop> {
    let columns = columns(options)?;
    let host = Host::read(now, zone);
    // A process may end between the listing of the cgroup and here: it is left out, as ps does.
    let processes: Vec<Process> = pids.iter().filter_map(|pid| Process::read(*pid)).collect();
    Ok(ContainerTop {
        titles: columns.iter().map(|column| column.title.clone()).collect(),
        processes: processes
            .iter()
            .map(|process| {
                columns
                    .iter()
                    .map(|column| column.value(process, &host))
                    .collect()
            })
            .collect(),
    })
}

fn columns(options: &[String]) -> Result<Vec<Column>> {
    let words: Vec<&str> = options
        .iter()
        .flat_map(|option| option.split_whitespace())
        .collect();
    let mut chosen: Vec<Column> = Vec::new();
    let mut user_oriented = false;
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let flags = word.strip_prefix('-').unwrap_or(word);
        if let Some(list) = word.strip_prefix("--format=") {
            chosen.extend(Column::parse_list(list).map_err(|name| unknown(&name))?);
        } else if word == "--format" {
            let list = words.next().ok_or_else(|| refused(word))?;
            chosen.extend(Column::parse_list(list).map_err(|name| unknown(&name))?);
        } else if let Some((_, list)) = flags.split_once('o').filter(|(selection, _)| {
            (word.starts_with('-') || selection.is_empty() || *selection == "ax")
                && selection.chars().all(|flag| "eAax".contains(flag))
        }) {
            let list = if list.is_empty() {
                words.next().ok_or_else(|| refused(word))?
            } else {
                list
            };
            chosen.extend(Column::parse_list(list).map_err(|name| unknown(&name))?);
        } else if matches!(
            flags,
            "f" | "ef" | "eF" | "Af" | "e" | "A" | "a" | "ax" | "x" | "w" | "ww" | "efww"
        ) {
            // Which processes: always the container's. How: the default is the full format.
        } else if matches!(flags, "u" | "aux" | "ux" | "au" | "auxw" | "auxww" | "axu") {
            user_oriented = true;
        } else if !word.starts_with('-') {
            chosen.extend(Column::parse_list(word).map_err(|name| unknown(&name))?);
        } else {
            return Err(refused(word));
        }
    }
    if chosen.is_empty() {
        let list = if user_oriented { USER_ORIENTED } else { FULL };
        return Column::parse_list(list).map_err(|name| unknown(&name));
    }
    Ok(chosen)
}

fn refused(word: &str) -> Error {
    Error::new(
        Class::Unsupported,
        format!("the ps option {word:?} is not supported"),
    )
    .hint("use -ef, aux, or -o followed by a list of columns, as in -o pid,user,args")
}

fn unknown(name: &str) -> Error {
    Error::new(Class::Invalid, format!("unknown column {name:?}"))
        .hint(format!("the columns are {}", column::names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(options: &[&str]) -> String {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        match columns(&options) {
            Ok(columns) => {
                let titles: Vec<String> = columns.into_iter().map(|column| column.title).collect();
                titles.join(" ")
            }
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn ps_options_choose_columns() {
        for (options, expected) in [
            (&[][..], "UID PID PPID C STIME TTY TIME CMD"),
            (&["-ef"], "UID PID PPID C STIME TTY TIME CMD"),
            (
                &["aux"],
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            ),
            (&["-o", "pid,comm"], "PID COMMAND"),
            (&["-opid"], "PID"),
            (&["-eo", "pid,args"], "PID COMMAND"),
            (&["axo", "pid"], "PID"),
            (&["-o pid -o user=WHO"], "PID WHO"),
            (&["pid", "user"], "PID USER"),
            (&["--format=pid"], "PID"),
            (&["-o", "nope"], "! unknown column \"nope\""),
            (&["-Z"], "! the ps option \"-Z\" is not supported"),
            (&["-o"], "! the ps option \"-o\" is not supported"),
        ] {
            assert_eq!(titles(options), expected, "{options:?}");
        }
    }

    #[test]
    fn this_process_has_a_row() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let options = ["-o".to_owned(), "pid,ppid,stat,time,args".to_owned()];
        let top = processes(&[pid, i32::MAX], &options, 0, &TimeZone::UTC).unwrap();
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0][0], pid.to_string());
        assert_eq!(top.processes[0][3].len(), 8);
    }
}
