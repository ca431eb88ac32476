// SPDX-License-Identifier: Apache-2.0
//! The way back to an image that others may have changed meanwhile.

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Descriptor, DescriptorPath, Platform};

use super::search::{Found, Platforms, Source, Suit, search};
use super::{EntryName, Layout};

impl Layout {
    /// Finds where an image is, among what is called `name`, that once was at `image`: that image,
    /// or else the one for the same platform, of the same version of the operating system. `None`
    /// if there is no such image.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] when there are several and no order among them.
    pub fn find_again(
        &self,
        name: &EntryName,
        image: &Descriptor,
    ) -> Result<Option<DescriptorPath>> {
        let entries = self.entries_named(name)?;
        let found = search(self, entries.clone(), &mut |found| {
            Ok(is_it(found, image).then_some(Suit { rank: 0, source: Source::Stated }))
        })?;
        if let Found::One(path) = found {
            return DescriptorPath::new(path).map(Some);
        }
        let mut platforms = Platforms::new(self);
        let Some(platform) = platforms.of(image)? else { return Ok(None) };
        let found = search(self, entries, &mut |found| {
            let offer = platforms.find(found)?.filter(|(offered, _)| offered.is_twin(&platform));
            Ok(offer.map(|(_, source)| Suit { rank: 0, source }))
        })?;
        match found {
            Found::None => Ok(None),
            Found::One(path) => DescriptorPath::new(path).map(Some),
            Found::Several => {
                let message = format!("tag is ambiguous: {name} has several images for {platform}");
                Err(Error::new(ErrorKind::Ambiguous, message))
            }
        }
    }
}

/// Whether an entry leads to the same image, and not for another platform: one image can have
/// several entries.
fn is_it(entry: &Descriptor, image: &Descriptor) -> bool {
    let stated = |of: &Descriptor| of.platform.clone().filter(Platform::is_stated);
    entry.digest == image.digest
        && match (stated(entry), stated(image)) {
            (Some(entry), Some(image)) => entry == image,
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{name, put_image, put_index, scratch};
    use super::*;

    /// An image for a version of an operating system.
    fn versioned(mut image: Descriptor, version: &str) -> Descriptor {
        let os_version = version.into();
        image.platform = Some(Platform { os_version, ..Platform::new("windows", "amd64", "") });
        image
    }

    #[test]
    fn a_platform_is_one_of_a_version() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let put = |bytes: &[u8], version| versioned(put_image(&writer, bytes), version);
        let images = [put(b"a", "1"), put(b"b", "2")];
        writer.tag(&name("t"), put_index(&writer, images.to_vec())).unwrap();
        let find = |image: &Descriptor| {
            let found = layout.find_again(&EntryName::from(&name("t")), image).unwrap();
            found.map(|path| path.target().clone())
        };
        // What has become of them is found by the version.
        assert_eq!(find(&put(b"old", "2")).as_ref(), Some(&images[1]));
        assert_eq!(find(&put(b"old", "1")).as_ref(), Some(&images[0]));
        assert_eq!(find(&put(b"old", "3")), None);
        // The same image for another version is another entry.
        assert_eq!(find(&put(b"a", "3")), None);
        assert_eq!(find(&put_image(&writer, b"b")).as_ref(), Some(&images[1]));
    }
}
