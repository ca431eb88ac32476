// SPDX-License-Identifier: Apache-2.0
//! What a terminal shows while long work is done, and what it does not.

use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::harness::{Run, Sandbox, needs_root, peer};

/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// What begins a line anew and empties it.
const ERASE: &str = "\r\x1b[K";

/// A bundle in which something has been changed.
fn changed_bundle() -> Sandbox {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--image", "img", "bundle"]).succeeds_silently();
    std::fs::write(sandbox.path("bundle/rootfs/file"), "contents").unwrap();
    sandbox
}

/// Starts the program with a terminal of its own (`script`, whose record is the file `shown`).
fn start(sandbox: &Sandbox, words: &str, terminal: &str) -> Option<Child> {
    let script = peer("script")?;
    let line = format!("{} {words}", env!("CARGO_BIN_EXE_umoci"));
    let mut command = Command::new(script);
    command.args(["-qefc", &line, "shown"]).current_dir(sandbox.path("."));
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    command.env("TERM", terminal).env_remove("NO_COLOR");
    Some(command.spawn().unwrap())
}

fn shown(sandbox: &Sandbox) -> String {
    let record = std::fs::read(sandbox.path("shown")).unwrap_or_default();
    String::from_utf8(record).unwrap_or_default()
}

/// Repacks while another program holds the lock of the index, which makes the work long:
/// until a text is shown, or for a time. Gives all that was shown.
fn repack_behind_a_lock(flags: &str, terminal: &str, until: Option<&str>) -> Option<String> {
    let sandbox = changed_bundle();
    let lock = File::open(sandbox.path("img/oci-layout")).unwrap();
    lock.lock().unwrap();
    let words = format!("{flags} repack --image img:new bundle");
    let mut program = start(&sandbox, &words, terminal)?;
    let started = Instant::now();
    let enough = || match until {
        Some(text) => shown(&sandbox).contains(text),
        None => started.elapsed() > Duration::from_millis(1800),
    };
    while !enough() {
        assert!(started.elapsed() < LIMIT, "{:?}", shown(&sandbox));
        std::thread::sleep(Duration::from_millis(20));
    }
    lock.unlock().unwrap();
    assert!(program.wait().unwrap().success());
    Some(shown(&sandbox))
}

/// The output of the program, without what `script` writes around it.
fn output(record: &str) -> &str {
    let (_, rest) = record.split_once('\n').unwrap();
    rest.split("\nScript done").next().unwrap()
}

#[test]
fn a_terminal_shows_long_work_and_is_clean_after_it() {
    if !needs_root() {
        return;
    }
    let Some(record) = repack_behind_a_lock("", "xterm", Some("packing a layer: ")) else { return };
    let output = output(&record);
    assert!(output.contains(" 2 of 2 entries"), "{output:?}");
    let (_, last) = output.rsplit_once(ERASE).unwrap();
    assert_eq!(last.trim_end(), "", "{output:?}");
    assert!(!output.trim_end().contains('\n'), "it moves the screen: {output:?}");
}

#[test]
fn nothing_is_shown_where_nobody_wants_it() {
    if !needs_root() {
        return;
    }
    for (flags, terminal) in [("--quiet", "xterm"), ("", "dumb")] {
        let Some(record) = repack_behind_a_lock(flags, terminal, None) else { return };
        assert_eq!(output(&record).trim_end(), "", "{flags} {terminal}");
    }
}

#[test]
fn messages_take_the_place_of_the_line() {
    if !needs_root() {
        return;
    }
    let shown = repack_behind_a_lock("--verbose", "xterm", Some("packing a layer: "));
    let Some(record) = shown else { return };
    let message = "umoci: info: created new tag for image manifest: new";
    let at = output(&record).find(message).unwrap();
    let before = &output(&record)[..at];
    let before = before.rsplit('\n').next().unwrap();
    assert!(before.ends_with(ERASE) || before.is_empty(), "{before:?}");
}

#[test]
fn all_of_an_image_has_been_counted_in_the_end() {
    use umoci::bundle::{UnpackOptions, unpack_into};
    use umoci::image::Image;
    use umoci::layout::Layout;
    use umoci::progress::Stage;
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    for name in ["a", "b"] {
        std::fs::write(sandbox.path(name), vec![7; 100_000]).unwrap();
        sandbox.umoci(&["insert", "--image", "img", name, name]).succeeds_silently();
    }
    let layout = Layout::open(sandbox.path("img")).unwrap();
    let image = layout.resolve(&"latest".parse().unwrap()).unwrap();
    let image = Image::load(&layout, image).unwrap();
    let options = UnpackOptions::default();
    unpack_into(&layout, &image, &sandbox.path("rootfs"), &options).unwrap();
    let state = options.progress.state();
    assert_eq!((state.stage, state.layer, state.layers), (Stage::Unpacking, 2, 2));
    assert_eq!((state.entries, state.bytes), (2, state.expected_bytes));
    assert!(state.bytes > 100, "{state:?}");
}

#[test]
fn only_a_terminal_sees_colours() {
    let Some(script) = peer("script") else { return };
    let sandbox = Sandbox::new();
    let line = format!("{} ls --layout missing", env!("CARGO_BIN_EXE_umoci"));
    let run = |variable: &str, value: &str| {
        let mut command = Command::new(&script);
        command.args(["-qc", &line, "/dev/null"]).current_dir(sandbox.path("."));
        command.stdin(std::process::Stdio::null()).env("TERM", "xterm").env_remove("NO_COLOR");
        Run::of(command.env(variable, value)).stdout()
    };
    assert!(run("LC_ALL", "C").starts_with("\x1b[1;31mumoci: \x1b[m"));
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = run(variable, value);
        assert!(text.starts_with("umoci: ") && !text.contains('\x1b'), "{variable}: {text:?}");
    }
    assert!(sandbox.umoci(&["ls", "--layout", "missing"]).stderr().starts_with("umoci: "));
}
