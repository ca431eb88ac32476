// SPDX-License-Identifier: Apache-2.0
//! What a terminal shows while long work is done, and what it does not.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Run, Sandbox, needs_root, peer, strace};

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
    command.stdin(Stdio::null()).stdout(Stdio::null());
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
    assert!(output.contains("packing a layer: 100%, 0.0 of 0.0 MB, 2 of 2 entries"), "{output:?}");
    let (_, last) = output.rsplit_once(ERASE).unwrap();
    assert_eq!(last.trim_end(), "", "{output:?}");
    assert!(!output.trim_end().contains('\n'), "it moves the screen: {output:?}");
}

/// What is known of a file beforehand is shown: of an archive, and of what becomes a layer.
#[test]
fn the_size_of_a_file_is_what_is_expected() {
    let (Some(script), Some(strace)) = (peer("script"), strace()) else { return };
    let cases = [
        ("raw add-layer --image img file.tar", "100%, 3.0 of 3.0 MB, 2 entries"),
        ("insert --image img large /large", "100%, 3.0 of 3.0 MB, 1 entries"),
    ];
    let running = cases.map(|(words, expected)| {
        let sandbox = Sandbox::with_image();
        let large = "x".repeat(3_000_000);
        std::fs::write(sandbox.path("large"), &large).unwrap();
        let archive = crate::raw::archive(&[("large", &large), ("small", "x")]);
        std::fs::write(sandbox.path("file.tar"), archive).unwrap();
        // Packing ends with the first sync, which takes five seconds here.
        let faults = "-e trace=fsync -e inject=fsync:delay_enter=5000000:when=1";
        let line = format!(
            "{} -f -qq -o /dev/null {faults} {} {words}",
            strace.display(),
            env!("CARGO_BIN_EXE_umoci")
        );
        let mut command = sandbox.program(&script, &["-qefc", &line, "shown"]);
        let child = command.env("TERM", "xterm").stdout(Stdio::null()).spawn().unwrap();
        (sandbox, child, expected)
    });
    for (sandbox, mut child, expected) in running {
        assert!(child.wait().unwrap().success());
        assert!(shown(&sandbox).contains(expected), "{:?}", shown(&sandbox));
    }
}

/// What is to come is what came, hard links and all.
#[test]
fn a_repacked_layer_has_the_expected_size() {
    use umoci::bundle::{Bundle, RepackOptions, repack};
    use umoci::layout::{EntryName, Layout, RefName};
    if !needs_root() {
        return;
    }
    let sandbox = changed_bundle();
    let rootfs = sandbox.path("bundle/rootfs");
    std::fs::write(rootfs.join("large"), vec![7; 3_000_001]).unwrap();
    std::fs::hard_link(rootfs.join("large"), rootfs.join("another")).unwrap();
    std::os::unix::fs::symlink("large", rootfs.join("link")).unwrap();
    std::fs::create_dir(rootfs.join("directory")).unwrap();
    let (layout, bundle) = (Layout::open(sandbox.path("img")).unwrap(), sandbox.path("bundle"));
    let (writer, bundle) = (layout.writer().unwrap(), Bundle::open(&bundle).unwrap());
    let (image, options) = (bundle.image(&layout).unwrap(), RepackOptions::default());
    let name = EntryName::from(&"new".parse::<RefName>().unwrap());
    repack(&bundle, &writer, image, &name, &options).unwrap();
    let state = options.progress.state();
    assert_eq!((state.entries, state.expected_entries), (6, 6));
    assert!(state.bytes > 3_000_000, "{state:?}");
    assert_eq!(state.bytes, state.expected_bytes);
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
        command.stdin(Stdio::null()).env("TERM", "xterm").env_remove("NO_COLOR");
        Run::of(command.env(variable, value)).stdout()
    };
    assert!(run("LC_ALL", "C").starts_with("\x1b[1;31mumoci: \x1b[m"));
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = run(variable, value);
        assert!(text.starts_with("umoci: ") && !text.contains('\x1b'), "{variable}: {text:?}");
    }
    assert!(sandbox.umoci(&["ls", "--layout", "missing"]).stderr().starts_with("umoci: "));
}
