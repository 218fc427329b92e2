//! The first minutes: a clean machine, the built-in image, help.

use berth_testkit::{Sandbox, Screen};

#[test]
fn hello_runs_without_any_set_up() {
    let sandbox = Sandbox::new();
    let native = sandbox.berth(&["run", "--rm", "hello"]).hide_ids();
    insta::assert_snapshot!(native, @r#"
    exit: 0
    --- stdout ---
    Hello from berth!

    This is a native program. The runtime is "linux": the kernel runs it directly.

    What isolates it, as it sees it from inside:
      processes     it is number 1 of its own process namespace
      host name     [ID]
      system calls  filtered (seccomp)
      capabilities  00000000a80425fb
      privileges    can never grow (no_new_privs)
      and           its own files, mounts, network, IPC and control group

    Try next:
      berth run --platform wasi/wasm hello        the same image as WebAssembly
      berth run -it --rm busybox sh               a shell in a container
      berth run -d --name web -p 8080:80 nginx    a service in the background
      berth ps -a                                 what runs and what ran
    --- stderr ---
    "#);
    let wasm = sandbox.berth(&["run", "--rm", "--platform", "wasi/wasm", "hello"]);
    insta::assert_snapshot!(wasm, @r#"
    exit: 0
    --- stdout ---
    Hello from berth!

    This is a WebAssembly program. The runtime is "wasm": wasmtime executes it, compiled to machine code.

    What isolates it:
      memory        it reaches its own linear memory and nothing else of its process
      system calls  none of its own; WASI calls are served by an engine that is itself filtered
      capabilities  none (no_new_privs, seccomp, landlock around the engine)
      and           the same namespaces, files, mounts, network and control group as a native container

    Try next:
      berth run --platform linux hello            the same image as a native program
      berth run ./app.wasm                        a module of your own
      berth run -it --rm busybox sh               a shell in a container
      berth ps -a                                 what runs and what ran
    --- stderr ---
    "#);
}

#[test]
fn help_fits_on_one_screen() {
    let sandbox = Sandbox::new();
    let help = sandbox.berth(&["--help"]);
    insta::assert_snapshot!(help, @"
    exit: 0
    --- stdout ---
    Run native and wasm containers.

    Examples:
      berth run hello
      berth run -it --rm busybox sh
      berth run -d --name web -p 8080:80 nginx

    Usage: berth [FLAGS] COMMAND

    Run:
      run          Make a container and run it
      ps           List containers
      exec         Run a second process in a running container
      logs         Print what containers wrote
      stop         Stop containers: a signal, a grace time, then a kill
      start        Start containers that do not run
      rm           Remove containers
      inspect      Print everything about containers, images, volumes or networks
      container    Manage containers
      Also: attach, restart, create, kill, pause, unpause, wait, rename, top, port

    Images:
      images       List images
      build        Make an image of a Dockerfile
      builder      Manage the build cache
      pull         Fetch images from registries
      push         Send images, artifacts, or a wasm file, to a registry
      search       Search registries for images
      login        Log in to a registry
      logout       Forget the login of a registry
      load         Load images from an archive
      save         Write images to an archive that Docker and OCI tools read
      tag          Give an image further names
      rmi          Remove images
      image        Manage images
      manifest     Make lists of images for several platforms
      artifact     Manage OCI artifacts
      Also: import, untag, history

    Volumes & networks:
      volume       Manage volumes
      network      Manage networks

    System:
      serve        Offer what is here to other programs and machines
      info         Print facts about this host
      system       Manage berth itself
      version      Print the version
      completion   Print the completions for a shell

    Global flags (before the command):
          --root DIR         Keep images, containers and volumes in DIR
          --runroot DIR      Keep the state of running containers in DIR
          --config DIR       Read registry logins from DIR/config.json [env: DOCKER_CONFIG]
          --offline          Ask no registry; use the images that are here
      -D, --debug            Tell what is done, step by step
      -l, --log-level LEVEL  Say only what is at least this grave: debug, info, warn, error
      -v, --version          Print the version

    berth COMMAND --help tells more about one command.
    --- stderr ---
    ");
    assert!(
        help.stdout.lines().count() <= 60,
        "help is longer than a screen"
    );
}

#[test]
fn a_plain_wasm_file_runs() {
    let sandbox = Sandbox::new();
    let twin = berth_testkit::Twin::new(berth_testkit::Kind::Wasm, "hello");
    std::fs::write(sandbox.path().join("app.wasm"), twin.program()).unwrap();
    let screen = sandbox.berth(&["run", "--rm", "./app.wasm", "a file"]);
    assert_eq!(screen.success(), "hello from a file");
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ]);
    let berth = sandbox.command(&["run", "--rm", "hello"]);
    command.arg(berth.get_program()).args(berth.get_args());
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("PATH", "/usr/bin:/bin");
    let screen = Screen::new(&command.output().unwrap());
    let screen = screen.replace(&sandbox.path().display().to_string(), "[SANDBOX]");
    insta::assert_snapshot!(screen, @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot make a container
    caused by: berth works for root only so far, not for ordinary users

    hint: run the same command with sudo
    ");
}

#[test]
fn versions_and_info_answer() {
    let sandbox = Sandbox::new();
    assert!(
        sandbox
            .berth(&["version", "--format", "{{.Client.Version}}"])
            .success()
            .contains('.')
    );
    assert_eq!(
        sandbox
            .berth(&["info", "--format", "{{.Containers}}"])
            .success(),
        "0"
    );
    assert!(
        sandbox
            .berth(&["--version"])
            .success()
            .starts_with("berth version ")
    );
}
