//! One process and the host's clock as `/proc` tells them.

use std::fs;

use jiff::tz::TimeZone;

/// Linux counts in these everywhere: `USER_HZ` is part of the system call interface.
pub(super) const TICKS: u64 = 100;

/// What `/proc/PID` tells about one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    pub(super) terminal: i32,
    pub(super) foreground: i32,
    pub(super) state: char,
    pub(super) name: String,
    pub(super) command: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nice: i32,
    pub(super) threads: u64,
    /// Processor time used, in ticks.
    pub(super) ticks: u64,
    /// When it started, in ticks since boot.
    pub(super) started: u64,
    pub(super) virtual_kib: u64,
    pub(super) resident_kib: u64,
}

/// What does not depend on the process.
#[derive(Debug)]
pub(super) struct Host {
    /// Seconds since the Unix epoch.
    pub(super) now: u64,
    /// When the machine started, in seconds since the Unix epoch.
    pub(super) booted: u64,
    pub(super) memory_kib: u64,
    pub(super) zone: TimeZone,
    users: Vec<(u32, String)>,
}

impl Host {
    pub(super) fn read(now: u64, zone: &TimeZone) -> Self {
        let number_after = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        Self {
            now: now / 1_000_000_000,
            booted: number_after("/proc/stat", "btime "),
            memory_kib: number_after("/proc/meminfo", "MemTotal:"),
            zone: zone.clone(),
            users: users(&fs::read_to_string("/etc/passwd").unwrap_or_default()),
        }
    }

    /// The host's name for a user, else the number.
    pub(super) fn user(&self, uid: u32) -> String {
        let named = self.users.iter().find(|(known, _)| *known == uid);
        named.map_or_else(|| uid.to_string(), |(_, name)| name.clone())
    }
}

fn users(passwd: &str) -> Vec<(u32, String)> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
    };
    passwd.lines().filter_map(entry).collect()
}

impl Process {
    /// Reads a process; `None` if it has ended.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
        let stat = file("stat")?;
        let status = file("status")?;
        let command = file("cmdline").unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        Self::parse(&stat, &String::from_utf8_lossy(&status), &command)
    }

    /// Reads the three files' contents (proc(5)).
    fn parse(stat: &str, status: &str, command: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may hold any character, parentheses included.
        let (head, tail) = stat.rsplit_once(") ")?;
        let (pid, name) = head.split_once(" (")?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        // Field 3 of proc(5) is the first here.
        let number = |field: usize| {
            fields
                .get(field - 3)
                .and_then(|word| word.parse::<i64>().ok())
        };
        let narrow = |field| number(field).and_then(|value| i32::try_from(value).ok());
        let counted = |field| number(field).and_then(|value| u64::try_from(value).ok());
        let tagged = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.split_whitespace().collect::<Vec<_>>())
        };
        // The second id of the line is the effective one.
        let effective = |key| tagged(key).and_then(|ids| ids.get(1)?.parse().ok());
        let kib = |key| tagged(key).and_then(|words| words.first()?.parse().ok());
        let mut arguments = String::from_utf8_lossy(command).into_owned();
        arguments.truncate(arguments.trim_end_matches('\0').len());
        // A kernel thread or a zombie has no arguments; ps shows its name in brackets.
        let command = if arguments.is_empty() {
            format!("[{name}]")
        } else {
            arguments.replace(['\0', '\n'], " ")
        };
        Some(Self {
            pid: pid.trim().parse().ok()?,
            parent: narrow(4)?,
            group: narrow(5)?,
            session: narrow(6)?,
            terminal: narrow(7)?,
            foreground: narrow(8)?,
            state: fields.first()?.chars().next()?,
            name: name.to_owned(),
            command,
            uid: effective("Uid:")?,
            gid: effective("Gid:")?,
            nice: narrow(19)?,
            threads: counted(20)?,
            ticks: counted(14)?.saturating_add(counted(15)?),
            started: counted(22)?,
            virtual_kib: kib("VmSize:").unwrap_or(0),
            resident_kib: kib("VmRSS:").unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 34816 9 0 0 0 0 0 150 50 0 0 20 -5 3 0 1234 99 88";
        let status =
            "Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t0\t5\t0\t0\nVmSize:\t 10 kB\nVmRSS:\t 4 kB\n";
        let process = Process::parse(stat, status, b"sleep\0 1\n2\0").unwrap();
        assert_eq!(process.name, "a) b (c");
        assert_eq!(
            (process.pid, process.parent, process.terminal),
            (7, 1, 34816)
        );
        assert_eq!(
            (process.ticks, process.started, process.threads),
            (200, 1234, 3)
        );
        assert_eq!((process.uid, process.gid, process.nice), (1000, 5, -5));
        assert_eq!((process.virtual_kib, process.resident_kib), (10, 4));
        assert_eq!(process.command, "sleep  1 2");
        assert_eq!(Process::parse("", "", b""), None);
    }

    #[test]
    fn users_come_from_passwd() {
        assert_eq!(
            users("root:x:0:0::/:/bin/sh\nbad\nbob:x:1000:1::/:\n"),
            [(0, "root".to_owned()), (1000, "bob".to_owned())]
        );
    }
}
