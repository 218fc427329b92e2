//! Logging in, pushing, and forgetting: the screens, against a registry that lets nobody else in.

use berth_testkit::{Sandbox, Screen, available};

use crate::registry::Registry;

struct Harbour {
    sandbox: Sandbox,
    registry: Registry,
}

impl Harbour {
    fn open(test: &str) -> Option<Self> {
        let programs = ["docker-registry", "skopeo", "htpasswd"];
        if !programs.iter().all(|program| available(test, program)) {
            return None;
        }
        let sandbox = Sandbox::with_busybox();
        let registry = Registry::start_guarded(&sandbox);
        Some(Self { sandbox, registry })
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.registry.port)
    }

    fn shown(&self, screen: Screen) -> Screen {
        screen
            .replace(&self.registry.port.to_string(), "[PORT]")
            .hide_ids()
    }

    fn berth(&self, arguments: &[&str]) -> Screen {
        self.shown(self.sandbox.berth(arguments))
    }

    fn log_in(&self, password: &str) -> Screen {
        let host = self.host();
        let arguments = ["login", "-u", "sailor", "--password-stdin", &host];
        self.shown(
            self.sandbox
                .berth_with_input(&arguments, password.as_bytes()),
        )
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "its lines are the screens")]
fn a_login_is_proven_kept_used_and_forgotten() {
    let test = "a_login_is_proven_kept_used_and_forgotten";
    let Some(harbour) = Harbour::open(test) else {
        return;
    };
    let host = harbour.host();
    let name = format!("{host}/tools/busybox:1");
    insta::assert_snapshot!(harbour.log_in("sugar"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot log in to 127.0.0.1:[PORT]
    caused by: GET http://127.0.0.1:[PORT]/v2/: 401 Unauthorized: authentication required (UNAUTHORIZED)
    ");
    insta::assert_snapshot!(harbour.berth(&["push", "busybox", &name]), @"
    exit: 1
    --- stdout ---
    The push refers to repository [127.0.0.1:[PORT]/tools/busybox]
    --- stderr ---
    error: the registry denies pushing 127.0.0.1:[PORT]/tools/busybox:1
    caused by: POST http://127.0.0.1:[PORT]/v2/tools/busybox/blobs/uploads/: 401 Unauthorized: authentication required (UNAUTHORIZED)

    hint: check the name, or log in: berth login 127.0.0.1:[PORT]
    ");
    insta::assert_snapshot!(harbour.log_in("salt and pepper\n"), @"
    exit: 0
    --- stdout ---
    Login Succeeded
    --- stderr ---
    warning: the login is kept without encryption in [SANDBOX]/.docker/config.json; a credential helper would encrypt it
    ");
    assert_eq!(
        harbour
            .sandbox
            .berth(&["login", "--get-login", &host])
            .success(),
        "sailor"
    );
    insta::assert_snapshot!(harbour.berth(&["push", "busybox", &name]), @"
    exit: 0
    --- stdout ---
    The push refers to repository [127.0.0.1:[PORT]/tools/busybox]
    [ID]: Pushed
    [ID]: Pushed
    1: digest: sha256:[ID] size: 400
    --- stderr ---
    ");
    insta::assert_snapshot!(harbour.berth(&["push", "busybox", &name]), @"
    exit: 0
    --- stdout ---
    The push refers to repository [127.0.0.1:[PORT]/tools/busybox]
    [ID]: Layer already exists
    [ID]: Layer already exists
    1: digest: sha256:[ID] size: 400
    --- stderr ---
    ");
    insta::assert_snapshot!(harbour.berth(&["search", "--list-tags", &format!("{host}/tools/busybox")]), @"
    exit: 0
    --- stdout ---
    NAME                            TAG
    127.0.0.1:[PORT]/tools/busybox   1
    --- stderr ---
    ");
    insta::assert_snapshot!(harbour.berth(&["logout", &host]), @"
    exit: 0
    --- stdout ---
    Removed the login for 127.0.0.1:[PORT]
    --- stderr ---
    ");
    insta::assert_snapshot!(harbour.berth(&["logout", &host]), @"
    exit: 0
    --- stdout ---
    Not logged in to 127.0.0.1:[PORT]
    --- stderr ---
    ");
    insta::assert_snapshot!(harbour.berth(&["login", &host]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot ask for the login
    caused by: standard input is not a terminal

    hint: use --username NAME --password-stdin
    ");
    insta::assert_snapshot!(harbour.berth(&["pull", &name]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the registry denies access to 127.0.0.1:[PORT]/tools/busybox:1
    caused by: GET http://127.0.0.1:[PORT]/v2/tools/busybox/manifests/1: 401 Unauthorized: authentication required (UNAUTHORIZED)

    hint: check the name, or log in: berth login 127.0.0.1:[PORT]
    ");
}
