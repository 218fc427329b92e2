//! What the options of the log drivers lead to.

use super::*;

fn log(kind: &str, options: &[(&str, &str)]) -> LogConfig {
    let options = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    LogConfig {
        kind: kind.to_owned(),
        config: options.collect(),
    }
}

fn planned(log: &LogConfig) -> Log {
    let id = ContainerId::from_random([7; 32]);
    let config = ContainerConfig {
        image: "busybox:latest".into(),
        env: vec!["A=1".into(), "LC_ALL=C".into()],
        labels: [("l.x".to_owned(), "x".to_owned())].into(),
        ..ContainerConfig::default()
    };
    let subject = Subject {
        id: &id,
        name: "web",
        image_id: "sha256:0123456789",
        config: &config,
    };
    plan(subject, &settle(log).unwrap(), Path::new("/l")).unwrap()
}

#[test]
fn logs_rotate_by_default() {
    let config = settle(&LogConfig::default()).unwrap();
    assert_eq!(
        (config.kind.as_str(), config.config["max-size"].as_str()),
        ("json-file", "10m")
    );
    let file = planned(&config).file.unwrap();
    assert_eq!((file.max_size, file.max_files), (10_000_000, 3));
    assert!(planned(&log("none", &[])).file.is_none());
}

#[test]
fn attributes_and_tags_are_chosen() {
    let log = log(
        "json-file",
        &[
            ("labels", "none"),
            ("labels-regex", "^l\\."),
            ("env", "A,B"),
            ("tag", "{{.ImageName}}/{{.Name}}/{{.ID}}"),
            ("max-size", "1k"),
        ],
    );
    let file = planned(&log).file.unwrap();
    assert_eq!(file.max_size, 1000);
    let attributes: Vec<_> = file
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        attributes,
        ["A=1", "l.x=x", "tag=busybox:latest/web/070707070707"]
    );
}

#[test]
fn the_journal_is_told_who_speaks() {
    let log = log(
        "journald",
        &[("labels-regex", "."), ("cache-max-file", "2")],
    );
    let planned = planned(&log);
    assert_eq!(planned.file.unwrap().max_files, 2);
    let LogFormat::Journal { fields } = planned.receiver.unwrap().format else {
        panic!("not the journal's")
    };
    let fields: Vec<_> = fields
        .iter()
        .filter(|(key, _)| *key != "CONTAINER_ID_FULL")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        fields,
        [
            "CONTAINER_ID=070707070707",
            "CONTAINER_NAME=web",
            "CONTAINER_TAG=070707070707",
            "IMAGE_NAME=busybox:latest",
            "L_X=x",
            "SYSLOG_IDENTIFIER=070707070707",
        ]
    );
}

#[test]
fn a_receiver_may_make_the_guest_wait_or_not() {
    let address = ("syslog-address", "udp://127.0.0.1");
    let buffer = |options: &[(&str, &str)]| {
        let options = [&[address], options].concat();
        planned(&log("syslog", &options)).receiver.unwrap().buffer
    };
    assert_eq!(buffer(&[]), None);
    assert_eq!(buffer(&[("mode", "non-blocking")]), Some(BUFFER));
    assert_eq!(
        buffer(&[("mode", "non-blocking"), ("max-buffer-size", "4k")]),
        Some(4096)
    );
    let none = log("syslog", &[address, ("cache-disabled", "true")]);
    assert!(planned(&none).file.is_none());
}

#[test]
fn what_is_not_there_is_refused() {
    for (kind, key, value) in [
        ("json-file", "max-siz", "1"),
        ("json-file", "mode", "sometimes"),
        ("json-file", "max-buffer-size", "1m"),
        ("json-file", "compress", "true"),
        ("json-file", "syslog-facility", "user"),
        ("syslog", "max-size", "1m"),
        ("syslog", "syslog-tls-ca-cert", "x"),
        ("syslog", "cache-disabled", "perhaps"),
        ("journald", "syslog-address", "udp://h"),
        ("none", "tag", "x"),
        ("gelf", "tag", "x"),
    ] {
        assert!(settle(&log(kind, &[(key, value)])).is_err(), "{kind} {key}");
    }
    assert!(settle(&log("local", &[("compress", "false")])).is_ok());
}
