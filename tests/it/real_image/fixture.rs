// SPDX-License-Identifier: Apache-2.0
//! An image of Debian that all tests share: once as a single layer, once with
//! more layers on it, made by Debian's own umoci, so that nothing of this
//! project has had a hand in it. It is made once per run and only read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use filetime::FileTime;

use super::tree::Tree;
use crate::harness::{OTHER_WAYS, Sandbox, go_umoci, needs_root, peer, skip};

/// The first layer on Debian: one of everything.
const EVERYTHING: &str = r#"
    mkdir odd attributes modes nodes links links/a links/b empty-directory
    for name in 'with space' "new$(printf '\nx')line" 'back\slash' '\040' '#hash' '*glob[?]' \
        -leading ... "$(printf '\377\376')" "$(printf '%0255d' 0)" 'Raíz' 'trailing '; do
        echo "$name" >"odd/$name"
    done
    : >odd/empty
    long=odd/$(printf '%0120d' 1)/$(printf '%0120d' 2)
    mkdir -p "$long"
    echo deep >"$long/file"
    ln -s "../$long/file" odd/far

    echo plain >attributes/file
    setfattr -n user.text -v value attributes/file
    setfattr -n user.bytes -v 0x00ff0a3d00 attributes/file
    setfattr -n trusted.note -v 'of root' attributes/file
    mkdir attributes/directory
    setfattr -n user.text -v directory attributes/directory
    setfacl -m u:33:r attributes/file
    setfacl -m d:g:44:rx attributes/directory
    cp usr/bin/true attributes/capable
    setcap cap_net_raw,cap_chown+ep attributes/capable

    for mode in 4755 2755 6711 0000 1777; do
        echo $mode >modes/file-$mode
        mkdir modes/dir-$mode
        chown 33:44 modes/*-$mode
        chmod $mode modes/*-$mode
    done
    echo large >modes/large-owner
    chown 4000000000:3000000 modes/large-owner
    touch -d '1950-01-01T00:00:00Z' modes/large-owner

    mknod nodes/char c 1 3
    mknod nodes/block b 7 300
    mkfifo -m 0620 nodes/fifo
    chown 1:5 nodes/char

    echo shared >links/a/one
    ln links/a/one links/b/two
    ln links/a/one usr/share/three
    ln -s nowhere links/a/dangling
    ln -P links/a/dangling links/b/dangling
    ln -P nodes/fifo links/b/fifo

    mkdir -p swap/to-file/sub swap/to-link/sub swap/to-fifo elsewhere
    for directory in to-file to-link to-fifo to-file/sub to-link/sub; do
        echo old >swap/$directory/old
    done
    echo file >swap/file-to-directory
    ln -s ../elsewhere swap/link-to-directory
    echo file >swap/file-to-link
    echo kept >elsewhere/kept

    truncate -s 48M sparse
    printf end >>sparse
"#;

/// The second: what a package manager and an administrator do.
const CHANGED: &str = r"
    chroot . dpkg --purge --force-depends tzdata >/dev/null
    rm -r links/b swap/to-file swap/to-link swap/to-fifo
    echo file >swap/to-file
    ln -s ../elsewhere swap/to-link
    mkfifo swap/to-fifo
    rm swap/file-to-directory swap/link-to-directory swap/file-to-link
    mkdir -p swap/file-to-directory/new swap/link-to-directory
    echo new >swap/link-to-directory/new
    ln -s to-file swap/file-to-link
    setfattr -x user.text attributes/file
    setfattr -n user.text -v changed attributes/directory
    setcap cap_sys_nice+ep attributes/capable
    chmod 0711 modes/file-4755 modes/dir-1777
    chown 5:6 modes/file-6711 nodes/block
    ln links/a/one links/c
    rm odd/-leading 'odd/with space'
    rm nodes/char
    mknod nodes/char c 1 5
    printf more >>sparse
";

/// The third: some of it back, some of it gone.
const AGAIN: &str = r"
    rm swap/to-link swap/to-file
    mkdir swap/to-link swap/to-file
    echo again >swap/to-link/old
    echo again >odd/-leading
    rm -r links swap/file-to-directory usr/share/three
    mkdir links
    echo other >links/c
    ln links/c links/d
    ln links/c usr/share/e
    echo 'the same name' >elsewhere/old
    rm sparse
    mkdir sparse
";

/// The shared image.
pub(crate) struct Fixture {
    sandbox: Sandbox,
    _janitor: Child,
    /// Debian's program, which made it.
    pub(crate) go: PathBuf,
    /// What Debian's umoci unpacked of `img:single`.
    pub(crate) single: Tree,
    /// What it packed as `img:layers`.
    pub(crate) layers: Tree,
}

impl Fixture {
    /// The image, or a word on what is missing for it.
    pub(crate) fn get() -> Option<&'static Self> {
        static FIXTURE: OnceLock<Option<Fixture>> = OnceLock::new();
        let go = go_umoci()?;
        for program in ["setfattr", "setfacl", "setcap"] {
            peer(program)?;
        }
        if !needs_root() {
            return None;
        }
        let fixture = FIXTURE.get_or_init(|| Self::make(go)).as_ref();
        fixture.or_else(|| skip("a Debian root filesystem: hack/debian-rootfs.sh"))
    }

    fn make(go: PathBuf) -> Option<Self> {
        let tar = debian_tar()?;
        let sandbox = Sandbox::new();
        let janitor = removed_after_this_process(&sandbox.path(""));
        let umoci = |words: &[&str]| sandbox.peer(&go, words).succeeds();
        umoci(&["init", "--layout", "img"]);
        umoci(&["new", "--image", "img:base"]);
        umoci(&["config", "--image", "img:base", "--config.cmd=/bin/sh", "--config.env=A=B"]);
        umoci(&["raw", "add-layer", "--image", "img:base", "--tag", "single", &tar]);
        umoci(&["unpack", "--image", "img:single", "bundle"]);
        let rootfs = sandbox.path("bundle/rootfs");
        let single = Tree::of(&rootfs);
        for script in [EVERYTHING, CHANGED, AGAIN] {
            shell(&rootfs, script);
            drop_fractions(&rootfs);
            umoci(&["repack", "--refresh-bundle", "--image", "img:layers", "bundle"]);
        }
        let layers = Tree::of(&rootfs);
        Some(Self { sandbox, _janitor: janitor, go, single, layers })
    }

    /// A sandbox whose layout `img` has both images and is the caller's to change.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        for directory in ["img", "img/blobs", "img/blobs/sha256"] {
            std::fs::create_dir(sandbox.path(directory)).unwrap();
        }
        let blobs = std::fs::read_dir(self.sandbox.path("img/blobs/sha256")).unwrap();
        for blob in blobs {
            let blob = blob.unwrap();
            let copy = sandbox.path("img/blobs/sha256").join(blob.file_name());
            std::fs::hard_link(blob.path(), copy).unwrap();
        }
        for file in ["img/oci-layout", "img/index.json"] {
            std::fs::copy(self.sandbox.path(file), sandbox.path(file)).unwrap();
        }
        sandbox
    }
}

/// Where the tar of Debian is, made when it is not there yet.
fn debian_tar() -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/debian-rootfs.sh");
    let output = Command::new(&script).arg("minbase").stderr(Stdio::inherit()).output().unwrap();
    let name = String::from_utf8(output.stdout).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name.trim_end());
    output.status.success().then(|| path.into_os_string().into_string().unwrap())
}

/// What is shared by all tests lives until the process ends, without a last
/// word: another process waits for that and tidies up.
fn removed_after_this_process(directory: &Path) -> Child {
    let script = "trap '' INT TERM HUP; cat; exec rm -rf -- \"$1\"";
    let mut janitor = Command::new("sh");
    janitor.args(["-c", script, "sh"]).arg(directory).stdin(Stdio::piped());
    // Its input is open until this process is no more.
    janitor.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs a script of commands in a directory.
#[track_caller]
pub(crate) fn shell(directory: &Path, script: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-eus").current_dir(directory).stdin(Stdio::piped());
    command.env("LC_ALL", "C").env("PATH", format!("{path}:/usr/sbin:/sbin"));
    // The last one is a place that need not be there once the root is another one.
    for variable in OTHER_WAYS.iter().chain(&["TMPDIR"]) {
        command.env_remove(variable);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("umask 022\n{{\n{script}\n}} </dev/null\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}\n{messages}");
}

/// Sets back every time to the whole second. Layers have no more, and Debian's
/// umoci rounds where this program cuts.
pub(crate) fn drop_fractions(top: &Path) {
    for entry in walkdir::WalkDir::new(top) {
        let entry = entry.unwrap();
        let time = FileTime::from_last_modification_time(&entry.metadata().unwrap());
        if time.nanoseconds() != 0 {
            let whole = FileTime::from_unix_time(time.unix_seconds(), 0);
            filetime::set_symlink_file_times(entry.path(), whole, whole).unwrap();
        }
    }
}
