// SPDX-License-Identifier: Apache-2.0
//! SIGINT and SIGTERM: work ends soon, with 128 and the number of the signal,
//! and leaves nothing that it has made.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use filetime::FileTime;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::scene;
use crate::harness::{Sandbox, needs_root};

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a command is started that may be too fast for a test.
const ATTEMPTS: usize = 20;

/// The signals that stop a command, and the status it ends with then. Two at nearly the same
/// time, as `timeout` sends them, are one; of two that are waiting the lower one comes first.
const STOPS: [(&str, &[Signal], i32); 4] = [
    ("int", &[Signal::SIGINT], 130),
    ("term", &[Signal::SIGTERM], 143),
    ("hup", &[Signal::SIGHUP], 129),
    ("both", &[Signal::SIGINT, Signal::SIGTERM], 130),
];

/// A program that does not outlive the test.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(Some(command.stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.0.as_ref().unwrap().id().try_into().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(self.id(), signal).unwrap();
    }

    /// Sends signals at a moment when the work has begun and is not nearly done: the program
    /// stands still while that is made sure of. Gives whether there was such a moment.
    fn interrupt(
        &mut self,
        signals: &[Signal],
        begun: impl Fn(Pid) -> bool,
        late: impl Fn() -> bool,
    ) -> bool {
        let program = self.id();
        wait_until(|| begun(program) || !self.is_running());
        if !self.stands_still() {
            return false;
        }
        let in_time = !late();
        for signal in signals.iter().filter(|_| in_time) {
            self.signal(*signal);
        }
        self.signal(Signal::SIGCONT);
        in_time
    }

    /// Makes it stand still, unless it ends before.
    fn stands_still(&mut self) -> bool {
        if !self.is_running() {
            return false;
        }
        self.signal(Signal::SIGSTOP);
        // Its end is left for whoever asks for that.
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let state = waitid(Id::Pid(self.id()), flags).unwrap();
        matches!(state, WaitStatus::Stopped(..))
    }

    fn is_running(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    fn output(mut self) -> Output {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    /// Waits for its end, which is that of an interruption.
    #[track_caller]
    fn ends_interrupted(self, status: i32) {
        let output = self.output();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.ends_with("interrupted\n") && text.lines().count() == 1, "{text}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Interrupts a command in the midst of its work. Where that was done before this test had its
/// turn, `undo` takes it back, and the command is started anew.
#[track_caller]
fn interrupted(
    start: impl Fn() -> Running,
    signals: &[Signal],
    begun: impl Fn(Pid) -> bool,
    late: impl Fn() -> bool,
    undo: impl Fn(),
) -> Running {
    for _ in 0..ATTEMPTS {
        let mut running = start();
        if running.interrupt(signals, &begun, &late) {
            return running;
        }
        let output = running.output();
        assert!(output.status.success(), "{output:?}");
        undo();
    }
    panic!("it was too fast for this test each time");
}

pub(super) fn wait_until(mut come: impl FnMut() -> bool) {
    let start = Instant::now();
    while !come() {
        assert!(start.elapsed() < LIMIT, "what was to come does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The image `img:large`, which takes a while to unpack and has closed directories.
fn large_image(sandbox: &Sandbox) {
    let rootfs = sandbox.path("root/rootfs");
    for dir in 0..30 {
        let dir = rootfs.join(format!("many/{dir}"));
        std::fs::create_dir_all(&dir).unwrap();
        for file in 0..100 {
            std::fs::write(dir.join(file.to_string()), "x").unwrap();
        }
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o000)).unwrap();
    }
    let words = ["repack", "--compress=none", "--image=img:large", "root"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.give_to_ordinary_user("img");
}

/// What is packed of this takes a while, and shows in the layout as it goes on.
fn fill(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    for file in 0..FILES {
        let random = std::fs::File::open("/dev/urandom").unwrap();
        let mut contents = Vec::new();
        random.take(FILE_SIZE).read_to_end(&mut contents).unwrap();
        std::fs::write(dir.join(file.to_string()), contents).unwrap();
    }
}

const FILES: u64 = 48;
const FILE_SIZE: u64 = 512 << 10;

/// The entry of a directory whose name starts with this.
fn entry(dir: &Path, prefix: &str) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
    let found = entries.find(|entry| entry.file_name().to_str().unwrap().starts_with(prefix));
    found.map(|entry| entry.path())
}

/// How much of the layer that is being made has been written to the layout.
fn packed(sandbox: &Sandbox) -> Option<u64> {
    let blob = entry(&sandbox.path("img"), ".umoci-")?.join("file-0");
    blob.metadata().ok().map(|metadata| metadata.len())
}

/// Where the root filesystem is until all of the bundle is there.
fn unpacking(bundle: &Path) -> PathBuf {
    entry(bundle, ".umoci-unpack-").unwrap_or_default().join("rootfs")
}

/// Whether the first files are in a root filesystem.
fn first(rootfs: &Path) -> bool {
    rootfs.join("many/1/99").exists()
}

/// Whether the last ones are, or it has got its own name already.
fn last(rootfs: &Path) -> bool {
    rootfs.join("many/9/0").exists() || !rootfs.exists()
}

fn modes(dir: &Path) -> Vec<u32> {
    let mode = |path: &PathBuf| path.symlink_metadata().unwrap().permissions().mode();
    scene::paths(dir).iter().map(mode).collect()
}

#[test]
fn an_unpack_that_is_stopped_leaves_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    large_image(&sandbox);
    for (name, stop, status) in STOPS {
        let bundle = format!("home/{name}");
        let words = ["unpack", "--rootless", "--image=img:large", &bundle];
        let start = || Running::start(&mut sandbox.command_of_ordinary_user(&words));
        let rootfs = || unpacking(&sandbox.path(&bundle));
        let undo = || std::fs::remove_dir_all(sandbox.path(&bundle)).unwrap();
        let running = interrupted(start, stop, |_| first(&rootfs()), || last(&rootfs()), undo);
        running.ends_interrupted(status);
        assert!(!sandbox.path(&bundle).exists());
    }
}

/// Makes a tree into which something is unpacked.
fn tree_that_was_there(sandbox: &Sandbox, name: &str) {
    let tree = sandbox.path(name);
    std::fs::create_dir_all(tree.join("kept")).unwrap();
    std::fs::write(tree.join("kept/file"), "x").unwrap();
    sandbox.give_to_ordinary_user(name);
    scene::set_mode(tree.join("kept"), 0o000);
    xattr::set(&tree, "user.note", b"kept").unwrap();
    filetime::set_file_mtime(&tree, FileTime::from_unix_time(5, 6)).unwrap();
    scene::set_mode(tree, 0o100);
}

#[test]
fn a_raw_unpack_that_is_stopped_leaves_only_what_was_there() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    large_image(&sandbox);
    let layout = sandbox.tree("img");
    for (name, stop, status) in STOPS {
        let old = format!("home/{name}-old");
        for dir in [format!("home/{name}"), old.clone()] {
            let rootfs = sandbox.path(&dir);
            let start = || {
                if dir == old && !rootfs.exists() {
                    tree_that_was_there(&sandbox, &old);
                }
                let words = ["raw", "unpack", "--rootless", "--image=img:large", &dir];
                Running::start(&mut sandbox.command_of_ordinary_user(&words))
            };
            let undo = || std::fs::remove_dir_all(&rootfs).unwrap();
            let running = interrupted(start, stop, |_| first(&rootfs), || last(&rootfs), undo);
            running.ends_interrupted(status);
            assert_eq!(rootfs.exists(), dir == old);
        }
        let root = sandbox.path(&old).metadata().unwrap();
        assert_eq!((root.mode() & 0o7777, root.mtime()), (0o100, 5));
        let note = xattr::get(sandbox.path(&old), "user.note").unwrap();
        assert_eq!(note.as_deref(), Some(&b"kept"[..]));
        let kept = sandbox.tree(&format!("{old}/kept"));
        assert_eq!((kept.len(), kept[Path::new("")].0), (2, 0o040_000));
        assert_eq!(sandbox.tree("img"), layout);
    }
}

#[test]
fn a_repack_that_is_stopped_puts_permissions_back_and_changes_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    large_image(&sandbox);
    let words = ["unpack", "--rootless", "--image=img:large", "home/b"];
    sandbox.umoci_as_ordinary_user(&words).emulates();
    let rootfs = sandbox.path("home/b/rootfs");
    fill(&rootfs.join("new"));
    sandbox.give_to_ordinary_user("home/b/rootfs/new");
    scene::touch(&rootfs);
    let before = modes(&rootfs);
    let words = ["repack", "--rehash", "--image=img:new", "home/b"];
    let start = || Running::start(&mut sandbox.command_of_ordinary_user(&words));
    stopped_while_packing(&sandbox, start, || assert_eq!(modes(&rootfs), before));
}

#[test]
fn an_insert_that_is_stopped_puts_permissions_back_and_changes_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    let source = sandbox.path("home/source");
    std::fs::create_dir(&source).unwrap();
    fill(&source.join("closed"));
    fill(&source.join("open"));
    sandbox.give_to_ordinary_user("home/source");
    scene::set_mode(source.join("closed"), 0o000);
    for file in 0..FILES {
        scene::set_mode(source.join("closed").join(file.to_string()), 0o000);
    }
    let before = modes(&source);
    let words = ["insert", "--rootless", "--image=img:full", "home/source", "/source"];
    let start = || Running::start(&mut sandbox.command_of_ordinary_user(&words));
    stopped_while_packing(&sandbox, start, || assert_eq!(modes(&source), before));
}

#[test]
fn a_layer_that_is_being_added_when_it_is_stopped_is_gone() {
    let sandbox = scene::sandbox();
    fill(&sandbox.path("source"));
    let mut archive = tar::Builder::new(std::fs::File::create(sandbox.path("layer.tar")).unwrap());
    archive.append_dir_all("source", sandbox.path("source")).unwrap();
    archive.finish().unwrap();
    let words = ["raw", "add-layer", "--image=img:full", "layer.tar"];
    stopped_while_packing(&sandbox, || Running::start(&mut sandbox.command(&words)), || ());
}

/// Nothing comes through a pipe whose writer has stopped, or has not begun; that keeps nobody.
#[test]
fn who_waits_for_an_archive_can_be_stopped() {
    let sandbox = scene::sandbox();
    assert!(sandbox.program("mkfifo", &["fifo"]).status().unwrap().success());
    let layout = sandbox.tree("img");
    let half = crate::raw::archive(&[("f", &"x".repeat(1 << 20))]);
    for (sent, words) in [(&half[..100_000], "-"), (&[], "-"), (&[], "fifo")] {
        for (_, stop, status) in STOPS {
            let words = ["raw", "add-layer", "--image=img:full", words];
            let mut command = sandbox.command(&words);
            let mut running = Running::start(command.stdin(Stdio::piped()));
            let mut pipe = running.0.as_mut().unwrap().stdin.take().unwrap();
            std::io::Write::write_all(&mut pipe, sent).unwrap();
            let since = if sent.is_empty() { Since::Watched } else { Since::Packing };
            let begun = |program| since.has_come(&sandbox, program);
            assert!(running.interrupt(stop, begun, || false), "it does not wait");
            running.ends_interrupted(status);
            assert_eq!(sandbox.tree("img"), layout);
        }
    }
}

#[test]
fn a_conversion_that_is_stopped_changes_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    fill(&sandbox.path("source"));
    let words = ["insert", "--compress=zstd", "--image=img:full", "source", "/source"];
    sandbox.umoci(&words).succeeds();
    let words = ["convert", "--format=docker", "--image=img:full"];
    stopped_while_packing(&sandbox, || Running::start(&mut sandbox.command(&words)), || ());
}

/// Stops a command when its layer has come so and so far, and asserts that the layout stays as it
/// is, and what `check` does.
fn stopped_while_packing(sandbox: &Sandbox, start: impl Fn() -> Running, check: impl Fn()) {
    let before = sandbox.tree("img");
    scene::run("cp", &["-a", "img", "img.before"], &sandbox.path(""));
    let undo = || {
        std::fs::remove_dir_all(sandbox.path("img")).unwrap();
        scene::run("cp", &["-a", "img.before", "img"], &sandbox.path(""));
    };
    let late = || is_late(sandbox, before.len());
    for (_, stop, status) in STOPS {
        for since in [Since::Watched, Since::Packing, Since::Packed] {
            let begun = |program| since.has_come(sandbox, program);
            interrupted(&start, stop, begun, late, undo).ends_interrupted(status);
            check();
            assert_eq!(sandbox.tree("img"), before);
        }
    }
}

/// How far a layer has come.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// Somebody watches for signals, on a thread of its own.
    Watched,
    /// The layer is begun.
    Packing,
    /// Some of it is written.
    Packed,
}

impl Since {
    fn has_come(self, sandbox: &Sandbox, program: Pid) -> bool {
        match self {
            Self::Watched => std::fs::read_dir(format!("/proc/{program}/task"))
                .is_ok_and(|threads| threads.count() > 1),
            Self::Packing => packed(sandbox).is_some(),
            Self::Packed => packed(sandbox).is_some_and(|size| size > 0),
        }
    }
}

/// Whether there is so little left to pack that the rest may be on its way already. When all of it
/// is packed there are more files in the layout than before.
fn is_late(sandbox: &Sandbox, before: usize) -> bool {
    let is_temporary = |name: &OsStr| name.as_bytes().starts_with(b".umoci-");
    let entries = walkdir::WalkDir::new(sandbox.path("img")).into_iter();
    let is_done =
        || entries.filter_entry(|entry| !is_temporary(entry.file_name())).count() > before;
    packed(sandbox).map_or_else(is_done, |size| size > FILES * FILE_SIZE / 2)
}

#[test]
fn signals_that_are_turned_off_stay_so() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    large_image(&sandbox);
    let program = env!("CARGO_BIN_EXE_umoci");
    let script = format!("trap '' INT; exec {program} unpack --image=img:large quiet");
    let start = || Running::start(&mut sandbox.program("sh", &["-c", &script]));
    let rootfs = || unpacking(&sandbox.path("quiet"));
    let undo = || std::fs::remove_dir_all(sandbox.path("quiet")).unwrap();
    let (begun, late) = (|_| first(&rootfs()), || last(&rootfs()));
    let running = interrupted(start, &[Signal::SIGINT], begun, late, undo);
    assert!(running.output().status.success());
    assert!(sandbox.path("quiet/umoci.json").exists());
}
