//! Tables for the lookup in `registries.conf`.

use super::*;

fn configured(text: &str) -> Registries {
    let mut registries = Registries::default();
    registries.add(File::parse(text).unwrap());
    registries
}

fn hosts(registries: &Registries, name: &str) -> Vec<String> {
    let endpoints = registries.endpoints(&Reference::parse(name).unwrap());
    let endpoints = endpoints.unwrap().into_iter();
    endpoints
        .map(|endpoint| {
            let mark = match (endpoint.insecure, endpoint.mirror) {
                (true, _) => "!",
                (_, true) => "~",
                _ => "",
            };
            format!("{mark}{}/{}", endpoint.registry, endpoint.repository)
        })
        .collect()
}

#[test]
fn the_longest_prefix_decides_and_mirrors_come_first() {
    let registries = configured(
        r#"
        [[registry]]
        prefix = "docker.io"
        location = "hub.example"
        [[registry.mirror]]
        location = "mirror.example:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "pinned.example"
        pull-from-mirror = "digest-only"

        [[registry]]
        prefix = "docker.io/library"
        location = "internal.example/official/"

        [[registry]]
        prefix = "*.corp.example"
        location = "proxy.example"
        [[registry]]
        location = "plain.example:81"
        insecure = true
        "#,
    );
    let pinned = format!("me/app@sha256:{}", "a".repeat(64));
    for (name, expected) in [
        ("busybox", &["internal.example/official/busybox"][..]),
        (
            "me/app",
            &["!mirror.example:5000/hub/me/app", "hub.example/me/app"],
        ),
        (
            &pinned,
            &[
                "!mirror.example:5000/hub/me/app",
                "~pinned.example/me/app",
                "hub.example/me/app",
            ],
        ),
        ("a.corp.example/x", &["proxy.example/x"]),
        ("corp.example/x", &["corp.example/x"]),
        ("plain.example:81/x", &["!plain.example:81/x"]),
        ("plain.example/x", &["plain.example/x"]),
        (
            "libraryx/a",
            &[
                "!mirror.example:5000/hub/libraryx/a",
                "hub.example/libraryx/a",
            ],
        ),
    ] {
        assert_eq!(hosts(&registries, name), expected, "{name}");
    }
}

#[test]
fn later_files_override_and_blocked_is_blocked() {
    let mut registries = configured(
        "unqualified-search-registries = [\"a.example\"]\n[[registry]]\nlocation = \"x.example\"\n",
    );
    registries.add(
        File::parse("[[registry]]\nprefix = \"x.example\"\nblocked = true\n[aliases]\nbox = \"quay.io/b/box\"\n")
            .unwrap(),
    );
    let blocked = registries.endpoints(&Reference::parse("x.example/y").unwrap());
    assert_eq!(blocked.unwrap_err().class(), Class::Denied);
    let names = |text: &str| {
        let candidates = registries.candidates(text).unwrap();
        candidates
            .iter()
            .map(Reference::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("busybox:1"), ["a.example/busybox:1"]);
    assert_eq!(names("box:2"), ["quay.io/b/box:2"]);
    assert_eq!(names("box"), ["quay.io/b/box:latest"]);
    assert_eq!(names("docker.io/box"), ["docker.io/library/box:latest"]);
    assert_eq!(
        Registries::default().candidates("busybox").unwrap()[0].to_string(),
        "docker.io/library/busybox:latest"
    );
}

#[test]
fn what_has_no_meaning_is_refused() {
    for text in [
        "[registries.search]\nregistries = []\n",
        "[[registry]]\ninsecure = true\n",
        "[[registry]]\nprefix = \"a.*.example\"\n",
        "[[registry]]\nprefix = \"*.example/x\"\n",
        "[[registry]]\nlocation = \"https://a.example\"\n",
        "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\n",
        "[[registry]]\nlocation = 7\n",
        "not toml",
    ] {
        assert!(File::parse(text).is_err(), "{text}");
    }
}
