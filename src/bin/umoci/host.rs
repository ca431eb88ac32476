// SPDX-License-Identifier: Apache-2.0
//! What commands ask of the machine: who is calling, and what a new image says
//! of its platform, in the names that image configurations use (Go's `GOOS`,
//! `GOARCH` and, on ARM, variants).

use std::path::Path;

use jiff::Zoned;
use nix::sys::stat::{Mode, umask};
use umoci::oci::Platform;
use umoci::rootfs::Owner;
use umoci::snapshot::MtreeHeader;

/// Makes new files open to their owner, who works with them: of the umask, the bits for others count.
/// To be called before there are other threads, since the umask is of the whole process.
pub(crate) fn keep_files_open_to_their_owner() {
    let mask = umask(Mode::S_IRWXU);
    umask(mask.difference(Mode::S_IRWXU));
}

/// Who is running this program.
pub(crate) fn caller() -> Owner {
    Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
}

/// The head of a manifest of `tree`: for people, so what cannot be found out is left out.
pub(crate) fn mtree_header(tree: &Path) -> MtreeHeader {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let uid = caller().uid;
    MtreeHeader {
        user: user_name(&read("/etc/passwd"), uid).unwrap_or_else(|| uid.to_string()),
        machine: read("/proc/sys/kernel/hostname").trim_end().to_owned(),
        tree: tree.to_string_lossy().into_owned(),
        date: Zoned::now().strftime("%a %b %e %H:%M:%S %Y").to_string(),
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields.get(2) == Some(&uid.as_str()));
    Some((*found.next()?.first()?).to_owned())
}

/// The platform of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) os: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) variant: &'static str,
}

impl Host {
    /// Asks the system.
    pub(crate) fn read() -> Self {
        let architecture = architecture(std::env::consts::ARCH, cfg!(target_endian = "little"));
        let cpu_info = match architecture {
            "arm" => std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            _ => String::new(),
        };
        let variant = variant(architecture, &cpu_info);
        Self { os: std::env::consts::OS, architecture, variant }
    }

    /// As an image names it.
    pub(crate) fn platform(&self) -> Platform {
        Platform::new(self.os, self.architecture, self.variant)
    }
}

fn architecture(rust_name: &'static str, little_endian: bool) -> &'static str {
    match (rust_name, little_endian) {
        ("x86_64", _) => "amd64",
        ("x86", _) => "386",
        ("aarch64", _) => "arm64",
        ("powerpc64", true) => "ppc64le",
        ("powerpc64", false) => "ppc64",
        ("mips", true) => "mipsle",
        ("mips64", true) => "mips64le",
        ("loongarch64", _) => "loong64",
        (name, _) => name,
    }
}

/// The variant of an ARM processor; other architectures have none here.
fn variant(architecture: &str, cpu_info: &str) -> &'static str {
    match architecture {
        "arm64" => "v8",
        "arm" => arm_variant(cpu_info),
        _ => "",
    }
}

fn arm_variant(cpu_info: &str) -> &'static str {
    let field = |name: &str| {
        let mut fields = cpu_info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let number = field("CPU architecture").unwrap_or_default();
    // The Raspberry Pi 1 and Zero call themselves architecture 7, but have an ARMv6 core.
    if number == "7" && field("model name").unwrap_or_default().starts_with("ARMv6-compatible") {
        return "v6";
    }
    match number.bytes().next() {
        Some(b'8' | b'A') => "v8",
        Some(b'7' | b'?') => "v7",
        Some(b'6') => "v6",
        Some(b'5') => "v5",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let passwd = "root:x:0:0::/:/bin/sh\nmail:x:8:8::/:\nbroken\n";
        assert_eq!(user_name(passwd, 8).as_deref(), Some("mail"));
        assert_eq!(user_name(passwd, 9), None);
    }

    #[test]
    fn architectures_have_their_go_names() {
        for (rust_name, little_endian, go_name) in [
            ("x86_64", true, "amd64"),
            ("aarch64", true, "arm64"),
            ("powerpc64", true, "ppc64le"),
            ("powerpc64", false, "ppc64"),
            ("s390x", false, "s390x"),
            ("riscv64", true, "riscv64"),
        ] {
            assert_eq!(architecture(rust_name, little_endian), go_name);
        }
    }

    #[test]
    fn only_arm_has_variants() {
        assert_eq!(variant("amd64", "CPU architecture: 7\n"), "");
        assert_eq!(variant("arm64", ""), "v8");
        for (cpu_info, expected) in [
            ("processor\t: 0\nCPU architecture: 7\n", "v7"),
            ("model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n", "v6"),
            ("model name\t: ARMv7 Processor rev 4 (v7l)\nCPU architecture: 7\n", "v7"),
            ("CPU architecture: 8\n", "v8"),
            ("CPU architecture: AArch64\n", "v8"),
            ("CPU architecture: 5TEJ\n", "v5"),
            ("", ""),
        ] {
            assert_eq!(variant("arm", cpu_info), expected, "{cpu_info:?}");
        }
    }
}
