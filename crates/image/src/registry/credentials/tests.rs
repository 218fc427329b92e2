//! Login files, read and written.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn password(username: &str, password: &str) -> Login {
    Login::Password {
        username: username.into(),
        password: password.into(),
    }
}

fn parsed(text: &str) -> Credentials {
    Credentials {
        files: vec![LoginFile::parse(text.as_bytes()).unwrap()],
        ..Credentials::default()
    }
}

#[test]
fn a_docker_config_reads() {
    let credentials = parsed(
        r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6c2VjOnJldA=="},
            "localhost:5000":{"username":"a","password":"b"},
            "ghcr.io/team":{"identitytoken":"t"},
            "helper.example":{}},"HttpHeaders":{"X-Team":"berth"}}"#,
    );
    let find = |registry: &str, repository: &str| credentials.find(registry, repository).unwrap();
    assert_eq!(
        find("docker.io", "library/x"),
        Some(password("me", "sec:ret"))
    );
    assert_eq!(find("localhost:5000", "x"), Some(password("a", "b")));
    let token = Login::IdentityToken {
        username: String::new(),
        token: "t".into(),
    };
    assert_eq!(find("ghcr.io", "team/app"), Some(token));
    assert_eq!(find("ghcr.io", "other/app"), None);
    assert_eq!(find("helper.example", "x"), None);
    assert_eq!(
        credentials.headers(),
        [("X-Team".to_owned(), "berth".to_owned())]
    );
    assert!(!format!("{credentials:?}").contains("sec:ret"));
    assert!(LoginFile::parse(b"[").is_err());
}

#[test]
fn logins_are_kept_beside_what_is_not_ours() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("deep/config.json");
    let credentials = Credentials::default();
    credentials
        .save(&file, "docker.io", &password("me", "one"))
        .unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        document["auths"]["https://index.docker.io/v1/"]["auth"],
        "bWU6b25l"
    );
    document["detachKeys"] = "ctrl-e".into();
    std::fs::write(&file, document.to_string()).unwrap();
    credentials
        .save(&file, "r.example:5000", &password("you", "two"))
        .unwrap();
    let read = Credentials::read(std::slice::from_ref(&file), Vec::new()).unwrap();
    assert_eq!(
        read.user_of("https://r.example:5000/v2/")
            .unwrap()
            .as_deref(),
        Some("you")
    );
    assert_eq!(
        credentials.remove(&file, "docker.io").unwrap(),
        Removal::Removed
    );
    assert_eq!(
        credentials.remove(&file, "docker.io").unwrap(),
        Removal::Absent
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("ctrl-e") && text.contains("r.example:5000"),
        "{text}"
    );
    // The file and its lock.
    assert_eq!(
        std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
        2
    );
}

#[test]
fn helpers_are_asked_and_told() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("docker-credential-box");
    let script = format!(
        "#!/bin/sh\nread -r line\ncase $1 in\nstore) echo \"$line\" >{0}/kept;;\nerase) rm {0}/kept;;\n\
         get) test -f {0}/kept && cat {0}/kept || {{ echo 'credentials not found in native keychain'; exit 1; }};;\nesac\n",
        place.path().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let file = place.path().join("config.json");
    std::fs::write(&file, r#"{"credHelpers":{"r.example":"box"}}"#).unwrap();
    let read = || {
        let programs = vec![place.path().to_owned()];
        Credentials::read(std::slice::from_ref(&file), programs).unwrap()
    };
    assert_eq!(read().find("r.example", "a").unwrap(), None);
    let saved = read()
        .save(&file, "r.example", &password("me", "kept secret"))
        .unwrap();
    assert_eq!(saved, Saved::WithHelper("box".into()));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("secret"));
    assert_eq!(
        read().find("r.example", "a").unwrap(),
        Some(password("me", "kept secret"))
    );
    assert_eq!(read().find("other.example", "a").unwrap(), None);
    assert_eq!(read().remove(&file, "r.example").unwrap(), Removal::Removed);
    assert_eq!(read().find("r.example", "a").unwrap(), None);
    std::fs::write(&file, r#"{"credsStore":"gone"}"#).unwrap();
    let error = read().find("r.example", "a").unwrap_err();
    assert!(
        error.to_string().contains("docker-credential-gone"),
        "{error}"
    );
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("config.json");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for again in 0..4 {
                    let registry = format!("r{number}-{again}.example");
                    let login = password("me", "one");
                    Credentials::default()
                        .save(file, &registry, &login)
                        .unwrap();
                }
            });
        }
    });
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["auths"].as_object().unwrap().len(), 32);
}
