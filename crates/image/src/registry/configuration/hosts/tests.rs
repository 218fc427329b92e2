//! Tables for the lookup in `hosts.toml`.

use super::*;
use crate::reference::Reference;
use crate::registry::configuration::Registries;

/// `certs.d` with these files, by the directory that each lies in.
fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Registries) {
    let place = tempfile::tempdir().unwrap();
    for (directory, text) in files {
        let directory = place.path().join(directory);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join(FILE), text).unwrap();
    }
    let mut registries = Registries::default();
    registries.add_hosts(place.path().join("not-here"));
    registries.add_hosts(place.path().to_owned());
    (place, registries)
}

/// Where a name leads: the address, then what it is good for.
fn hosts(registries: &Registries, name: &str) -> Vec<String> {
    let endpoints = registries.all_endpoints(&Reference::parse(name).unwrap());
    let endpoints = endpoints.unwrap().into_iter();
    endpoints
        .map(|one| {
            let host = one.host.unwrap_or_default();
            let root = host.root.as_ref().map_or("-", Url::as_str);
            let namespace = host.namespace.as_deref().unwrap_or("-");
            let may = [(one.pulls, 'p'), (one.resolves, 'r'), (one.pushes, 'w')];
            let may: String = may
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, one)| one)
                .collect();
            format!("{root} {} {namespace} {may}", one.registry)
        })
        .collect()
}

fn refusal(text: &str) -> String {
    let (place, registries) = written(&[("r.test", text)]);
    let name = Reference::parse("r.test/app").unwrap();
    let error = registries.endpoints(&name).unwrap_err();
    let report = berth_contract::Report::from(&error);
    let file = place.path().join("r.test").join(FILE);
    assert_eq!(report.message, format!("cannot use {}", file.display()));
    assert_eq!(error.class(), Class::Invalid);
    report.causes.join(": ")
}

#[test]
fn hosts_are_asked_in_their_order_and_the_server_last() {
    let (_place, registries) = written(&[
        (
            "docker.io",
            r#"
            server = "https://registry-1.docker.io"
            [host."https://z-first.test"]
            capabilities = ["pull"]
            [host."http://a-second.test:5000/us"]
            [host."https://odd.test/v2/upstream"]
            capabilities = ["Pull", "resolve", "referrers"]
            override_path = true
            "#,
        ),
        ("r.test_5000_", "server = \"other.test\""),
        ("r.test:5000", "server = \"never.test\""),
        ("plain.test:81", ""),
        ("_default", "[host.\"https://all.test\"]"),
    ]);
    assert_eq!(
        hosts(&registries, "busybox"),
        [
            "https://z-first.test/v2/ z-first.test docker.io p",
            "https://a-second.test:5000/us/v2/ a-second.test:5000 docker.io prw",
            "https://odd.test/v2/upstream/ odd.test docker.io pr",
            "https://registry-1.docker.io/v2/ docker.io - prw",
        ]
    );
    assert_eq!(
        hosts(&registries, "r.test:5000/app"),
        ["https://other.test/v2/ other.test r.test:5000 prw"]
    );
    assert_eq!(
        hosts(&registries, "plain.test:81/app"),
        ["- plain.test:81 - prw"]
    );
    assert_eq!(
        hosts(&registries, "any.test/app"),
        [
            "https://all.test/v2/ all.test any.test prw",
            "- any.test - prw"
        ]
    );
    let own = |name: &str| {
        let name = Reference::parse(name).unwrap();
        registries.own_endpoint(&name).unwrap().configured
    };
    assert!(own("busybox") && own("plain.test:81/app") && !own("any.test/app"));
}

#[test]
fn registries_conf_comes_first() {
    let (place, mut registries) = written(&[("r.test", "server = \"https://never.test\"")]);
    let file = place.path().join("registries.conf");
    let text = "[[registry]]\nprefix = \"r.test/team\"\nlocation = \"mine.test/team\"\n";
    std::fs::write(&file, text).unwrap();
    registries.add_file(&file).unwrap();
    assert_eq!(hosts(&registries, "r.test/team/app"), ["- mine.test - prw"]);
    assert_eq!(
        hosts(&registries, "r.test/app"),
        ["https://never.test/v2/ never.test r.test prw"]
    );
}

#[test]
fn what_is_said_of_a_host_is_told_from_what_is_said_of_the_server() {
    let (place, registries) = written(&[(
        "r.test",
        r#"
        ca = "own.pem"
        dial_timeout = "1m30s"
        [host."https://m.test"]
        ca = ["/a.pem", "b.pem"]
        client = [["c.cert", "c.key"]]
        skip_verify = true
        proxy = "http://proxy.test:3128"
        [host."https://m.test".header]
        x-one = ["a", "b"]
        x-two = "c"
        [host."http://l.test:5000"]
        skip_verify = true
        client = "both.pem"
        [host."http://n.test"]
        skip_verify = true
        "#,
    )]);
    let name = Reference::parse("r.test/app").unwrap();
    let all = registries.endpoints(&name).unwrap().into_iter();
    let all: Vec<Host> = all.map(|one| *one.host.unwrap()).collect();
    let beside = |name: &str| place.path().join("r.test").join(name);
    let [mirror, local, nowhere, own] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(
        mirror.authorities,
        [PathBuf::from("/a.pem"), beside("b.pem")]
    );
    assert_eq!(mirror.identity, Some((beside("c.cert"), beside("c.key"))));
    assert_eq!(mirror.proxy.as_deref(), Some("http://proxy.test:3128"));
    let values: Vec<_> = mirror.headers.get_all("x-one").iter().collect();
    assert_eq!(values, ["a", "b"]);
    assert_eq!(mirror.headers["x-two"], "c");
    assert!(!format!("{mirror:?}").contains("x-two"));
    assert_eq!((mirror.scheme, mirror.unverified), (Scheme::Secure, true));
    assert_eq!(
        local.identity,
        Some((beside("both.pem"), beside("both.pem")))
    );
    assert_eq!(
        (local.scheme, nowhere.scheme),
        (Scheme::Either, Scheme::Plain)
    );
    assert_eq!(own.authorities, [beside("own.pem")]);
    assert_eq!(own.dial_timeout, Some(Duration::from_secs(90)));
    assert!(!own.unverified && own.headers.is_empty());
}

#[test]
fn a_directory_without_a_file_is_one_of_certificates() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("r.test");
    std::fs::create_dir(&directory).unwrap();
    let mut registries = Registries::default();
    registries.add_hosts(place.path().to_owned());
    let name = Reference::parse("r.test/app").unwrap();
    let host = registries.own_endpoint(&name).unwrap().host.unwrap();
    assert_eq!(host.directory, Some(directory));
}

#[test]
fn what_is_not_known_is_refused() {
    for (text, reason) in [
        ("servr = \"https://m.test\"", "unknown field `servr`"),
        (
            "[host.\"https://m.test\"]\nskip-verify = true",
            "https://m.test: unknown field `skip-verify`",
        ),
        (
            "[host.\"https://m.test\"]\n[host.\"https://m.test\".host.x]",
            "unknown field `host`",
        ),
        (
            "capabilities = [\"pull\", \"delete\"]",
            "there is no capability \"delete\"",
        ),
        ("server = 5", "server is no text"),
        ("host = 5", "invalid type"),
        (
            "server = \"ftp://m.test\"",
            "no http:// or https:// address",
        ),
        (
            "server = \"https://me:pw@m.test\"",
            "no http:// or https:// address",
        ),
        (
            "server = \"https://m.test?x=1\"",
            "no http:// or https:// address",
        ),
        ("server = \"http://m.test:443\"", "HTTP where HTTPS"),
        ("override_path = true", "needs a server"),
        ("client = [\"a\", \"b\"]", "several certificates"),
        ("dial_timeout = \"soon\"", "no duration"),
        ("dial_timeout = \"-1s\"", "no duration"),
        ("proxy = \"socks5://p.test\"", "SOCKS"),
        ("proxy = \"p.test:3128\"", "no http:// or https:// address"),
        ("[header]\n\"a b\" = \"c\"", "cannot be sent"),
        ("[header]\na = \"b\\nc\"", "cannot be sent"),
        ("server = ", ""),
    ] {
        let told = refusal(text);
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn a_capability_that_nobody_has_is_told() {
    let (_place, registries) = written(&[("r.test", "capabilities = [\"push\"]")]);
    let name = Reference::parse("r.test/app").unwrap();
    assert_eq!(
        registries.endpoints(&name).unwrap_err().class(),
        Class::Denied
    );
    assert!(registries.push_endpoint(&name).is_ok());
    let (_place, registries) = written(&[("r.test", "capabilities = [\"pull\"]")]);
    assert_eq!(
        registries.push_endpoint(&name).unwrap_err().class(),
        Class::Denied
    );
}
