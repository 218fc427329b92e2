//! Tests of `RUN --mount`: types, defaults and refusals.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn the_five_types_have_their_defaults() {
    let parse = |text| MountKind::parse(text).unwrap();
    let target = |text: &str| text.to_owned();
    assert_eq!(
        parse("target=/a"),
        MountKind::Bind {
            target: target("/a"),
            source: target("/"),
            from: None,
            writable: false
        }
    );
    assert_eq!(
        parse("type=bind,source=x,from=st,dst=/a,rw"),
        MountKind::Bind {
            target: target("/a"),
            source: target("x"),
            from: Some(target("st")),
            writable: true
        }
    );
    assert_eq!(
        parse("type=cache,target=/c,id=i,sharing=locked,mode=0700,uid=1,gid=2,ro"),
        MountKind::Cache {
            target: target("/c"),
            id: Some(target("i")),
            source: target("/"),
            from: None,
            read_only: true,
            sharing: Sharing::Locked,
            mode: 0o700,
            owner: (1, 2)
        }
    );
    assert_eq!(
        parse("type=tmpfs,target=/t,size=1m"),
        MountKind::Tmpfs {
            target: target("/t"),
            size: Some(1 << 20)
        }
    );
    let secret = |id: &str, target: Option<&str>, variable: Option<&str>| MountKind::Secret {
        id: id.to_owned(),
        target: target.map(str::to_owned),
        variable: variable.map(str::to_owned),
        required: false,
        mode: 0o400,
        owner: (0, 0),
    };
    assert_eq!(
        parse("type=secret,id=k"),
        secret("k", Some("/run/secrets/k"), None)
    );
    assert_eq!(
        parse("type=secret,target=/a/k"),
        secret("k", Some("/a/k"), None)
    );
    assert_eq!(
        parse("type=secret,id=k,env=K"),
        secret("k", None, Some("K"))
    );
    assert_eq!(
        parse("type=secret,env=K,target=/k,id=x"),
        secret("x", Some("/k"), Some("K"))
    );
    assert_eq!(
        parse("type=ssh"),
        MountKind::Ssh {
            id: target("default"),
            target: None,
            required: false,
            mode: 0o600,
            owner: (0, 0)
        }
    );
    assert_eq!(
        parse("\"target=/a,b\""),
        MountKind::Bind {
            target: target("/a,b"),
            source: target("/"),
            from: None,
            writable: false
        }
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "",
        "type=bind",
        "type=nope,target=/a",
        "type=cache",
        "type=tmpfs,target=/t,source=/x",
        "type=secret",
        "type=bind,target=/a,sharing=locked",
        "type=cache,target=/c,sharing=some",
        "type=cache,target=/c,mode=9",
        "type=cache,target=/c,uid=-1",
        "type=cache,target=/c,uid=4294967295",
        "type=secret,id=k,gid=4294967295",
        "type=bind,target=/a,required",
        "target",
        "what=1,target=/a",
        "type=bind,target=/a,ro=perhaps",
        "type=tmpfs,target=/t,size=99999999999t",
    ] {
        assert!(MountKind::parse(text).is_err(), "{text}");
    }
}

/// Podman's words for labels that nothing has here change nothing.
#[test]
fn labels_are_taken_and_not_set() {
    let plain = MountKind::parse("source=x,target=/a").unwrap();
    for word in ["z", "Z", "relabel=shared", "relabel=private"] {
        let found = MountKind::parse(&format!("source=x,target=/a,{word}"));
        assert_eq!(found.as_ref(), Ok(&plain), "{word}");
        assert!(MountKind::parse(&format!("type=cache,target=/a,{word}")).is_ok());
        assert!(MountKind::parse(&format!("type=tmpfs,target=/a,{word}")).is_err());
    }
    for word in ["z=1", "relabel", "relabel=x"] {
        let refused = MountKind::parse(&format!("source=x,target=/a,{word}"));
        assert!(refused.is_err(), "{word}");
    }
}
