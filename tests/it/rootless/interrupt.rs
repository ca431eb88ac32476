// SPDX-License-Identifier: Apache-2.0
//! SIGINT and SIGTERM: work ends soon, with 128 and the number of the signal,
//! and leaves nothing that it has made.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scene;
use crate::harness::{Sandbox, needs_root};

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

fn wait_for(what: &Path) {
    let start = Instant::now();
    while !what.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what:?} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The private directory of the unpack into a bundle that is running.
fn staging(bundle: &Path) -> std::path::PathBuf {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is unpacked");
        let entries = std::fs::read_dir(bundle).into_iter().flatten();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        if let Some(path) = paths.find(|path| path.to_str().unwrap().contains(".umoci-unpack-")) {
            return path;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn an_unpack_that_is_stopped_leaves_nothing() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::sandbox();
    large_image(&sandbox);
    for (name, stop, status) in
        [("int", Signal::SIGINT, 130), ("term", Signal::SIGTERM, 143), ("hup", Signal::SIGHUP, 129)]
    {
        let bundle = format!("home/{name}");
        let words = ["unpack", "--rootless", "--image=img:large", &bundle];
        let mut command = sandbox.command_of_ordinary_user(&words);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&staging(&sandbox.path(&bundle)).join("rootfs/many/1"));
        signal(&child, stop);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.ends_with("interrupted\n") && text.lines().count() == 1, "{text}");
        assert!(!sandbox.path(&bundle).exists());
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
    scene::touch(&sandbox.path("home/b/rootfs"));
    let rootfs = sandbox.path("home/b/rootfs");
    let modes = || -> Vec<_> {
        let paths = scene::paths(&rootfs);
        paths.iter().map(|path| path.symlink_metadata().unwrap().permissions().mode()).collect()
    };
    let (before, layout) = (modes(), sandbox.tree("img"));
    for delay in [5, 50, 150] {
        let words = ["repack", "--rehash", "--image=img:new", "home/b"];
        let mut command = sandbox.command_of_ordinary_user(&words);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        signal(&child, Signal::SIGTERM);
        let status = child.wait().unwrap();
        // In the first moments nobody watches for signals, and nothing has been begun.
        assert!(status.code() == Some(143) || status.signal() == Some(15), "{delay}: {status}");
        assert_eq!(modes(), before);
        assert_eq!(sandbox.tree("img"), layout);
    }
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
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(sandbox.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&staging(&sandbox.path("quiet")).join("rootfs/many/1"));
    signal(&child, Signal::SIGINT);
    assert!(child.wait().unwrap().success());
    assert!(sandbox.path("quiet/umoci.json").exists());
}
