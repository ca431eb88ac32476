// SPDX-License-Identifier: Apache-2.0
//! Where attacks take place: a layout written byte by byte, a directory outside
//! that has to stay as it is, and limits of time and memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::{Value, json};
use umoci::oci::{Algorithm, Digest, media_type};

use super::archive::Archive;
use crate::harness::{Run, Sandbox};

/// What an attack has to end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// An error.
    Refuse,
    /// An error, or something harmless.
    Either,
    /// The image as it says.
    Succeed,
}

/// How much an attack may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of a processor.
    pub(super) seconds: u64,
    pub(super) memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seconds: 10, memory: 300 << 20 }
    }
}

/// The machine may be slow, and the program built without optimization.
const PATIENCE: u32 = 6;
/// How many times as long as it may use a processor a program may take, where others want that, too.
const COMPANY: u32 = 10;

/// A layer's blob.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) blob: Vec<u8>,
    pub(super) media_type: String,
    pub(super) diff_id: String,
}

impl Layer {
    /// A plain layer.
    pub(super) fn plain(tar: Vec<u8>) -> Self {
        let diff_id = digest(&tar);
        Self { blob: tar, media_type: media_type::IMAGE_LAYER.to_owned(), diff_id }
    }

    /// A blob with the type and contents that somebody says it has.
    pub(super) fn compressed(blob: Vec<u8>, suffix: &str, tar: &[u8]) -> Self {
        let media_type = format!("{}+{suffix}", media_type::IMAGE_LAYER);
        Self { blob, media_type, diff_id: digest(tar) }
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

pub(super) struct Arena {
    pub(super) sandbox: Sandbox,
}

impl Arena {
    /// A layout `img` with an image `good`, and a directory `outside`.
    pub(super) fn new() -> Self {
        let arena = Self { sandbox: Sandbox::new() };
        fs::create_dir_all(arena.path("img/blobs/sha256")).unwrap();
        fs::write(arena.path("img/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        arena.write_index(&[]);
        fs::create_dir(arena.path("outside")).unwrap();
        for name in ["canary", "passwd"] {
            let path = arena.path("outside").join(name);
            fs::write(&path, "outsider:x:0:0::/:\n").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        }
        fs::create_dir(arena.path("outside/dir")).unwrap();
        fs::write(arena.path("outside/dir/file"), "x").unwrap();
        let good = Archive::new().dir("etc").file("etc/passwd", "root:x:0:0::/:\n").end();
        let good = arena.image(&[Layer::plain(good)]);
        arena.tag("good", good);
        arena
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.sandbox.path(name)
    }

    /// The directory outside, by its absolute name.
    pub(super) fn outside(&self) -> String {
        self.path("outside").to_str().unwrap().to_owned()
    }

    /// A path in the unpacked root filesystem.
    pub(super) fn rootfs(&self, name: &str) -> PathBuf {
        self.path("bundle/rootfs").join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.rootfs(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Whether there is something of that name, be it a dangling link.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rootfs(name).symlink_metadata().is_ok()
    }

    pub(super) fn metadata(&self, name: &str) -> fs::Metadata {
        self.rootfs(name).symlink_metadata().unwrap()
    }

    /// Stores a blob and gives its digest.
    pub(super) fn put(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        digest
    }

    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        self.path("img/blobs/sha256").join(&digest["sha256:".len()..])
    }

    /// Stores a blob and gives its descriptor.
    pub(super) fn put_as(&self, bytes: &[u8], media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.put(bytes), "size": bytes.len() })
    }

    pub(super) fn put_json(&self, value: &Value, media_type: &str) -> Value {
        self.put_as(&serde_json::to_vec(value).unwrap(), media_type)
    }

    /// The parts of an image, for a test to spoil: its manifest, of which the layers are
    /// stored, and its configuration, which is not.
    pub(super) fn parts(&self, layers: &[Layer]) -> (Value, Value) {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let descriptors = layers.iter().map(|layer| self.put_as(&layer.blob, &layer.media_type));
        let manifest = json!({
            "schemaVersion": 2,
            "config": null,
            "layers": descriptors.collect::<Vec<_>>(),
        });
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        (manifest, config)
    }

    /// Stores an image of its parts and gives the descriptor of its manifest.
    pub(super) fn join(&self, mut manifest: Value, config: &Value) -> Value {
        if manifest["config"].is_null() {
            manifest["config"] = self.put_json(config, media_type::IMAGE_CONFIG);
        }
        self.put_json(&manifest, media_type::IMAGE_MANIFEST)
    }

    /// Stores an image of these layers.
    pub(super) fn image(&self, layers: &[Layer]) -> Value {
        let (manifest, config) = self.parts(layers);
        self.join(manifest, &config)
    }

    /// Adds an entry to the index.
    pub(super) fn tag(&self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        let mut index = self.sandbox.json("img/index.json");
        index["manifests"].as_array_mut().unwrap().push(descriptor);
        fs::write(self.path("img/index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }

    pub(super) fn write_index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.path("img/index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }

    /// What must not change outside: everything of every file but the times of access.
    pub(super) fn surroundings(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let walk = walkdir::WalkDir::new(self.path("")).min_depth(1).into_iter();
        for entry in walk.filter_entry(|entry| entry.file_name() != "bundle") {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(self.path("")).unwrap().to_owned();
            let metadata = entry.path().symlink_metadata().unwrap();
            let (mode, owner) = (metadata.mode(), (metadata.uid(), metadata.gid()));
            let times = (metadata.mtime_nsec(), metadata.ctime_nsec(), metadata.nlink());
            let size = metadata.size();
            found.insert(path, format!("{mode:o} {owner:?} {times:?} {size}"));
        }
        found
    }

    /// Runs the program within limits. It is killed where it would hang.
    #[track_caller]
    pub(super) fn run_within<S: AsRef<OsStr>>(&self, words: &[S], limits: Limits) -> Run {
        watch(self.sandbox.command(words), limits)
    }

    /// As [`Arena::run_within`], another command, which becomes this program.
    #[track_caller]
    pub(super) fn run_watched(command: Command, limits: Limits) -> Run {
        watch(command, limits)
    }

    /// Asserts what holds after every refusal.
    #[track_caller]
    pub(super) fn refused(&self, name: &str, run: &Run) {
        let line = run.fails();
        assert!(!line.contains("panic"), "{name}: {line}");
        assert!(line.len() < 5000, "{name}: the message has {} bytes", line.len());
        let left: Vec<_> = match fs::read_dir(self.path("bundle")) {
            Ok(names) => names.map(|entry| entry.unwrap().file_name()).collect(),
            Err(_) => Vec::new(),
        };
        assert!(left.is_empty(), "{name} left {left:?}");
    }

    /// Unpacks the image `bad`, asserts the answer, and that nothing outside has changed and
    /// the bundle is good for another image. Tells whether it was unpacked.
    #[track_caller]
    pub(super) fn unpack_bad(&self, name: &str, answer: Answer, limits: Limits) -> bool {
        self.unpack_with(name, answer, limits, &[])
    }

    /// As [`Arena::unpack_bad`], with more flags.
    #[track_caller]
    pub(super) fn unpack_with(
        &self,
        name: &str,
        answer: Answer,
        limits: Limits,
        flags: &[&str],
    ) -> bool {
        let before = self.surroundings();
        let words = [&["unpack", "--image=img:bad"], flags, &["bundle"]].concat();
        let run = self.run_within(&words, limits);
        assert_eq!(self.surroundings(), before, "{name} changed something outside");
        assert!(!Path::new("/escape").exists(), "{name}");
        let is_unpacked = run.status() == Some(0);
        self.validated(name, answer, limits);
        assert_eq!(self.surroundings(), before, "{name} changed something outside");
        if is_unpacked {
            assert!(answer != Answer::Refuse, "{name} was unpacked");
        } else {
            self.refused(name, &run);
            assert!(answer != Answer::Succeed, "{name}: {}", run.stderr());
            self.sandbox.umoci(&["unpack", "--image=img:good", "bundle"]).succeeds_silently();
        }
        is_unpacked
    }

    /// Asserts that the image `bad` gets an answer, and if it is good after all that nothing is
    /// wrong with it but what the specification forbids: the same name twice.
    #[track_caller]
    fn validated(&self, name: &str, answer: Answer, limits: Limits) {
        let run = self.run_within(&["validate", "--image=img:bad"], limits);
        assert!(matches!(run.status(), Some(0 | 3)), "{name}: {}", run.stderr());
        let text = run.stdout();
        let mut errors = text.lines().filter(|line| line.starts_with("error: "));
        let is_right = |line: &str| line.starts_with("error: tar-duplicate: ");
        assert!(answer != Answer::Succeed || errors.all(is_right), "{name}: {text}");
    }
}

/// Runs a program within limits.
#[track_caller]
fn watch(mut command: Command, limits: Limits) -> Run {
    let started = Instant::now();
    let allowed = Duration::from_secs(limits.seconds) * PATIENCE;
    let is_over = |used: Duration| used > allowed || started.elapsed() > allowed * COMPANY;
    // Into files, since nobody reads before the end.
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(&child));
        if is_over(processor_time(&child)) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(most <= limits.memory, "{command:?} took {} MiB", most >> 20);
    let read = |file: &mut fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (stdout, stderr) = (read(&mut stdout), read(&mut stderr));
    Run::watched(&command, Output { status: child.wait().unwrap(), stdout, stderr })
}

/// How long a program has used a processor, with all its threads.
fn processor_time(child: &Child) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(child.id().try_into().unwrap()));
    // One that has ended has none.
    clock.and_then(clock_gettime).map_or(Duration::ZERO, Duration::from)
}

/// The most memory that a program had, in bytes.
fn peak(child: &Child) -> u64 {
    let about = PathBuf::from(format!("/proc/{}", child.id()));
    // A child that has only just begun may still be seen in the memory of this process.
    if fs::read_link(about.join("exe")).ok() == std::env::current_exe().ok() {
        return 0;
    }
    let status = fs::read_to_string(about.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}

/// An attack by the layers of an image.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) answer: Answer,
    pub(super) layers: Vec<Layer>,
    pub(super) check: fn(&Arena),
    pub(super) limits: Limits,
}

impl Attack {
    /// Plain layers, from archives that are complete.
    pub(super) fn new<const N: usize>(
        name: &'static str,
        answer: Answer,
        layers: [Archive; N],
    ) -> Self {
        let layers = layers.into_iter().map(|archive| Layer::plain(archive.end())).collect();
        Self::of(name, answer, layers)
    }

    pub(super) fn of(name: &'static str, answer: Answer, layers: Vec<Layer>) -> Self {
        Self { name, answer, layers, check: |_| {}, limits: Limits::default() }
    }

    /// What has to hold once it is unpacked.
    pub(super) fn then(mut self, check: fn(&Arena)) -> Self {
        self.check = check;
        self
    }

    pub(super) fn within(mut self, seconds: u64, mebibytes: u64) -> Self {
        self.limits = Limits { seconds, memory: mebibytes << 20 };
        self
    }
}

/// Carries out attacks, one after another. `attacks` gets the name of the directory outside.
#[track_caller]
pub(super) fn each(attacks: impl FnOnce(&str) -> Vec<Attack>) {
    if !crate::harness::needs_root() {
        return;
    }
    let arena = Arena::new();
    let index = fs::read(arena.path("img/index.json")).unwrap();
    for attack in attacks(&arena.outside()) {
        arena.tag("bad", arena.image(&attack.layers));
        if arena.unpack_bad(attack.name, attack.answer, attack.limits) {
            (attack.check)(&arena);
        }
        fs::remove_dir_all(arena.path("bundle")).unwrap();
        fs::write(arena.path("img/index.json"), &index).unwrap();
    }
}

/// The lower layer that attacks start from.
pub(super) fn base() -> Archive {
    Archive::new().dir("etc").file("etc/passwd", "root:x:0:0::/:\n")
}
