//! Devices by name, as the host's CDI files describe them.

use std::fs;

use berth_testkit::{Sandbox, Screen};

/// A CDI file that goes with the test.
struct Description(std::path::PathBuf);

impl Description {
    /// As programs write it that are not asked for JSON.
    fn write_yaml(kind: &str) -> Self {
        let directory = std::path::Path::new("/var/run/cdi");
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(format!("berth-test-{}.yaml", std::process::id()));
        let text = format!(
            "---\ncdiVersion: 0.6.0\nkind: {kind}\ndevices:\n- name: \"0\"\n  containerEdits:\n    \
             deviceNodes:\n    - path: /dev/given\n      hostPath: /dev/full\n    env:\n    - GIVEN=zero\n"
        );
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn write(kind: &str) -> Self {
        let directory = std::path::Path::new("/var/run/cdi");
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(format!("berth-test-{}.json", std::process::id()));
        let text = serde_json::json!({
            "cdiVersion": "0.6.0",
            "kind": kind,
            "devices": [{"name": "one", "containerEdits": {
                "deviceNodes": [{"path": "/dev/given", "hostPath": "/dev/full", "permissions": "rw"}],
                "env": ["GIVEN=one"],
            }}],
            "containerEdits": {"mounts": [{
                "hostPath": "/usr/share", "containerPath": "/opt/share", "options": ["ro", "nosuid"],
            }]},
        });
        fs::write(&path, text.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn a_device_of_a_yaml_file_is_given_by_name() {
    let sandbox = Sandbox::with_busybox();
    let kind = format!("berth{}.yaml/disk", std::process::id());
    let described = Description::write_yaml(&kind);
    let device = format!("{kind}=0");
    let flags = ["run", "--rm", "--network", "none", "--device", &device];
    let script = ["busybox", "sh", "-c", "echo $GIVEN; echo x > /dev/given"];
    let screen = sandbox.berth(&[&flags[..], &script].concat());
    drop(described);
    assert_eq!(screen.stdout, "zero\n", "{screen}");
    assert!(
        screen.stderr.contains("No space left on device"),
        "{screen}"
    );
}

#[test]
fn a_device_is_given_by_name() {
    let sandbox = Sandbox::with_busybox();
    let kind = format!("berth{}.test/disk", std::process::id());
    let described = Description::write(&kind);
    let run = |flag: &str, value: &str| -> Screen {
        let script = "echo $GIVEN; ls -d /opt/share; echo x > /dev/given";
        let flags = ["run", "--rm", "--network", "none", flag, value];
        sandbox.berth(&[&flags[..], &["busybox", "sh", "-c", script]].concat())
    };
    let screen = run("--device", &format!("{kind}=one"));
    assert_eq!(screen.stdout, "one\n/opt/share\n", "{screen}");
    assert!(
        screen.stderr.contains("No space left on device"),
        "it is /dev/full: {screen}"
    );
    insta::assert_snapshot!(run("--device", "no.test/disk=two"), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot give the device no.test/disk=two
    caused by: no file in /etc/cdi or /var/run/cdi describes it

    hint: pass the device itself: --device /dev/NAME
    ");
    insta::assert_snapshot!(run("--gpus", "all"), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot give the device nvidia.com/gpu=all
    caused by: no file in /etc/cdi or /var/run/cdi describes it

    hint: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml
    ");
    drop(described);
    sandbox.assert_nothing_left();
}
