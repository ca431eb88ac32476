// SPDX-License-Identifier: Apache-2.0
//! A place to run the program in, what a run gave, and what a test needs of
//! the machine. A test whose needs are not met says so by name and passes;
//! with `CI=true` or `UMOCI_TEST_REQUIRE=1` it fails.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::stat::{Mode, umask};
use serde_json::Value;
use umoci::image::{Image, ImageEditor, LayerOptions};
use umoci::layer::compress::{Compression, Decoder};
use umoci::layout::Layout;
use umoci::oci::{Algorithm, Digest};

/// An id of nobody in particular, for runs as an ordinary user.
const ORDINARY_USER: u32 = 65534;

/// Variables by which a caller has programs work in another way than tests expect of them.
pub(crate) const OTHER_WAYS: [&str; 3] = ["SOURCE_DATE_EPOCH", "TAR_OPTIONS", "POSIXLY_CORRECT"];

/// A temporary directory in which programs run.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(directory: tempfile::TempDir) -> Self {
        // Whatever that of the caller is: what is packed here has the modes that tests expect.
        umask(Mode::from_bits_truncate(0o022));
        // Runs as another user need to get in.
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// A sandbox with an empty layout `img`.
    pub(crate) fn with_layout() -> Self {
        let sandbox = Self::new();
        sandbox.umoci(&["init", "--layout", "img"]).succeeds();
        sandbox
    }

    /// A sandbox with a layout `img` that has one blank image, `img:latest`, of the time 0.
    pub(crate) fn with_image() -> Self {
        let sandbox = Self::with_layout();
        Run::of(sandbox.command(&["new", "--image", "img"]).env("SOURCE_DATE_EPOCH", "0"));
        sandbox
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program, not yet started, without what the caller's environment may hold.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        self.program(env!("CARGO_BIN_EXE_umoci"), words)
    }

    /// Another program, not yet started.
    pub(crate) fn program<S: AsRef<OsStr>>(&self, path: impl AsRef<OsStr>, words: &[S]) -> Command {
        let mut command = Command::new(path);
        command.args(words).current_dir(self.directory.path()).stdin(Stdio::null());
        for variable in OTHER_WAYS {
            command.env_remove(variable);
        }
        command.env("TZ", "UTC");
        command
    }

    /// Runs the program.
    pub(crate) fn umoci<S: AsRef<OsStr>>(&self, words: &[S]) -> Run {
        Run::of(&mut self.command(words))
    }

    /// Runs another program.
    pub(crate) fn peer<S: AsRef<OsStr>>(&self, path: &Path, words: &[S]) -> Run {
        Run::of(&mut self.program(path, words))
    }

    /// Runs a script of the shell that finds the program as `umoci`, and stops at its first failure.
    pub(crate) fn shell(&self, script: &str) -> Run {
        let own = Path::new(env!("CARGO_BIN_EXE_umoci")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(own).chain(std::env::split_paths(&path));
        let script = format!("set -euo pipefail\n{script}");
        let mut command = self.program("bash", &["-c", &script]);
        Run::of(command.env("PATH", std::env::join_paths(path).unwrap()))
    }

    /// Runs the program as an ordinary user. Needs root.
    pub(crate) fn umoci_as_ordinary_user(&self, words: &[&str]) -> Run {
        Run::of(&mut self.command_of_ordinary_user(words))
    }

    /// The program for an ordinary user, not yet started. Needs root.
    pub(crate) fn command_of_ordinary_user(&self, words: &[&str]) -> Command {
        let mut command = self.program(self.copy_for_others(), words);
        command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        command
    }

    /// A copy of the program that anybody may run.
    pub(crate) fn copy_for_others(&self) -> PathBuf {
        // Where the program was built need not be open to others, nor the program.
        let own = env!("CARGO_BIN_EXE_umoci");
        let copy = self.path("umoci-for-others");
        let is_closed = || std::fs::metadata(own).unwrap().mode() & 0o005 != 0o005;
        if !copy.exists() && (is_closed() || std::fs::hard_link(own, &copy).is_err()) {
            // Not by this process: while another test starts a program, that program has all
            // files open that are being written, and what is being written cannot be run.
            let install = Command::new("install").args(["-m", "755", own]).arg(&copy).status();
            assert!(install.unwrap().success());
        }
        copy
    }

    /// Another program, not yet started.
    pub(crate) fn peer_as_root(&self, path: &Path, words: &[&str]) -> Command {
        self.program(path, words)
    }

    /// Another program for an ordinary user, not yet started. Needs root.
    pub(crate) fn peer_of_ordinary_user(&self, path: &Path, words: &[&str]) -> Command {
        let mut command = self.program(path, words);
        command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        command
    }

    /// Makes a file or directory an ordinary user's, with all that is in it. Needs root.
    pub(crate) fn give_to_ordinary_user(&self, name: &str) {
        self.give_to(name, ORDINARY_USER);
    }

    /// Makes a file or directory somebody's, with all that is in it. Needs root.
    pub(crate) fn give_to(&self, name: &str, id: u32) {
        for entry in walkdir::WalkDir::new(self.path(name)) {
            let path = entry.unwrap().into_path();
            std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
        }
    }

    /// Everything below a directory: types and modes, and digests of the contents of files.
    pub(crate) fn tree(&self, name: &str) -> BTreeMap<PathBuf, (u32, Digest)> {
        let top = self.path(name);
        let entries = walkdir::WalkDir::new(&top).into_iter().map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let is_file = metadata.is_file();
            let contents = if is_file { std::fs::read(entry.path()).unwrap() } else { vec![] };
            let path = entry.path().strip_prefix(&top).unwrap().to_owned();
            (path, (metadata.mode(), Digest::of(Algorithm::Sha256, contents)))
        });
        entries.collect()
    }

    /// A JSON file.
    pub(crate) fn json(&self, name: impl AsRef<Path>) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// A blob of the layout `img`.
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        self.blob_of("img", digest)
    }

    /// A blob of a layout.
    pub(crate) fn blob_of(&self, layout: &str, digest: &str) -> Vec<u8> {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        std::fs::read(self.path(layout).join("blobs").join(algorithm).join(hex)).unwrap()
    }

    /// The manifest that a tag of a layout means: its digest and contents.
    pub(crate) fn manifest(&self, layout: &str, tag: &str) -> (String, Value) {
        let index = self.json(format!("{layout}/index.json"));
        let name = |entry: &&Value| {
            entry["annotations"]["org.opencontainers.image.ref.name"].as_str() == Some(tag)
        };
        let entry = index["manifests"].as_array().unwrap().iter().find(name).unwrap().clone();
        let digest = entry["digest"].as_str().unwrap().to_owned();
        let manifest = serde_json::from_slice(&self.blob_of(layout, &digest)).unwrap();
        (digest, manifest)
    }

    /// The layers of the image that a tag of a layout means, as plain tar streams.
    pub(crate) fn layers(&self, layout: &str, tag: &str) -> Vec<Vec<u8>> {
        let (_, manifest) = self.manifest(layout, tag);
        let layer = |descriptor: &Value| {
            let blob = self.blob_of(layout, descriptor["digest"].as_str().unwrap());
            let media_type = descriptor["mediaType"].as_str().unwrap();
            let compression = Compression::from_media_type(media_type).unwrap();
            let mut plain = Vec::new();
            Decoder::new(&blob[..], compression).unwrap().read_to_end(&mut plain).unwrap();
            plain
        };
        manifest["layers"].as_array().unwrap().iter().map(layer).collect()
    }

    /// The names of the members of an image's topmost layer.
    pub(crate) fn top_members(&self, layout: &str, tag: &str) -> Vec<String> {
        let top = self.layers(layout, tag).pop().unwrap();
        let mut archive = tar::Archive::new(&top[..]);
        let name = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            entry.unwrap().path_bytes().escape_ascii().to_string()
        };
        archive.entries().unwrap().map(name).collect()
    }

    /// Puts a layer on `img:latest`, also one that the program refuses to add.
    pub(crate) fn add_any_layer(&self, archive: &[u8]) {
        let layout = Layout::open(self.path("img")).unwrap();
        let (writer, name) = (layout.writer().unwrap(), "latest".parse().unwrap());
        let image = Image::load(&layout, layout.resolve(&name).unwrap()).unwrap();
        let mut editor = ImageEditor::new(&writer, image);
        let write = |output: &mut dyn Write| Ok(output.write_all(archive)?);
        editor.add_layer(&LayerOptions::default(), write).unwrap();
        let path = editor.commit().unwrap();
        writer.tag(&name, path.root().clone()).unwrap();
    }

    /// The digest of the configuration of an image of the layout `img`.
    pub(crate) fn config_digest(&self, tag: &str) -> String {
        self.manifest("img", tag).1["config"]["digest"].as_str().unwrap().to_owned()
    }

    /// The bytes of the configuration of the image that a tag of a layout means.
    pub(crate) fn config_bytes(&self, layout: &str, tag: &str) -> Vec<u8> {
        let (_, manifest) = self.manifest(layout, tag);
        self.blob_of(layout, manifest["config"]["digest"].as_str().unwrap())
    }

    /// The configuration of an image of the layout `img`.
    pub(crate) fn config(&self, tag: &str) -> Value {
        serde_json::from_slice(&self.config_bytes("img", tag)).unwrap()
    }
}

/// Writes a file with the directories above it.
pub(crate) fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
}

/// Sets a file's permission bits.
pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Gives everything in a tree the same age, in seconds since the epoch.
pub(crate) fn set_times(top: &Path, seconds: i64) {
    let time = filetime::FileTime::from_unix_time(seconds, 0);
    for entry in walkdir::WalkDir::new(top).contents_first(true) {
        filetime::set_symlink_file_times(entry.unwrap().path(), time, time).unwrap();
    }
}

/// How a program ended.
pub(crate) struct Run {
    line: String,
    output: Output,
}

impl Run {
    /// A run that somebody else has watched.
    pub(crate) fn watched(command: &Command, output: Output) -> Self {
        Self::ended(format!("{command:?}"), output)
    }

    /// A run of this command line that somebody else has watched.
    pub(crate) fn ended(line: String, output: Output) -> Self {
        Self { line, output }
    }

    /// Runs a command.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self { line: format!("{command:?}"), output: command.output().unwrap() }
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.output.status.code()
    }

    #[track_caller]
    fn ends_with_status(&self, status: i32) {
        let (line, stdout, stderr) = (&self.line, self.stdout(), self.stderr());
        assert_eq!(self.status(), Some(status), "{line}\n{stdout}\n{stderr}");
    }

    /// Asserts success, and gives what was printed.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        self.ends_with_status(0);
        self.stdout()
    }

    /// Asserts success without a word, but for the one by which gc says what it has freed.
    #[track_caller]
    pub(crate) fn succeeds_silently(&self) {
        assert_eq!(self.succeeds(), "", "{}", self.line);
        let stderr = self.stderr();
        let mut words = stderr.lines().filter(|line| !line.starts_with("umoci: freed "));
        assert_eq!(words.next(), None, "{}", self.line);
    }

    /// Asserts success with nothing but one line of counts, and gives those.
    #[track_caller]
    pub(crate) fn emulates(&self) -> String {
        assert_eq!(self.succeeds(), "", "{}", self.line);
        let stderr = self.stderr();
        let mut lines = stderr.lines();
        let counts = lines.next().and_then(|line| line.split_once("emulated: "));
        let (Some((_, counts)), None) = (counts, lines.next()) else {
            panic!("{}\nnot one line of counts: {stderr}", self.line)
        };
        counts.to_owned()
    }

    /// Asserts failure with one line, perhaps with a hint, and gives that line without `umoci: `.
    #[track_caller]
    pub(crate) fn fails(&self) -> String {
        self.ends_with_status(1);
        let stderr = self.stderr();
        let lines = stderr.lines().filter(|line| !line.starts_with("umoci: hint: "));
        let lines: Vec<&str> = lines.collect();
        let [line] = lines[..] else { panic!("{}\nnot one line: {stderr}", self.line) };
        assert!(!line.contains(['\x1b', '\r']), "{line:?}");
        line.strip_prefix("umoci: ").unwrap().to_owned()
    }

    /// Asserts failure with one line that contains a text.
    #[track_caller]
    pub(crate) fn fails_with(&self, text: &str) {
        let line = self.fails();
        assert!(line.contains(text), "{}\n{line}\ndoes not contain\n{text}", self.line);
    }

    /// Whether it failed to remove what it had made, and said so.
    pub(crate) fn says_that_it_cannot_clean_up(&self) -> bool {
        let warnings = ["umoci: warn: cannot clean up ", "umoci: warn: cannot remove "];
        let stderr = self.stderr();
        stderr.lines().any(|line| warnings.iter().any(|warning| line.starts_with(warning)))
    }

    /// The hint, if there was one.
    pub(crate) fn hint(&self) -> Option<String> {
        let stderr = self.stderr();
        stderr.lines().find_map(|line| line.strip_prefix("umoci: hint: ")).map(str::to_owned)
    }
}

/// Finds another program, or says that the test is skipped for want of it.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.or_else(|| skip(name))
}

/// Finds the Go program of the same name, in a version whose differences the tests know.
pub(crate) fn go_umoci() -> Option<PathBuf> {
    let program = peer("umoci")?;
    let version = Command::new(&program).arg("--version").output().unwrap().stdout;
    let known = [&b"umoci version 0.4.7"[..], b"umoci version 0.6."];
    let is_known = known.iter().any(|known| version.starts_with(known));
    if is_known { Some(program) } else { skip("umoci 0.4.7 or 0.6") }
}

/// Whether the test runs as root; if not, says that it is skipped.
pub(crate) fn needs_root() -> bool {
    let owner = std::fs::metadata("/proc/self").unwrap().uid();
    owner == 0 || skip::<()>("root").is_some()
}

/// Says that the running test is skipped because something is missing.
pub(crate) fn skip<T>(missing: &str) -> Option<T> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(!is_set("CI") && !is_set("UMOCI_TEST_REQUIRE"), "{test} needs {missing}");
    // Past the test runner's capture, for the user to see.
    let _ = writeln!(std::io::stderr(), "skipped: {test} needs {missing}");
    None
}

/// Finds strace where it may trace.
pub(crate) fn strace() -> Option<PathBuf> {
    let strace = peer("strace")?;
    let words = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"];
    let traces = Command::new(&strace).args(words).output().is_ok_and(|run| run.status.success());
    if traces { Some(strace) } else { skip("leave to trace") }
}

/// Whether there is time for the long variants of tests (`UMOCI_TEST_SLOW=1`).
pub(crate) fn is_slow() -> bool {
    std::env::var_os("UMOCI_TEST_SLOW").is_some_and(|value| !value.is_empty())
}

/// As [`is_slow`], for a test that is nothing but long; if not, says that it is skipped.
pub(crate) fn needs_time() -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    if !is_slow() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {test} needs UMOCI_TEST_SLOW=1, as it takes long"
        );
    }
    is_slow()
}
