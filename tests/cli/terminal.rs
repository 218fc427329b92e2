//! A real terminal: shells, sizes, keys, and the user's own terminal given back as it was.

use berth_testkit::{Sandbox, Terminal};

fn shell(sandbox: &Sandbox) -> Terminal {
    let run = [
        "run",
        "--rm",
        "-it",
        "--name",
        "shell",
        "--network",
        "none",
        "busybox",
        "sh",
    ];
    let mut terminal = Terminal::start(&sandbox.command(&run));
    terminal.wait_for("/ # ");
    terminal
}

#[test]
fn a_shell_is_usable() {
    let sandbox = Sandbox::with_busybox();
    let mut terminal = shell(&sandbox);
    terminal.send("tty; stty size; echo $TERM\r");
    let screen = terminal.wait_for("xterm");
    assert!(
        screen.contains("/dev/pts/0") || screen.contains("/dev/console"),
        "{screen}"
    );
    assert!(screen.contains("24 80"), "{screen}");
    terminal.wait_for("/ # ");
    terminal.send("ps aux | wc -l; mount | grep -c overlay\r");
    terminal.wait_for("/ # ");
    // The child's own word that it has the terminal: before, the shell would take the key as a letter.
    terminal.send("sh -c 'echo slee''ping; exec sleep 100'\r");
    terminal.wait_for("sleeping");
    terminal.send("\x03");
    terminal.wait_for("/ # ");
    terminal.send("exit 5\r");
    let (status, _) = terminal.finish();
    assert_eq!(
        status, 5,
        "Ctrl-C went to the shell's child, and the shell's status came out"
    );
}

#[test]
fn the_size_follows() {
    let sandbox = Sandbox::with_busybox();
    let mut terminal = shell(&sandbox);
    terminal.resize(40, 132);
    terminal.send("while [ \"$(stty size)\" != '40 132' ]; do :; done; echo resi''zed\r");
    terminal.wait_for("resized");
    terminal.send("exit\r");
    assert_eq!(terminal.finish().0, 0);
}

#[test]
fn the_detach_keys_leave_it_running() {
    let sandbox = Sandbox::with_busybox();
    let mut terminal = shell(&sandbox);
    terminal.send("\x10\x11");
    let (status, _) = terminal.finish();
    assert_eq!(status, 0);
    assert_eq!(sandbox.inspect("shell", "{{.State.Running}}"), "true");
    let mut again = Terminal::start(&sandbox.command(&["attach", "shell"]));
    again.send("\r");
    again.wait_for("/ # ");
    again.send("exit 3\r");
    assert_eq!(again.finish().0, 3);
}

#[test]
fn exec_has_its_own_terminal() {
    let sandbox = Sandbox::with_busybox();
    sandbox.sleeper("up");
    let mut terminal = Terminal::start(&sandbox.command(&["exec", "-it", "up", "sh"]));
    terminal.wait_for("/ # ");
    terminal.send("tty; stty size\r");
    let screen = terminal.wait_for("24 80");
    assert!(screen.contains("/dev/pts/"), "{screen}");
    terminal.send("exit 9\r");
    assert_eq!(terminal.finish().0, 9);
    assert_eq!(sandbox.inspect("up", "{{.State.Running}}"), "true");
}

#[test]
fn a_terminal_is_asked_for_where_there_is_none() {
    let sandbox = Sandbox::with_busybox();
    let screen = sandbox.berth(&["run", "--rm", "-it", "busybox", "true"]);
    insta::assert_snapshot!(screen, @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the input device is not a TTY

    hint: leave -t away to feed a program from a pipe or a file
    ");
    let without_input =
        sandbox.berth(&["run", "--rm", "-t", "--network", "none", "busybox", "tty"]);
    assert!(
        without_input.success().starts_with("/dev/"),
        "-t alone needs no terminal here"
    );
}
