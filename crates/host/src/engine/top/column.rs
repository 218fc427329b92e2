//! The columns of `ps` that are offered, and how each reads.

use jiff::Timestamp;

use super::process::{Host, Process, TICKS};

/// One column as it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) title: String,
    value: fn(&Process, &Host) -> String,
}

/// Names, the standard title, and the value.
type Known = (
    &'static [&'static str],
    &'static str,
    fn(&Process, &Host) -> String,
);

const KNOWN: [Known; 24] = [
    (&["pid", "tgid"], "PID", |process, _| {
        process.pid.to_string()
    }),
    (&["ppid"], "PPID", |process, _| process.parent.to_string()),
    (&["pgid", "pgrp"], "PGID", |process, _| {
        process.group.to_string()
    }),
    (&["sid", "sess"], "SID", |process, _| {
        process.session.to_string()
    }),
    (&["user", "euser", "uname"], "USER", |process, host| {
        host.user(process.uid)
    }),
    (&["uid", "euid"], "UID", |process, _| {
        process.uid.to_string()
    }),
    (&["gid", "egid"], "GID", |process, _| {
        process.gid.to_string()
    }),
    (&["c"], "C", |process, host| {
        cpu_percent(process, host).min(99).to_string()
    }),
    (&["pcpu", "%cpu"], "%CPU", |process, host| {
        tenths(cpu_permille(process, host))
    }),
    (&["pmem", "%mem"], "%MEM", |process, host| {
        tenths(process.resident_kib.saturating_mul(1000) / host.memory_kib.max(1))
    }),
    (&["vsz", "vsize"], "VSZ", |process, _| {
        process.virtual_kib.to_string()
    }),
    (&["rss", "rsz"], "RSS", |process, _| {
        process.resident_kib.to_string()
    }),
    (&["nlwp", "thcount"], "NLWP", |process, _| {
        process.threads.to_string()
    }),
    (&["ni", "nice"], "NI", |process, _| process.nice.to_string()),
    (&["s", "state"], "S", |process, _| process.state.to_string()),
    (&["stat"], "STAT", |process, _| state(process)),
    (&["tty", "tt", "tname"], "TTY", |process, _| {
        terminal(process.terminal)
    }),
    (&["time", "cputime"], "TIME", |process, _| {
        clock(process.ticks / TICKS)
    }),
    (&["etime", "elapsed"], "ELAPSED", |process, host| {
        elapsed(age(process, host))
    }),
    (&["etimes"], "ELAPSED", |process, host| {
        age(process, host).to_string()
    }),
    (&["stime", "start", "start_time"], "STIME", started),
    (&["lstart"], "STARTED", |process, host| {
        local(process, host, "%a %b %e %H:%M:%S %Y")
    }),
    (&["comm", "ucmd", "ucomm"], "COMMAND", |process, _| {
        process.name.clone()
    }),
    (&["args", "cmd", "command"], "COMMAND", |process, _| {
        process.command.clone()
    }),
];

impl Column {
    /// Parses `pid,user=WHO,args`; a name that is no column is the error.
    pub(super) fn parse_list(list: &str) -> Result<Vec<Self>, String> {
        let parse = |word: &str| {
            let (name, title) = match word.split_once('=') {
                Some((name, title)) => (name, Some(title)),
                None => (word, None),
            };
            let lower = name.to_ascii_lowercase();
            let known = KNOWN
                .iter()
                .find(|(names, _, _)| names.contains(&lower.as_str()));
            let (_, standard, value) = known.ok_or_else(|| name.to_owned())?;
            Ok(Self {
                title: title.unwrap_or(standard).to_owned(),
                value: *value,
            })
        };
        list.split(',')
            .filter(|word| !word.is_empty())
            .map(parse)
            .collect()
    }

    /// The column's text for a process.
    pub(super) fn value(&self, process: &Process, host: &Host) -> String {
        (self.value)(process, host)
    }
}

/// Every column's first name.
pub(super) fn names() -> String {
    let names: Vec<&str> = KNOWN
        .iter()
        .filter_map(|(names, _, _)| names.first().copied())
        .collect();
    names.join(", ")
}

/// Seconds since it started.
fn age(process: &Process, host: &Host) -> u64 {
    host.now
        .saturating_sub(host.booted.saturating_add(process.started / TICKS))
}

fn cpu_permille(process: &Process, host: &Host) -> u64 {
    process.ticks.saturating_mul(1000) / TICKS / age(process, host).max(1)
}

fn cpu_percent(process: &Process, host: &Host) -> u64 {
    cpu_permille(process, host) / 10
}

fn tenths(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

fn state(process: &Process) -> String {
    let mut text = process.state.to_string();
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.session == process.pid, 's'),
        (process.threads > 1, 'l'),
        (process.foreground == process.group, '+'),
    ];
    text.extend(
        marks
            .iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, mark)| *mark),
    );
    text
}

/// The terminal behind a device number (`MAJOR(dev)` is bits 8 to 19): 136 to 143 are `pts/N`.
fn terminal(device: i32) -> String {
    let device = u32::try_from(device).unwrap_or(0);
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xf_ff00),
    );
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

fn clock(seconds: u64) -> String {
    let days = seconds / 86_400;
    let rest = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    if days == 0 {
        rest
    } else {
        format!("{days}-{rest}")
    }
}

/// `[[DD-]hh:]mm:ss`, as ps writes an elapsed time.
fn elapsed(seconds: u64) -> String {
    if seconds >= 3600 {
        return clock(seconds);
    }
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// The time of day for a process that started today, else the day.
fn started(process: &Process, host: &Host) -> String {
    let day = |seconds: u64| {
        let timestamp =
            Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default();
        timestamp.to_zoned_datetime(host.zone.clone()).date()
    };
    let then = host.booted.saturating_add(process.started / TICKS);
    local(
        process,
        host,
        if day(then) == day(host.now) {
            "%H:%M"
        } else {
            "%b%d"
        },
    )
}

fn local(process: &Process, host: &Host, format: &str) -> String {
    let then = host.booted.saturating_add(process.started / TICKS);
    let timestamp = Timestamp::from_second(i64::try_from(then).unwrap_or(0)).unwrap_or_default();
    timestamp
        .to_zoned_datetime(host.zone.clone())
        .strftime(format)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_and_clocks_read_as_in_ps() {
        for (device, expected) in [
            (0, "?"),
            (34816, "pts/0"),
            (34819, "pts/3"),
            (1025, "tty1"),
            (1088, "ttyS0"),
        ] {
            assert_eq!(terminal(device), expected);
        }
        assert_eq!(clock(3723), "01:02:03");
        assert_eq!(clock(90_061), "1-01:01:01");
        assert_eq!(elapsed(62), "01:02");
        assert_eq!(elapsed(3600), "01:00:00");
        assert_eq!(tenths(1234), "123.4");
    }
}
