//! Guests that attack others while those start: what they exchange leads nowhere, and nobody looks into a
//! process that joins.
//!
//! The attacker is a guest whose program is this very test: [`hostile_guest`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_contract::oci::{Capabilities, Capability, Spec};
use berth_contract::{Guest, Program, Runtime as _, Stdio, TerminalSize};
use berth_linux_runtime::defaults;
use berth_sys::file::Directory;

use crate::support::{self, Bench};

/// How long one attack is tried.
const ATTACK: Duration = Duration::from_secs(2);
/// Where an attacker has the directory it shares with its victims.
const SHARED: &str = "/hostile";
/// An entry of it is exchanged, over and over, with the one of that name with this at its end.
const EVIL: &str = ".evil";

/// What an attacker does, for ever; outside a guest, where nothing is shared, it does nothing.
#[test]
fn hostile_guest() {
    let shared = Path::new(SHARED);
    if !shared.exists() {
        return;
    }
    let directory = Directory::open(shared).unwrap();
    let pairs: Vec<(OsString, OsString)> = names(shared)
        .into_iter()
        .filter_map(|evil| {
            let good = evil.to_str()?.strip_suffix(EVIL)?;
            Some((good.into(), evil))
        })
        .collect();
    File::create(shared.join("begun")).unwrap();
    loop {
        for (good, evil) in &pairs {
            drop(directory.exchange(good, evil));
        }
        if pairs.is_empty() {
            spy(shared);
        }
    }
}

/// Looks for processes that are not yet what they become, and at which program they are.
fn spy(shared: &Path) {
    for pid in names(Path::new("/proc")) {
        let number = pid.to_str().and_then(|pid| pid.parse::<u32>().ok());
        let Some(2..) = number else { continue };
        let process = Path::new("/proc").join(&pid);
        // In this order: what is hidden is so until it executes, and never again.
        let inside = ["root", "cwd"].map(|link| fs::read_link(process.join(link)));
        let seen = match fs::read_link(process.join("exe")) {
            // A program of the guest may be looked at by its equals.
            Ok(program) => !program.ends_with("busybox"),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                drop(File::create(shared.join("denied")));
                inside.iter().any(Result::is_ok)
            }
            Err(_) => false,
        };
        if seen {
            drop(File::create(shared.join("seen")));
        }
        let root = |path: &Path| fs::metadata(path).map(|root| (root.dev(), root.ino()));
        if let (Ok(own), Ok(other)) = (root(Path::new("/")), root(&process.join("root/."))) {
            drop(File::create(shared.join("looked")));
            if own != other {
                drop(File::create(shared.join("another-root")));
            }
        }
    }
}

fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// Streams that lead nowhere.
fn nothing() -> Stdio {
    let null = || berth_sys::fd::null().unwrap();
    Stdio::Files {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    }
}

/// A shared directory, what lies outside, and a guest that attacks.
struct Attack {
    bench: Bench,
    shared: PathBuf,
    outside: PathBuf,
    /// The guest, its root, and what it is.
    attacker: Option<(Box<dyn Guest>, Bench, Spec)>,
}

impl Attack {
    fn prepare(name: &str) -> Option<Self> {
        let bench = Bench::new(name)?;
        let (shared, outside) = (
            bench.scratch().join("shared"),
            bench.scratch().join("outside"),
        );
        fs::create_dir(&shared).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "untouched").unwrap();
        Some(Self {
            bench,
            shared,
            outside,
            attacker: None,
        })
    }

    /// A link to the outside, to be exchanged with `name`.
    fn evil(&self, name: &str, target: &Path) {
        symlink(target, self.shared.join(format!("{name}{EVIL}"))).unwrap();
    }

    fn begin(&mut self) {
        self.begin_with(defaults::capabilities());
    }

    fn begin_with(&mut self, capabilities: Capabilities) {
        let words = [
            "guest",
            "--exact",
            "races::hostile_guest",
            "--test-threads=1",
        ];
        let mut spec = self.bench.spec(&words);
        let shared = self.shared.to_str().unwrap();
        support::add_mount(&mut spec, SHARED, "bind", shared, &["rbind"]);
        support::capabilities(&mut spec, capabilities);
        let other = self.bench.another("attacker");
        let mut slot = other.slot().slot;
        slot.program = Program::File(File::open("/proc/self/exe").unwrap().into());
        slot.stdio = nothing();
        let mut guest = self.bench.runtime().create(&spec, slot).unwrap();
        guest.start().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.shared.join("begun").exists() {
            assert!(Instant::now() < deadline, "the attacker does not begin");
            std::thread::yield_now();
        }
        self.attacker = Some((guest, other, spec));
    }

    /// Starts victims for a while; returns how many ran.
    fn victims(&self, spec: &Spec, check: impl Fn(&support::Outcome)) -> u32 {
        let mut ran = 0;
        let end = Instant::now() + ATTACK;
        while Instant::now() < end {
            // That a mount point is no directory at the moment is a fair reason to fail.
            if let Ok(outcome) = self.bench.try_run(spec.clone()) {
                check(&outcome);
                ran += 1;
            }
        }
        ran
    }

    /// Ends the attack; nothing outside may have changed.
    fn end(mut self) {
        if let Some((mut attacker, _root, _)) = self.attacker.take() {
            assert_eq!(attacker.reap().unwrap(), None, "the attacker has failed");
            attacker.destroy().unwrap();
        }
        assert_eq!(names(&self.outside), ["file"], "something was made outside");
        assert_eq!(
            fs::read_to_string(self.outside.join("file")).unwrap(),
            "untouched"
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.outside.to_str().unwrap()));
    }
}

/// CVE-2021-30465, CVE-2024-45310: a mount point below a shared volume becomes a link to the host.
#[test]
fn privileged_exchanged_mount_points_lead_nowhere() {
    let Some(mut attack) = Attack::prepare("race-mounts") else {
        return;
    };
    fs::create_dir(attack.shared.join("below")).unwrap();
    attack.evil("below", &attack.outside);
    attack.begin();
    let (shared, outside) = (attack.shared.clone(), attack.outside.clone());
    // Inside, the same path is the guest's own business.
    let mut spec =
        attack
            .bench
            .spec(&["cat", "/shared/below/deep/er/mark", "/proc/self/mountinfo"]);
    let nested = attack.bench.scratch().join("nested");
    fs::create_dir(&nested).unwrap();
    fs::write(nested.join("mark"), "mounted\n").unwrap();
    support::add_mount(
        &mut spec,
        "/shared",
        "bind",
        shared.to_str().unwrap(),
        &["rbind"],
    );
    support::add_mount(
        &mut spec,
        "/shared/below/deep/er",
        "bind",
        nested.to_str().unwrap(),
        &["rbind"],
    );
    support::add_mount(&mut spec, "/shared/below/tmp", "tmpfs", "tmpfs", &[]);
    support::add_mount(
        &mut spec,
        "/shared/below/name",
        "bind",
        nested.join("mark").to_str().unwrap(),
        &["bind"],
    );
    let ran = attack.victims(&spec, |_| {
        assert_eq!(names(&outside), ["file"]);
    });
    assert!(ran > 5, "only {ran} victims ran");
    attack.end();
}

/// CVE-2025-31133, CVE-2025-52565: what others exchange in a shared /dev neither unmasks nor is written to.
#[test]
fn privileged_an_exchanged_dev_unmasks_nothing() {
    let Some(mut attack) = Attack::prepare("race-dev") else {
        return;
    };
    for name in ["null", "console"] {
        File::create(attack.shared.join(name)).unwrap();
        attack.evil(name, &attack.outside.join("file"));
    }
    fs::create_dir(attack.shared.join("pts")).unwrap();
    attack.evil("pts", &attack.outside);
    attack.begin();
    let script = "for f in /proc/keys /proc/timer_list /proc/interrupts; do [ -e $f ] && stat -c %t:%T $f; done; \
        echo > /dev/console; true";
    let mut spec = attack.bench.spec(&["sh", "-c", script]);
    // The guest's /dev is the shared directory itself.
    let mounts = spec.mounts.as_mut().unwrap();
    let dev = mounts
        .iter_mut()
        .find(|mount| mount.destination == Path::new("/dev"))
        .unwrap();
    dev.kind = Some("bind".into());
    dev.source = Some(attack.shared.clone());
    dev.options = Some(support::args(&["rbind"]));
    let ran = attack.victims(&spec, |outcome| {
        let masked: Vec<&str> = outcome.stdout.lines().collect();
        assert!(
            !masked.is_empty() && masked.iter().all(|kind| *kind == "1:3"),
            "{outcome:?}"
        );
    });
    assert!(ran > 5, "only {ran} victims ran");
    let end = Instant::now() + ATTACK;
    while Instant::now() < end {
        let mut slot = attack.bench.slot().slot;
        slot.stdio = Stdio::Terminal(TerminalSize {
            rows: 3,
            columns: 9,
        });
        let Ok(mut guest) = attack.bench.runtime().create(&spec, slot) else {
            continue;
        };
        if let Ok(Some(master)) = guest.terminal()
            && guest.start().is_ok()
        {
            drop(std::io::copy(&mut File::from(master), &mut std::io::sink()));
        }
        guest.destroy().unwrap();
    }
    attack.end();
}

/// CVE-2016-9962: whoever joins cannot be looked into by those who are inside.
#[test]
fn privileged_nobody_looks_into_a_process_that_joins() {
    let Some(mut attack) = Attack::prepare("race-exec") else {
        return;
    };
    attack.begin();
    let (attacker, _, spec) = attack.attacker.as_mut().unwrap();
    let mut process = support::exec_process(spec, &["/bin/busybox", "true"], "");
    // Otherwise it holds a capability more than the attacker until the end, and the kernel refuses for that.
    process.no_new_privileges = Some(true);
    let end = Instant::now() + ATTACK;
    while Instant::now() < end {
        support::exec(attacker.as_mut(), &process).unwrap();
    }
    assert!(
        attack.shared.join("denied").exists(),
        "it has seen nobody join"
    );
    assert!(!attack.shared.join("seen").exists(), "it has looked in");
    attack.end();
}

/// A guest that may trace looks into every process it can see: none of them has another root than its own.
#[test]
fn privileged_a_process_that_joins_has_the_guests_root() {
    let Some(mut attack) = Attack::prepare("race-root") else {
        return;
    };
    let mut rights = defaults::capabilities();
    rights.insert(Capability::SysPtrace);
    attack.begin_with(rights);
    let (attacker, _, spec) = attack.attacker.as_mut().unwrap();
    let process = support::exec_process(spec, &["/bin/busybox", "true"], "");
    let end = Instant::now() + ATTACK;
    while Instant::now() < end {
        support::exec(attacker.as_mut(), &process).unwrap();
    }
    assert!(attack.shared.join("looked").exists(), "it has seen nobody");
    assert!(
        !attack.shared.join("another-root").exists(),
        "it has seen another root"
    );
    attack.end();
}

/// CVE-2025-52881, CVE-2019-19921: what is written for a process that joins goes to a procfs nobody can cover.
#[test]
fn privileged_a_covered_procfs_catches_no_writes() {
    let Some(bench) = Bench::new("covered-proc") else {
        return;
    };
    let script = "mount -t tmpfs none /proc && mkdir -p /proc/self/attr && \
        echo untouched > /proc/self/oom_score_adj && echo untouched > /proc/self/attr/exec && \
        echo up; cat /proc/self/oom_score_adj > /dev/null; while :; do sleep 1; done";
    let mut spec = bench.spec(&["sh", "-c", script]);
    let mut rights = defaults::capabilities();
    rights.insert(Capability::SysAdmin);
    support::capabilities(&mut spec, rights);
    let (slot, streams) = bench.slot().into_parts();
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    guest.start().unwrap();
    streams.await_line("up");
    let mut process = support::exec_process(
        &spec,
        &["cat", "/proc/self/oom_score_adj", "/proc/self/attr/exec"],
        "",
    );
    process.oom_score_adj = Some(7);
    process.selinux_label = Some("x:y:z".into());
    let outcome = support::exec(guest.as_mut(), &process).unwrap();
    assert_eq!(outcome.stdout, "untouched\nuntouched\n", "{outcome:?}");
    let mut process = support::exec_process(&spec, &["sleep", "100"], "");
    process.oom_score_adj = Some(7);
    let mut second = guest.exec(&process, nothing()).unwrap();
    second.start().unwrap();
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", second.pid())).unwrap();
    assert_eq!(score, "7\n");
    second.destroy().unwrap();
    guest.destroy().unwrap();
}
