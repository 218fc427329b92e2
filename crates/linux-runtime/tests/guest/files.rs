//! What a guest sees of file systems.

use crate::support::{self, Bench};
use berth_contract::{Class, oci};

#[test]
fn privileged_kernel_files_are_hidden_or_read_only() {
    let Some(bench) = Bench::new("masks") else {
        return;
    };
    let script = "wc -c </proc/timer_list; wc -c </proc/interrupts; ls /proc/acpi /sys/firmware | wc -w; \
        echo x >/proc/sys/kernel/hostname; mkdir /sys/x; chmod 666 /proc/timer_list; chown 0:0 /proc/keys; \
        echo x >/proc/keys; \
        touch /sys/fs/cgroup/x; ls -l /dev/null /dev/fd; ls /dev/pts /dev/mqueue; echo x >/dev/null; \
        ls /proc | grep -c '^[0-9]'; cat /proc/self/cgroup | sort -u -t: -k3,3";
    let outcome = bench.shell(script);
    assert!(outcome.stdout.starts_with("0\n0\n"), "{}", outcome.stdout);
    assert_eq!(
        outcome.stderr.matches("Read-only file system").count(),
        5,
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.contains("crw-rw-rw-"), "{}", outcome.stdout);
    assert!(
        outcome.stdout.trim_end().ends_with(":/"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn privileged_a_read_only_root_is_read_only() {
    let Some(bench) = Bench::new("readonly") else {
        return;
    };
    let mut spec = bench.spec(&["sh", "-c", "touch /x; touch /tmp/y && echo ok"]);
    support::read_only_root(&mut spec);
    support::add_mount(&mut spec, "/tmp", "tmpfs", "tmpfs", &["nosuid", "size=1m"]);
    let outcome = bench.run_spec(spec);
    assert!(
        outcome.stderr.contains("Read-only file system"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stdout, "ok\n");
}

#[test]
fn privileged_binds_and_tmpfs_do_what_their_options_say() {
    let Some(bench) = Bench::new("binds") else {
        return;
    };
    let source = bench.scratch().join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    let source = source.to_str().unwrap().to_owned();
    let mut spec = bench.spec(&["sh", "-c",
        "cat /a/b/file; touch /a/b/new && echo made; touch /ro/new; cat /etc/one; ls /etc/conf; mount | grep -c /ro"]);
    support::add_mount(&mut spec, "/a/b", "bind", &source, &["rbind", "rprivate"]);
    support::add_mount(&mut spec, "/ro", "bind", &source, &["rbind", "ro"]);
    support::add_mount(
        &mut spec,
        "/etc/one",
        "bind",
        &format!("{source}/file"),
        &["bind", "rro"],
    );
    support::add_mount(&mut spec, "/etc/conf", "tmpfs", "tmpfs", &["tmpcopyup"]);
    std::fs::create_dir_all(bench.layer().join("etc/conf")).unwrap();
    std::fs::write(bench.layer().join("etc/conf/hidden"), "x").unwrap();
    let outcome = bench.run_spec(spec);
    assert_eq!(
        outcome.stdout, "contentmade\ncontenthidden\n1\n",
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("/ro/new: Read-only"), "{outcome:?}");
}

#[test]
fn privileged_images_cannot_make_us_write_outside() {
    for name in ["dev", "proc", "sys"] {
        let Some(bench) = Bench::new(&format!("link-{name}")) else {
            return;
        };
        let outside = bench.scratch().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::remove_dir(bench.layer().join(name)).unwrap();
        std::os::unix::fs::symlink(&outside, bench.layer().join(name)).unwrap();
        let error = bench.fails(bench.spec(&["true"]));
        assert!(
            std::fs::read_dir(&outside).unwrap().next().is_none(),
            "{name}: {error:?}"
        );
        let line = error.line();
        assert!(
            line.contains(&format!(
                "cannot mount /{name}: the image has a symbolic link"
            )),
            "{line}"
        );
        std::fs::remove_file(bench.layer().join(name)).unwrap();
    }
    let Some(bench) = Bench::new("link-etc") else {
        return;
    };
    let outside = bench.scratch().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(bench.scratch().join("hosts"), "hosts").unwrap();
    std::os::unix::fs::symlink(&outside, bench.layer().join("link")).unwrap();
    std::os::unix::fs::symlink("/run/resolv.conf", bench.layer().join("etc/resolv.conf")).unwrap();
    let mut spec = bench.spec(&["sh", "-c", "cat /etc/resolv.conf"]);
    let hosts = bench.scratch().join("hosts");
    support::add_mount(
        &mut spec,
        "/etc/resolv.conf",
        "bind",
        hosts.to_str().unwrap(),
        &["bind"],
    );
    assert_eq!(bench.run_spec(spec).stdout, "hosts");
    let mut spec = bench.spec(&["true"]);
    support::add_mount(&mut spec, "/link/deep/er", "tmpfs", "tmpfs", &[]);
    drop(bench.try_run(spec));
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn privileged_a_device_that_was_asked_for_is_the_one_there_is() {
    let Some(bench) = Bench::new("devices") else {
        return;
    };
    let device = |path: &str, minor| oci::LinuxDevice {
        path: path.into(),
        kind: oci::LinuxDeviceType::Character,
        major: 1,
        minor,
        file_mode: Some(0o666),
        uid: None,
        gid: None,
    };
    let with = |devices: &[oci::LinuxDevice]| {
        let mut spec = bench.spec(&[
            "stat",
            "-c",
            "%n %t:%T",
            "/dev/null",
            "/dev/zero",
            "/dev/stdin",
        ]);
        spec.linux.as_mut().unwrap().devices = Some(devices.to_vec());
        spec
    };
    let outcome = bench.run_spec(with(&[
        device("/dev/null", 5),
        device("/dev/null", 5),
        device("/dev/stdin", 7),
    ]));
    assert_eq!(
        outcome.stdout,
        "/dev/null 1:5\n/dev/zero 1:5\n/dev/stdin 1:7\n"
    );
    let twice = bench.fails(with(&[device("/dev/one", 5), device("/dev/one", 3)]));
    let line = "cannot make the device /dev/one: something else is there already";
    assert_eq!(twice.line(), line);
}

#[test]
fn privileged_sysctls_are_set_inside() {
    let Some(bench) = Bench::new("sysctl") else {
        return;
    };
    let mut spec = bench.spec(&[
        "cat",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/kernel/msgmax",
    ]);
    support::sysctl(
        &mut spec,
        &[
            ("net.ipv4.ip_unprivileged_port_start", "77"),
            ("kernel.msgmax", "4242"),
        ],
    );
    assert_eq!(bench.run_spec(spec).stdout, "77\n4242\n");
    let mut spec = bench.spec(&["true"]);
    support::sysctl(&mut spec, &[("kernel.core_pattern", "|/x")]);
    assert_eq!(bench.fails(spec).class, Class::Invalid);
}

#[test]
fn privileged_a_layer_on_a_layer_shows_the_top_one() {
    let Some(bench) = Bench::new("layers") else {
        return;
    };
    let top = bench.add_layer("top");
    std::fs::create_dir_all(top.join("etc")).unwrap();
    std::fs::write(top.join("etc/hostname"), "top").unwrap();
    std::fs::write(bench.layer().join("etc/hostname"), "bottom").unwrap();
    assert_eq!(bench.run(&["cat", "/etc/hostname"]).stdout, "top");
}
