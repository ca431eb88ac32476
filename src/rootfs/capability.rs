// SPDX-License-Identifier: Apache-2.0
//! File capabilities under an id map (`capabilities(7)`, "File capability
//! versioning"): version 2 gives them in every user namespace, and only to
//! files of a privileged writer; version 3 only where a certain host id is
//! root. Layers hold version 2, which means the container's root.

use crate::error::{Error, Result};
use crate::idmap::IdMap;
use crate::rootfs::Xattr;

/// The attribute that holds the capabilities of a file.
pub(super) const NAME: &[u8] = b"security.capability";
/// The version is in the last byte of a little-endian number; its other bits are flags.
const VERSION_AT: usize = 3;
const VERSION_2: u8 = 2;
const VERSION_3: u8 = 3;
/// The sizes of the two versions: the later one has the id at its end.
const SIZE_2: usize = 20;
const SIZE_3: usize = 24;

/// Turns what a layer holds into what is on disk under a map.
pub fn capability_to_host(xattr: &mut Xattr, uids: &IdMap) {
    let Some(root) = host_root(xattr, uids) else { return };
    if xattr.value.len() == SIZE_2 && xattr.value.get(VERSION_AT) == Some(&VERSION_2) {
        let mut value = [&*xattr.value, &root.to_le_bytes()].concat();
        if let Some(version) = value.get_mut(VERSION_AT) {
            *version = VERSION_3;
        }
        xattr.value = value.into();
    }
}

/// Turns what is on disk into what a layer holds. `is_root` says whether a host id is root in the
/// container.
///
/// # Errors
/// When the capabilities are for another root: no layer can say so.
pub fn capability_to_container(xattr: &mut Xattr, is_root: impl Fn(u32) -> bool) -> Result<()> {
    let is_3 = xattr.value.len() == SIZE_3 && xattr.value.get(VERSION_AT) == Some(&VERSION_3);
    if *xattr.name != *NAME || !is_3 {
        return Ok(());
    }
    let Some((capability, root)) = xattr.value.split_last_chunk() else { return Ok(()) };
    let root = u32::from_le_bytes(*root);
    if !is_root(root) {
        return Err(Error::unsupported(format!(
            "its capabilities are for root of another user namespace (host id {root}); \
             set them again with setcap"
        )));
    }
    let mut value = capability.to_vec();
    if let Some(version) = value.get_mut(VERSION_AT) {
        *version = VERSION_2;
    }
    xattr.value = value.into();
    Ok(())
}

/// The host id of the container's root; `None` when there is nothing to translate.
fn host_root(xattr: &Xattr, uids: &IdMap) -> Option<u32> {
    if *xattr.name != *NAME || uids.ranges().is_none() {
        return None;
    }
    uids.to_host(0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(value: &[u8]) -> Xattr {
        Xattr { name: NAME.into(), value: value.into() }
    }

    #[test]
    fn goes_there_and_back() {
        let layer =
            b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
        let disk =
            b"\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa0\x86\x01\x00";
        let uids = IdMap::parse(&["0:100000:65536"]).unwrap();
        let mut xattr = capability(layer);
        capability_to_host(&mut xattr, &uids);
        assert_eq!(xattr, capability(disk));
        capability_to_host(&mut xattr, &uids);
        assert_eq!(xattr, capability(disk), "it is one already");
        let error = capability_to_container(&mut xattr, |id| id == 5).unwrap_err();
        assert!(error.to_string().contains("(host id 100000)"), "{error}");
        assert_eq!(xattr, capability(disk), "it is another root's");
        capability_to_container(&mut xattr, |id| id == 100_000).unwrap();
        assert_eq!(xattr, capability(layer));
    }

    #[test]
    fn leaves_everything_else_alone() {
        let uids = IdMap::parse(&["0:100000:65536"]).unwrap();
        for value in [&b""[..], b"\x01\x00\x00\x02", &[2; 24], &[3; 20]] {
            let mut xattr = capability(value);
            capability_to_host(&mut xattr, &uids);
            capability_to_container(&mut xattr, |_| true).unwrap();
            assert_eq!(xattr, capability(value));
        }
        let mut xattr = capability(&[2; 20]);
        capability_to_host(&mut xattr, &IdMap::IDENTITY);
        assert_eq!(xattr, capability(&[2; 20]));
        let mut other = Xattr { name: (*b"user.x").into(), value: [2; 20].into() };
        capability_to_host(&mut other, &uids);
        assert_eq!(*other.value, [2; 20]);
    }
}
