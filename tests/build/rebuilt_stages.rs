//! A stage of which caches know only what it came to, and whose files are needed after all: it is built again, and all that
//! comes of it is made of the same execution.

use berth_testkit::Sandbox;

use crate::project::{Project, cached};

/// Builds `before` behind a stage that no cache has but by name, and elsewhere `after`, which needs a file of it that was
/// never exported: both files are of one execution then. The other place, and where the cache of what it made lies.
fn of_one_execution(place: &Sandbox, before: &str, after: &str) -> (Project, String) {
    let at = place.path().join("cache").display().to_string();
    let (to, from) = (
        format!("type=local,dest={at}"),
        format!("type=local,src={at}"),
    );
    let first = behind_a_stage(before);
    first.build(&["--cache-to", &to]).success();
    let made = first.run("cat /a");
    let other = behind_a_stage(after);
    let built = other.build(&["--cache-from", &from, "--cache-to", &to]);
    built.success();
    let both = other.run("cat /a /b");
    assert_eq!(both.lines().next(), both.lines().nth(1), "{built}");
    assert_ne!(both.lines().next(), Some(made.as_str()), "{built}");
    // Once for what was needed, and never again.
    assert_eq!(built.stderr.matches(" is made\n").count(), 1, "{built}");
    (other, from)
}

fn behind_a_stage(rest: &str) -> Project {
    Project::of(&format!(
        "FROM busybox AS made\nRUN echo made $(cat /proc/sys/kernel/random/uuid) > /a; cp /a /b; printf 'is %s\\n' made\n{rest}"
    ))
}

/// The same, and the next one takes all steps over.
fn converges(before: &str, after: &str, steps: usize) {
    let place = Sandbox::new();
    let (other, from) = of_one_execution(&place, before, after);
    let again = other.build(&[]);
    again.success();
    assert_eq!(cached(&again), steps, "{again}");
    let third = behind_a_stage(after);
    let built = third.build(&["--cache-from", &from]);
    built.success();
    assert_eq!(cached(&built), steps, "{built}");
    assert_eq!(third.run("cat /a /b"), other.run("cat /a /b"));
    third.sandbox.assert_nothing_left();
}

#[test]
fn copies_out_of_one_stage_are_of_one_execution() {
    let before = "FROM busybox\nCOPY --from=made /a /a\n";
    converges(before, &format!("{before}COPY --from=made /b /b\n"), 3);
    // What was taken over by name is no more where only other files are copied.
    converges(before, "FROM busybox\nCOPY --from=made /b /a /\n", 2);
    // What is linked goes upon any other: its name is known whatever is below.
    let linked = "FROM busybox\nCOPY --link --from=made /a /a\n";
    converges(
        linked,
        &format!("{linked}COPY --link --from=made /b /b\n"),
        3,
    );
    // A command needs the files whatever the cache knows.
    let mounted = format!("{before}RUN --mount=from=made,target=/made cp /made/b /b\n");
    of_one_execution(&Sandbox::new(), before, &mounted);
}

#[test]
fn copies_by_way_of_another_stage_are_of_one_execution() {
    let middle = "FROM busybox AS middle\nCOPY --from=made /a /a\n";
    let before = format!("{middle}FROM middle\nRUN true\n");
    let after = format!("{middle}FROM middle\nCOPY --from=made /b /b\n");
    converges(&before, &after, 3);
    let before = format!("{middle}FROM busybox\nCOPY --from=middle /a /a\n");
    converges(&before, &format!("{before}COPY --from=made /b /b\n"), 4);
    // Also where the other stage's own files are needed.
    let after = format!(
        "{middle}FROM busybox\nCOPY --from=made /b /b\nRUN --mount=from=middle,target=/middle cp /middle/a /a\n"
    );
    of_one_execution(&Sandbox::new(), &before, &after);
}

/// The second begins anew after the first did, and what was linked in between lies upon other layers then.
#[test]
fn two_stages_are_built_again() {
    let before = "FROM busybox AS other\nRUN cat /proc/sys/kernel/random/uuid > /c; cp /c /d\n\
                  FROM busybox\nCOPY --link --from=other /c /c\nCOPY --link --from=made /a /a\n";
    let after = format!(
        "{before}COPY --link --from=made /b /b\nCOPY --link --from=other /d /d\nRUN cmp /c /d\n"
    );
    converges(before, &after, 7);
}
