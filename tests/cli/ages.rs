//! What listings and histories tell of images made one right after the other.

use berth_testkit::Sandbox;

/// Three images within far less than a second, each on the one before.
fn built(sandbox: &Sandbox) {
    let mut base = "scratch".to_owned();
    for (name, length) in [("one", 3), ("two", 5), ("three", 70_000)] {
        let context = sandbox.path().join(name);
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("file"), vec![b'x'; length]).unwrap();
        let text = format!("FROM {base}\nCOPY file /{name}\n");
        std::fs::write(context.join("Dockerfile"), text).unwrap();
        let context = context.display().to_string();
        sandbox
            .berth(&["build", "-q", "-t", name, &context])
            .success();
        base = name.to_owned();
    }
}

#[test]
fn images_of_the_same_second_have_an_order() {
    let sandbox = Sandbox::new();
    built(&sandbox);
    let chosen = |filter: &str| {
        let format = ["images", "--format", "{{.Repository}}", "--filter", filter];
        sandbox.berth(&format).success()
    };
    assert_eq!(chosen("before=two"), "one");
    assert_eq!(chosen("since=two"), "three");
    assert_eq!(chosen("since=three"), "");
}

#[test]
fn a_history_tells_the_bytes_of_the_files() {
    let sandbox = Sandbox::new();
    built(&sandbox);
    // Docker's: what a layer holds, not what its archive takes.
    let sizes = ["history", "--human=false", "--format", "{{.Size}}", "three"];
    assert_eq!(sandbox.berth(&sizes).success(), "70000\n5\n3");
}
