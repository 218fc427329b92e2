//! `kill -9` of the command line at every step of making, starting, stopping, renaming and removing a
//! container: what is left is shown and told truly, and `rm -f` clears it.
//!
//! The programs are those of this build, which have the fault points; only what executes and compiles
//! wasm is the shipped one.

#![expect(clippy::unwrap_used, reason = "what a test needs in order to begin")]
#![expect(clippy::panic, reason = "a test panics to fail")]

mod leftover;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use berth_testkit::{ImageArchive, Kind, Sandbox, Screen, Twin, programs, skip};

use leftover::assert_nothing_of;

/// A verb that is killed, and what stands before it.
struct Scenario {
    /// What is done first, with nobody killed.
    before: &'static [Step],
    /// The command that dies.
    dies: Step,
    points: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Step {
    /// The image is run in the background as `victim`, with volumes of every kind and a published port.
    Run,
    Berth(&'static [&'static str]),
    /// The monitor is killed, and its guest with it.
    LoseMonitor,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        before: &[],
        dies: Step::Run,
        points: &[
            "host-create-begun",
            "host-create-locked",
            "host-volume-begun",
            "host-volume-filled",
            "host-volume-visible",
            "host-volume-joined",
            "host-volume-copied",
            "host-create-planned",
            "host-create-filled",
            "host-create-compiled",
            "host-name-reserved",
            "host-record-written",
            "host-create-recorded",
            "host-create-visible",
            "host-create-told",
            "host-start-locked",
            "host-start-refreshed",
            "host-start-unmounted",
            "host-start-mounted",
            "host-start-spawned",
            "host-start-told",
            "host-start-released",
        ],
    },
    Scenario {
        before: &[Step::Run, Step::LoseMonitor],
        dies: Step::Berth(&["start", "victim"]),
        points: &[
            "host-collect-cgroup",
            "host-collect-released",
            "host-collect-done",
        ],
    },
    Scenario {
        before: &[
            Step::Run,
            Step::Berth(&["stop", "-t", "0", "victim"]),
            Step::Berth(&["container", "mount", "victim"]),
        ],
        dies: Step::Berth(&["start", "victim"]),
        points: &["host-unmount-half", "host-mount-begun", "host-start-shown"],
    },
    Scenario {
        before: &[Step::Run],
        dies: Step::Berth(&["stop", "-t", "0", "victim"]),
        points: &["host-stop-connected", "host-stop-asked", "host-stop-told"],
    },
    Scenario {
        before: &[Step::Run],
        dies: Step::Berth(&["restart", "-t", "0", "victim"]),
        points: &["host-restart-stopped"],
    },
    Scenario {
        before: &[Step::Run],
        dies: Step::Berth(&["rename", "victim", "other"]),
        points: &[
            "host-name-reserved",
            "host-record-written",
            "host-rename-recorded",
            "host-rename-freed",
        ],
    },
    Scenario {
        before: &[Step::Run],
        dies: Step::Berth(&["rm", "-f", "-v", "victim"]),
        points: &[
            "host-remove-killed",
            "host-remove-collected",
            "host-remove-unmounted",
            "host-remove-hidden",
            "host-remove-freed",
            "host-remove-left",
        ],
    },
];

/// What strikes only where a module has to be compiled.
const EXEC: Scenario = Scenario {
    before: &[Step::Run],
    dies: Step::Berth(&["exec", "victim", "/exit-3"]),
    points: &["host-exec-compiled"],
};

/// One twin in one sandbox.
struct Place {
    sandbox: Sandbox,
    image: String,
}

impl Place {
    fn new(kind: Kind, programs: &Path) -> Self {
        let twin = Twin::new(kind, "sleeps-and-ignores-term");
        let sandbox = Sandbox::with_programs(programs.to_owned());
        let others = [twin, Twin::new(kind, "exit-3")];
        sandbox.load(&ImageArchive::twins(&twin.image(), &others));
        std::fs::create_dir_all(sandbox.run_directory()).unwrap();
        let own = "volume create -o type=tmpfs -o device=tmpfs memory";
        let own: Vec<&str> = own.split(' ').collect();
        sandbox.berth(&own).success();
        Self {
            sandbox,
            image: twin.image(),
        }
    }

    fn carry_out(&self, step: Step) -> Screen {
        match step {
            Step::Run => {
                let flags = "run -d --name victim -p 127.0.0.1::7777 -v /anonymous -v kept:/data \
                    -v memory:/memory";
                let mut words: Vec<&str> = flags.split_whitespace().collect();
                words.push(&self.image);
                self.sandbox.berth(&words)
            }
            Step::Berth(words) => self.sandbox.berth(words),
            Step::LoseMonitor => {
                let guest = self.sandbox.inspect("victim", "{{.State.Pid}}");
                leftover::kill_monitor_of(&guest);
                // Not one that looks at containers: it would clear up.
                self.sandbox.berth(&["version"])
            }
        }
    }

    fn strike(&self, scenario: &Scenario, point: &str) {
        for step in scenario.before {
            self.carry_out(*step).success();
        }
        let mut ids = self.ids();
        let armed = self.sandbox.run_directory().join("fault-point");
        std::fs::write(&armed, point).unwrap();
        let died = self.carry_out(scenario.dies);
        std::fs::remove_file(armed).unwrap();
        assert_eq!(died.status, 137, "{point} was not reached: {died}");
        ids.extend(self.ids());

        self.assert_no_lie(point);
        for name in ["victim", "other"] {
            let removed = self.sandbox.berth(&["rm", "-f", "-v", name]);
            assert_eq!(
                (removed.status, &*removed.stderr),
                (0, ""),
                "{point}: {removed}"
            );
        }
        assert_eq!(self.ids(), [""; 0], "{point}");
        self.assert_data_clean(point);

        // The name, the volumes and the port are free for the next one.
        self.carry_out(Step::Run).success();
        ids.extend(self.ids());
        self.sandbox.berth(&["rm", "-f", "-v", "victim"]).success();
        self.sandbox.berth(&["volume", "prune", "-f"]).success();
        self.sandbox.berth(&["volume", "rm", "kept"]).success();
        self.assert_data_clean(point);
        self.sandbox.assert_nothing_left();
        for id in ids {
            assert_nothing_of(&self.sandbox, &id, point);
        }
    }

    /// By the directories: asking berth would clear up what a lost monitor left.
    fn ids(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.sandbox.data().join("containers"));
        let names = entries.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.len() == 64)
            .collect()
    }

    /// Whatever is shown is one container with one of its names, and none that claims success.
    fn assert_no_lie(&self, point: &str) {
        let shown = self
            .sandbox
            .berth(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
        assert_eq!((shown.status, &*shown.stderr), (0, ""), "{point}: {shown}");
        let lines: Vec<&str> = shown.stdout.lines().collect();
        assert!(lines.len() <= 1, "{point}: {shown}");
        for line in lines {
            let (name, state) = line.split_once(' ').unwrap();
            let template = "{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}";
            let told = self.sandbox.inspect(name, template);
            let words: Vec<&str> = told.split(' ').collect();
            if words[1] != state {
                // What the command began goes on without it: it is looked at again.
                return self.assert_no_lie(point);
            }
            assert_eq!(words[0], format!("/{name}"), "{point}");
            match state {
                "created" => assert_eq!(words[2..], ["0", "0"], "{point}"),
                "running" => assert!(words[3] != "0", "{point}: {told}"),
                // Without a grace time the kill may still come after the guest's own end.
                "exited" => assert!(
                    ["137", "143"].contains(&words[2]) && words[3] == "0",
                    "{point}: {told}"
                ),
                _ => panic!("{point}: {told}"),
            }
        }
    }

    /// No container, no name, no rubbish, and no volumes but those that were named.
    fn assert_data_clean(&self, point: &str) {
        // Nobody knows whether a removal that was killed was to take the anonymous ones along.
        if point.starts_with("host-remove") {
            self.sandbox.berth(&["volume", "prune", "-f"]).success();
        }
        for folder in ["containers", "names", "trash"] {
            let left: Vec<String> = leftover::names(&self.sandbox.data().join(folder));
            let left: Vec<&String> = left.iter().filter(|name| *name != ".lock").collect();
            assert!(left.is_empty(), "{point}: {folder} holds {left:?}");
        }
        for volume in leftover::names(&self.sandbox.data().join("volumes")) {
            let named = ["kept", "memory"].contains(&&*volume);
            assert!(named, "{point}: the volume {volume} is left");
        }
        let mounts = leftover::names(&self.sandbox.run_directory().join("mounts"));
        assert!(mounts.is_empty(), "{point}: {mounts:?}");
    }
}

/// This build's `berth` and monitor beside the shipped executor and compiler of wasm; `None`, loudly,
/// where that cannot be tested.
fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let berth = Path::new(env!("CARGO_BIN_EXE_berth"));
    let monitor = berth.with_file_name("berth-monitor");
    if !berth_sys::user::is_root() || !monitor.exists() {
        skip(
            "killed",
            "needs root, and berth-monitor with its fault points beside berth",
        );
        return None;
    }
    Some(FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("killed");
        std::fs::create_dir_all(&folder).unwrap();
        let shipped = programs();
        let parts = [
            berth.to_owned(),
            monitor,
            shipped.join("berth-wasm"),
            shipped.join("berth-wasmc"),
        ];
        for part in parts {
            let place = folder.join(part.file_name().unwrap());
            std::fs::remove_file(&place).ok();
            std::fs::hard_link(&part, &place)
                .or_else(|_| std::fs::copy(&part, &place).map(drop))
                .unwrap();
        }
        folder
    }))
}

fn strike_everywhere(kind: Kind) {
    let Some(folder) = folder() else { return };
    let place = Place::new(kind, folder);
    for scenario in &SCENARIOS {
        for point in scenario.points {
            place.strike(scenario, point);
        }
    }
}

#[test]
fn privileged_a_killed_command_leaves_no_lie_and_nothing_of_a_native_container() {
    strike_everywhere(Kind::Native);
}

#[test]
fn privileged_a_killed_command_leaves_no_lie_and_nothing_of_a_wasm_container() {
    strike_everywhere(Kind::Wasm);
}

/// The module that `exec` runs is compiled before the monitor hears of it, which serves everybody.
#[test]
fn privileged_a_module_is_compiled_before_the_monitor_is_asked() {
    let Some(folder) = folder() else { return };
    let place = Place::new(Kind::Wasm, folder);
    let compiled = || leftover::names(&place.sandbox.data().join("wasm")).len();
    place.carry_out(Step::Run).success();
    let before = compiled();
    place.sandbox.berth(&["rm", "-f", "-v", "victim"]).success();
    for point in EXEC.points {
        place.strike(&EXEC, point);
    }
    assert!(compiled() > before, "nothing was compiled");
}

/// A restart takes back that the container goes with its end, until it is started.
#[test]
fn privileged_a_restart_that_is_killed_leaves_nothing_of_what_goes_with_its_end() {
    let Some(folder) = folder() else { return };
    let place = Place::new(Kind::Native, folder);
    let run = "run -d --rm --name victim -v /anonymous";
    let mut run: Vec<&str> = run.split(' ').collect();
    run.push(&place.image);
    for next in [&["ps", "-aq"][..], &["start", "victim"]] {
        place.sandbox.berth(&run).success();
        let armed = place.sandbox.run_directory().join("fault-point");
        std::fs::write(&armed, "host-restart-stopped").unwrap();
        let died = place.sandbox.berth(&["restart", "-t", "0", "victim"]);
        std::fs::remove_file(armed).unwrap();
        assert_eq!((died.status, place.ids().len()), (137, 1), "{died}");
        assert_eq!(place.sandbox.berth(next).stdout, "", "{next:?}");
        assert_eq!(place.ids(), [""; 0], "{next:?}");
        place.assert_data_clean("host-restart-stopped");
    }
}

/// A point that is in the sources and in no scenario would never be struck at.
#[test]
fn every_point_of_the_crate_is_struck_at() {
    let mut written = leftover::points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let scenarios = SCENARIOS.iter().chain([&EXEC]);
    let struck = scenarios.flat_map(|scenario| scenario.points);
    let mut struck: Vec<String> = struck.map(|point| (*point).to_owned()).collect();
    for list in [&mut written, &mut struck] {
        list.sort();
        list.dedup();
    }
    assert_eq!(written, struck);
}
