//! Volumes, binds, tmpfs and what is read-only.

use super::sandbox;
use crate::Kind;

/// What a guest writes into a bind or a volume is there afterwards, and the next guest sees it.
pub fn binds_and_volumes_are_the_same_tree(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "writes-file");
    let image = twin.image();
    let bind = sandbox.path().join("bind");
    std::fs::create_dir(&bind).expect("a directory can be made");
    let volume = format!("{}:/data", bind.display());
    assert_eq!(
        sandbox
            .berth(&["run", "--rm", "-v", &volume, &image])
            .success(),
        "written"
    );
    let written = std::fs::read_to_string(bind.join("out")).expect("the guest's file is here");
    assert_eq!(written, "written by the guest\n");

    assert_eq!(
        sandbox
            .berth(&["run", "--rm", "-v", "kept:/data", &image])
            .success(),
        "written"
    );
    let listed = sandbox.berth(&["volume", "ls", "-q"]).success();
    assert_eq!(listed, "kept");
    let kept = sandbox.data().join("volumes/kept/_data/out");
    assert!(kept.exists(), "the volume outlives its container");
    let mount = ["--mount", "type=volume,source=kept,target=/data,readonly"];
    let refused = sandbox.berth(&[&["run", "--rm"][..], &mount[..], &[image.as_str()]].concat());
    assert_eq!(
        (refused.status, refused.stdout.as_str()),
        (1, "refused: read-only\n"),
        "{refused}"
    );
}

/// An absolute path begins at the root, whatever lies below the working directory; any other begins there.
pub fn absolute_paths_are_absolute(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "writes-file");
    let image = twin.image();
    let bind = |name: &str, inner: &str| {
        let directory = sandbox.path().join(name);
        std::fs::create_dir_all(directory.join(inner)).expect("a directory can be made");
        directory
    };
    let (data, work) = (bind("data", "."), bind("work", "data"));
    let volumes = [&data, &work].map(|path| {
        let name = path.file_name().expect("it has a name").to_string_lossy();
        format!("{}:/{name}", path.display())
    });
    let write = |path: &str| {
        let run = [
            "run",
            "--rm",
            "-w",
            "/work",
            "-v",
            &volumes[0],
            "-v",
            &volumes[1],
            &image,
            path,
        ];
        assert_eq!(sandbox.berth(&run).success(), "written");
    };
    write("/data/absolute");
    write("data/relative");
    assert!(data.join("absolute").exists() && !work.join("data/absolute").exists());
    assert!(work.join("data/relative").exists() && !data.join("relative").exists());
}

/// `:ro` and `--read-only` are the kernel's, not the engine's promise.
pub fn read_only_is_enforced_by_the_kernel(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "writes-file");
    let image = twin.image();
    let refused = "refused: read-only\n";
    let bind = format!("{}:/data:ro", sandbox.path().display());
    let run = sandbox.berth(&["run", "--rm", "-v", &bind, &image]);
    assert_eq!((run.status, run.stdout.as_str()), (1, refused), "{run}");
    let run = sandbox.berth(&["run", "--rm", "--read-only", &image]);
    assert_eq!((run.status, run.stdout.as_str()), (1, refused), "{run}");
    let run = sandbox.berth(&["run", "--rm", "--read-only", "--tmpfs", "/data", &image]);
    assert_eq!(
        run.success(),
        "written",
        "a tmpfs stays writable on a read-only root"
    );
}

/// A tmpfs is empty at every start and leaves nothing in the writable layer.
pub fn tmpfs_is_fresh_each_time(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "writes-file");
    let run = [
        "run",
        "--name",
        "fresh",
        "--tmpfs",
        "/data:size=1m,mode=1777",
        &twin.image(),
    ];
    assert_eq!(sandbox.berth(&run).success(), "written");
    let id = sandbox.inspect("fresh", "{{.Id}}");
    let upper = sandbox
        .data()
        .join("containers")
        .join(id)
        .join("upper/data/out");
    assert!(!upper.exists(), "the file went to the writable layer");
}
