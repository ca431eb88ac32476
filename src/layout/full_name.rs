// SPDX-License-Identifier: Apache-2.0
//! Full names of images, with the registry that they come from, and the short forms that
//! people type instead.

use crate::oci::Descriptor;

use super::REF_NAME;

/// The annotation in which containerd and Docker put an image's full name. The tag alone is
/// in [`REF_NAME`] then; others, such as podman, have the full name there.
pub const FULL_NAME: &str = "io.containerd.image.name";

/// The registry that is meant where a name does not begin with one, and the part of it for
/// names without a `/`.
const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_REPOSITORY: &str = "library";

/// The tag that is meant where there is none.
const DEFAULT_TAG: &str = "latest";

/// The full name of what an entry of `index.json` holds, if it has one.
pub fn full_name(entry: &Descriptor) -> Option<&str> {
    full_name_in(|name| entry.annotations.get(name).map(String::as_str))
}

/// The full name that annotations give.
pub(crate) fn full_name_in<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let is_full = |name: &&str| name.contains(['/', ':']);
    annotation(FULL_NAME).or_else(|| annotation(REF_NAME).filter(is_full))
}

/// Whether somebody who says `short` can mean what is called `full`: it says the same, or
/// leaves out what stands in front, up to a `/`.
pub(super) fn is_short_for(short: &str, full: &str) -> bool {
    let (short, full) = (tagged(short), tagged(full));
    let rest = full.strip_suffix(&short);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        || with_registry(&short) == with_registry(&full)
}

/// Adds the tag, if there is neither a tag nor a digest.
fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:{DEFAULT_TAG}") }
}

/// Adds the registry, as clients do it.
fn with_registry(name: &str) -> String {
    let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    if registry == DEFAULT_REGISTRY && !rest.contains('/') {
        return format!("{registry}/{DEFAULT_REPOSITORY}/{rest}");
    }
    format!("{registry}/{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_leave_out_what_stands_in_front() {
        let alpine = "docker.io/library/alpine:3.20";
        for (short, full, is_meant) in [
            (alpine, alpine, true),
            ("alpine:3.20", alpine, true),
            ("library/alpine:3.20", alpine, true),
            ("docker.io/alpine:3.20", alpine, true),
            (alpine, "alpine:3.20", true),
            ("alpine", "docker.io/library/alpine:latest", true),
            ("alpine", "docker.io/library/alpine", true),
            ("x/app:1", "registry.example.org:5000/x/app:1", true),
            ("app:1", "localhost/app:1", true),
            ("alpine", alpine, false),
            ("lpine:3.20", alpine, false),
            ("3.20", alpine, false),
            ("quay.io/alpine:3.20", alpine, false),
            ("app:1", "registry.example.org/app:10", false),
            ("example.org/app:1", "registry.example.org/app:1", false),
        ] {
            assert_eq!(is_short_for(short, full), is_meant, "{short} {full}");
        }
    }
}
