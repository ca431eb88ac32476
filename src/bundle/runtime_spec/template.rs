// SPDX-License-Identifier: Apache-2.0
//! The runtime configuration of an image that says nothing: what every
//! container of this tool starts from.

use super::document::{
    Capabilities, DeviceRule, Linux, Mount, Namespace, Process, ProcessUser, Resources, Rlimit,
    Root, RuntimeSpec,
};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn runtime_spec() -> RuntimeSpec {
    RuntimeSpec {
        oci_version: super::VERSION.into(),
        process: process(),
        root: Root::default(),
        hostname: "umoci-default".into(),
        mounts: mounts(),
        annotations: std::collections::BTreeMap::new(),
        linux: linux(),
    }
}

fn process() -> Process {
    let capabilities = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Process {
        terminal: true,
        user: ProcessUser::default(),
        args: strings(&["sh"]),
        env: strings(&[PATH, "TERM=xterm"]),
        cwd: "/".into(),
        capabilities: Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            inheritable: capabilities.clone(),
            permitted: capabilities.clone(),
            ambient: capabilities,
        },
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }],
        no_new_privileges: true,
    }
}

fn mounts() -> Vec<Mount> {
    let devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        Mount::new("/proc", "proc", "proc", &[]),
        Mount::new("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        Mount::new("/dev/pts", "devpts", "devpts", &devpts),
        Mount::new(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        Mount::new("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        Mount::new("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        Mount::new(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn linux() -> Linux {
    let namespaces = ["cgroup", "pid", "network", "ipc", "uts", "mount"];
    Linux {
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
        resources: Some(Resources {
            devices: vec![DeviceRule { allow: false, access: "rwm".into() }],
        }),
        namespaces: namespaces.map(Namespace::new).into(),
        masked_paths: strings(&[
            "/proc/kcore",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: strings(&[
            "/proc/asound",
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ]),
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}
