// SPDX-License-Identifier: Apache-2.0
//! From what somebody calls an image to the one image that it means.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Descriptor, DescriptorPath, Digest, Platform};

use super::search::{Found, Platforms, Source, Suit, search};
use super::select::{self, DEFAULT_NAME, LISTED, Selection, locate};
use super::{EntryName, Layout, RefName, full_name, unnamed};

/// What suits if everything does.
const ANY: Suit = Suit { rank: 0, source: Source::Unstated };

/// How an image of a layout is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// Which entry of `index.json`.
    pub selector: Selector,
    /// Which of the images that the entry leads to.
    pub platform: PlatformChoice,
}

/// What an entry of `index.json` is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Exactly this name.
    Name(RefName),
    /// What somebody calls it: its name, or else its full name or a short form of that. With a
    /// digest behind it, `name@algorithm:hex`, it must lead to a manifest or index of that digest.
    Reference(RefName),
    /// The digest of a manifest or an index, there or in an index that is found from there.
    Digest(Digest),
    /// What an entry of `index.json` that cannot be used has in the place of a digest.
    Unread(String),
    /// Nothing in particular: the name `latest`, or else the only image. Signatures and the like
    /// do not count, and an image with several entries counts once. Of several images without a
    /// name, the platform tells which one is meant.
    Default,
}

/// Which image is meant where an entry leads to several, for different platforms.
///
/// The platform of an image is that which its entry in an index states, or else its
/// configuration. Entries that say that they hold no image (of platform `unknown/unknown`, or
/// with an annotation `vnd.docker.reference.type`) are never meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PlatformChoice {
    /// There must be only one.
    #[default]
    Any,
    /// The best one for this platform. If there is only one image, that one.
    Prefer(Platform),
    /// The best one for this platform, and no other.
    Require(Platform),
}

impl From<RefName> for ImageRef {
    fn from(name: RefName) -> Self {
        Self { selector: Selector::Name(name), platform: PlatformChoice::Any }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) | Self::Reference(name) => name.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
            Self::Unread(digest) => digest.escape_debug().fmt(f),
            Self::Default => f.write_str(DEFAULT_NAME),
        }
    }
}

impl Layout {
    /// Finds the only image that a name in `index.json` means, through nested indexes. The
    /// manifest itself is not read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`]
    /// when there are several ways to an image.
    pub fn resolve(&self, name: &RefName) -> Result<DescriptorPath> {
        self.find(&ImageRef::from(name.clone()))
    }

    /// Finds the image that is meant, through nested indexes. Manifests and configurations are
    /// read only where an index does not state the platforms that a choice depends on.
    ///
    /// Of the images in an index that suit a platform equally well the first one is taken, as
    /// the image specification has it. Among several entries of the same name there is no order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`] when the choice of
    /// the platform leaves several, [`ErrorKind::Platform`] when it leaves none.
    pub fn find(&self, image: &ImageRef) -> Result<DescriptorPath> {
        let selector = &image.selector;
        let Selection { entries, pin } = self.select(selector)?;
        let Some(pin) = pin else { return self.find_among(&entries, image) };
        let mut path = self.find_pinned(selector, &entries, &pin)?;
        let pinned: Vec<Descriptor> = path.pop().into_iter().collect();
        path.extend_from_slice(self.find_among(&pinned, image)?.walk());
        DescriptorPath::new(path)
    }

    fn find_among(&self, entries: &[Descriptor], image: &ImageRef) -> Result<DescriptorPath> {
        let selector = &image.selector;
        let found = search(self, entries.to_vec(), &mut |_| Ok(Some(ANY)))?;
        let wanted = match (found, &image.platform) {
            (Found::None, _) => return Err(not_found(selector)),
            (Found::One(path), PlatformChoice::Any | PlatformChoice::Prefer(_)) => {
                return DescriptorPath::new(path);
            }
            (Found::Several, PlatformChoice::Any) => return Err(ambiguous(selector, entries)),
            (_, PlatformChoice::Prefer(wanted) | PlatformChoice::Require(wanted)) => wanted,
        };
        let mut offers = Offers::new(self);
        match search(self, entries.to_vec(), &mut |image| offers.weigh(image, wanted))? {
            Found::One(path) => DescriptorPath::new(path),
            Found::Several => Err(ambiguous(selector, entries)),
            Found::None if offers.several_unknown() => Err(ambiguous(selector, entries)),
            Found::None => Err(Error::new(
                ErrorKind::Platform,
                format!("no image for {wanted} in {}: there is {offers}", call(selector, entries)),
            )),
        }
    }

    /// Finds the one entry of `index.json` that is meant, whatever it leads to.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`] when there are several.
    pub fn entry(&self, selector: &Selector) -> Result<Descriptor> {
        let Selection { mut entries, pin } = self.select(selector)?;
        if let Some(pin) = pin {
            entries = self.find_pinned(selector, &entries, &pin)?.pop().into_iter().collect();
        }
        match &entries[..] {
            [] => Err(not_found(selector)),
            [entry] => Ok(entry.clone()),
            several => Err(ambiguous(selector, several)),
        }
    }

    /// The entries of `index.json` that are meant, in their order. With [`Selector::Digest`] it
    /// is the one that has the digest, which may be an entry of an index below.
    pub fn entries(&self, selector: &Selector) -> Result<Vec<Descriptor>> {
        Ok(self.select(selector)?.entries)
    }

    /// The entries of `index.json` with a name, in their order.
    pub(crate) fn entries_named(&self, name: &EntryName) -> Result<Vec<Descriptor>> {
        let entries = self.index()?.manifests.into_iter();
        Ok(entries.filter(|entry| EntryName::of(entry) == *name).collect())
    }

    /// The entries of `index.json` that are meant, or that lead to what is meant.
    pub(crate) fn roots(&self, selector: &Selector) -> Result<Vec<Descriptor>> {
        let Selector::Digest(digest) = selector else { return self.entries(selector) };
        let path = locate(self, &self.index()?.manifests, digest)?;
        Ok(path.and_then(|path| path.into_iter().next()).into_iter().collect())
    }

    /// The way from one of some entries to what has a digest.
    fn find_pinned(
        &self,
        selector: &Selector,
        entries: &[Descriptor],
        pin: &Digest,
    ) -> Result<Vec<Descriptor>> {
        if let Some(path) = locate(self, entries, pin)? {
            return Ok(path);
        }
        let found: Vec<String> = entries.iter().map(|entry| entry.digest.to_string()).collect();
        if found.is_empty() {
            return Err(not_found(selector));
        }
        let message = format!("{selector} does not lead there, but to {}", found.join(", "));
        Err(Error::new(ErrorKind::Mismatch, message))
    }
}

fn not_found(selector: &Selector) -> Error {
    let message = match selector {
        Selector::Digest(digest) => format!("no image has the digest {digest}"),
        Selector::Unread(digest) => match digest.parse::<Digest>() {
            Ok(digest) => format!("no image has the digest {digest}"),
            Err(error) => return error,
        },
        _ => format!("tag not found: {selector}"),
    };
    Error::new(ErrorKind::NotFound, message)
}

/// What was selected, where no more is said of it than the selector has.
fn call(selector: &Selector, entries: &[Descriptor]) -> String {
    match (selector, entries) {
        (Selector::Default, [entry, ..]) => unnamed::call(entry),
        _ => selector.to_string(),
    }
}

fn ambiguous(selector: &Selector, entries: &[Descriptor]) -> Error {
    let is_nameless = |entry: &Descriptor| EntryName::of(entry).is_nameless();
    if *selector == Selector::Default && entries.len() > 1 && entries.iter().all(is_nameless) {
        let message = format!("several images have no tag: {}", unnamed::list(entries));
        return Error::new(ErrorKind::Ambiguous, message);
    }
    let meanings = entries.iter().filter_map(full_name).collect();
    select::ambiguous(&call(selector, entries), &meanings)
}

/// The platforms of the images that were looked at.
#[derive(Debug)]
struct Offers<'a> {
    known: Platforms<'a>,
    platforms: Vec<String>,
    unknown: usize,
}

impl<'a> Offers<'a> {
    fn new(layout: &'a Layout) -> Self {
        Self { known: Platforms::new(layout), platforms: Vec::new(), unknown: 0 }
    }

    fn weigh(&mut self, image: &Descriptor, wanted: &Platform) -> Result<Option<Suit>> {
        let Some((platform, source)) = self.known.find(image)? else {
            self.unknown += 1;
            return Ok(None);
        };
        let name = platform.to_string();
        if self.platforms.len() <= LISTED && !self.platforms.contains(&name) {
            self.platforms.push(name);
        }
        Ok(wanted.rank(&platform).map(|rank| Suit { rank, source }))
    }

    /// Whether there are several images and nothing that could tell them apart.
    fn several_unknown(&self) -> bool {
        self.platforms.is_empty() && self.unknown > 1
    }
}

impl fmt::Display for Offers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listed, more) = self.platforms.split_at(self.platforms.len().min(LISTED));
        match (listed, more) {
            ([], _) => f.write_str("one whose platform is not known"),
            (listed, []) => f.write_str(&listed.join(", ")),
            (listed, _) => write!(f, "{} and others", listed.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file_of, name, put_image, put_index, scratch};
    use super::*;
    use crate::layout::REF_NAME;
    use crate::oci::{Algorithm, Digest, ImageConfig, Manifest, media_type};

    #[test]
    fn finds_an_image_through_nested_indexes() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let image = put_image(&writer, b"a");
        let inner = put_index(&writer, vec![image.clone()]);
        let empty = put_index(&writer, Vec::new());
        let outer = put_index(&writer, vec![empty.clone(), inner.clone(), empty]);
        writer.tag(&name("t"), outer.clone()).unwrap();
        writer.tag(&name("other"), image.clone()).unwrap();
        let path = layout.resolve(&name("t")).unwrap();
        let digests: Vec<_> = path.walk().iter().map(|found| &found.digest).collect();
        assert_eq!(digests, [&outer.digest, &inner.digest, &image.digest]);
        // The manifest is not read.
        std::fs::remove_file(file_of(&layout, &image.digest)).unwrap();
        assert_eq!(layout.resolve(&name("t")).unwrap(), path);
        // An index is.
        std::fs::remove_file(file_of(&layout, &inner.digest)).unwrap();
        let text = layout.resolve(&name("t")).unwrap_err().to_string();
        assert!(text.starts_with(&format!("get descriptor: walk {}: ", outer.digest)), "{text}");
    }

    #[test]
    fn tells_none_from_several() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let images = vec![put_image(&writer, b"a"), put_image(&writer, b"b")];
        writer.tag(&name("two"), put_index(&writer, images.clone())).unwrap();
        writer.tag(&name("none"), put_index(&writer, Vec::new())).unwrap();
        let twice = vec![images[0].clone(), images[0].clone()];
        writer.tag(&name("twice"), put_index(&writer, twice)).unwrap();
        let mut config = images[0].clone();
        config.media_type = media_type::IMAGE_CONFIG.into();
        writer.tag(&name("config"), config).unwrap();
        for (tag, kind, text) in [
            ("two", ErrorKind::Ambiguous, "tag is ambiguous: two"),
            ("twice", ErrorKind::Ambiguous, "tag is ambiguous: twice"),
            ("none", ErrorKind::NotFound, "tag not found: none"),
            ("config", ErrorKind::NotFound, "tag not found: config"),
            ("missing", ErrorKind::NotFound, "tag not found: missing"),
        ] {
            let error = layout.resolve(&name(tag)).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        }
    }

    #[test]
    fn many_ways_cost_no_time_and_depth_has_a_limit() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let image = put_image(&writer, b"a");
        for (bottom, tag) in [(vec![image], "one"), (Vec::new(), "none")] {
            let mut top = put_index(&writer, bottom);
            for _ in 0..40 {
                top = put_index(&writer, vec![top.clone(), top]);
            }
            writer.tag(&name(tag), top.clone()).unwrap();
            for _ in 0..40 {
                top = put_index(&writer, vec![top]);
            }
            writer.tag(&name(&format!("{tag}-deep")), top).unwrap();
        }
        for (tag, kind) in [
            ("one", ErrorKind::Ambiguous),
            ("none", ErrorKind::NotFound),
            ("one-deep", ErrorKind::Limit),
            ("none-deep", ErrorKind::Limit),
        ] {
            assert_eq!(layout.resolve(&name(tag)).unwrap_err().kind(), kind, "{tag}");
        }
    }

    /// Which of some images is found: its number, or the error.
    fn find(layout: &Layout, images: &[Descriptor], wanted: PlatformChoice) -> String {
        let image = ImageRef { selector: Selector::Name(name("t")), platform: wanted };
        match layout.find(&image) {
            Ok(path) => {
                let is_found = |image: &Descriptor| image.digest == path.target().digest;
                images.iter().position(is_found).unwrap().to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    fn stated(mut image: Descriptor, platform: &str) -> Descriptor {
        image.platform = Some(platform.parse().unwrap());
        image
    }

    #[test]
    fn chooses_by_what_the_index_states() {
        use PlatformChoice::{Any, Prefer, Require};
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let platforms = [
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm64/v8",
            "linux/amd64",
            "linux/amd64",
            "unknown/unknown",
        ];
        let make = |(at, platform): (usize, &&str)| {
            stated(put_image(&writer, format!("{at}").as_bytes()), platform)
        };
        let mut images: Vec<_> = platforms.iter().enumerate().map(make).collect();
        let mut attestation = put_image(&writer, b"about 3");
        attestation.annotations.insert("vnd.docker.reference.type".into(), "x".into());
        images.push(attestation);
        let inner = put_index(&writer, images[2..].to_vec());
        let top =
            put_index(&writer, vec![images[0].clone(), images[1].clone(), inner.clone(), inner]);
        writer.tag(&name("t"), top).unwrap();
        // None of them is read.
        for image in &images {
            std::fs::remove_file(file_of(&layout, &image.digest)).unwrap();
        }
        for (wanted, found) in [
            ("linux/arm", "1"),
            ("linux/arm/v8", "1"),
            ("linux/arm/v6", "0"),
            ("linux/arm64", "2"),
            ("linux/amd64", "3"),
            ("linux/amd64/v2", "3"),
        ] {
            for choice in [Prefer, Require] {
                assert_eq!(
                    find(&layout, &images, choice(wanted.parse().unwrap())),
                    found,
                    "{wanted}"
                );
            }
        }
        let none = "no image for linux/s390x in t: \
                    there is linux/arm/v5, linux/arm/v7, linux/arm64/v8, linux/amd64";
        assert_eq!(find(&layout, &images, Prefer("linux/s390x".parse().unwrap())), none);
        assert_eq!(find(&layout, &images, Any), "tag is ambiguous: t");
    }

    #[test]
    fn a_single_image_is_meant_unless_another_one_is_required() {
        use PlatformChoice::{Any, Prefer, Require};
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let image = put_image(&writer, b"a");
        let about = stated(put_image(&writer, b"b"), "unknown/unknown");
        let images = [image.clone()];
        for top in [image.clone(), put_index(&writer, vec![about, image])] {
            writer.tag(&name("t"), top).unwrap();
            let arm = || "linux/arm64".parse().unwrap();
            assert_eq!(find(&layout, &images, Any), "0");
            assert_eq!(find(&layout, &images, Prefer(arm())), "0");
            assert_eq!(find(&layout, &images, Require("linux/amd64".parse().unwrap())), "0");
            let refusal = "no image for linux/arm64 in t: there is linux/amd64";
            assert_eq!(find(&layout, &images, Require(arm())), refusal);
        }
    }

    #[test]
    fn what_is_not_stated_is_in_the_configurations() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let put = |config: ImageConfig| {
            let manifest = Manifest::new(writer.put_document(&config).unwrap());
            writer.put_document(&manifest).unwrap()
        };
        let arm = put(ImageConfig::new("arm64", "linux"));
        let amd = put(ImageConfig::new("amd64", "linux"));
        let silent = put(ImageConfig::default());
        let other = put_image(&writer, b"other for amd64");
        let lost = Descriptor { digest: Digest::of(Algorithm::Sha256, "lost"), ..amd.clone() };
        let images = [arm.clone(), amd.clone(), other.clone(), silent.clone()];
        for (entries, found) in [
            (vec![arm.clone(), amd.clone(), silent.clone(), lost.clone()], "1"),
            (vec![amd.clone(), other.clone()], "tag is ambiguous: t"),
            (vec![amd.clone(), stated(other.clone(), "linux/amd64")], "2"),
            (vec![silent.clone(), lost.clone()], "tag is ambiguous: t"),
            (
                vec![arm.clone(), silent, lost],
                "no image for linux/amd64 in t: there is linux/arm64",
            ),
        ] {
            let wanted = || PlatformChoice::Prefer("linux/amd64".parse().unwrap());
            writer.tag(&name("t"), put_index(&writer, entries.clone())).unwrap();
            assert_eq!(find(&layout, &images, wanted()), found, "nested");
            writer
                .update_index(|index| {
                    index.manifests = entries;
                    for entry in &mut index.manifests {
                        entry.annotations.insert(REF_NAME.into(), "t".into());
                    }
                    Ok(())
                })
                .unwrap();
            // There is no order among entries of the same name.
            let found = if found == "2" { "tag is ambiguous: t" } else { found };
            assert_eq!(find(&layout, &images, wanted()), found, "of the same name");
        }
    }

    #[test]
    fn large_documents_are_read_once() {
        let (_dir, layout) = scratch();
        let writer = layout.writer().unwrap();
        let mut config = ImageConfig::new("amd64", "linux");
        config.author = "x".repeat(8 << 20);
        let config = writer.put_document(&config).unwrap();
        let mut images = Vec::new();
        for number in 0..100 {
            let mut manifest = Manifest::new(config.clone());
            manifest.annotations.insert("n".into(), number.to_string());
            let image = writer.put_document(&manifest).unwrap();
            images.extend(std::iter::repeat_n(image, 20));
        }
        writer.tag(&name("t"), put_index(&writer, images.clone())).unwrap();
        let wanted = PlatformChoice::Prefer("linux/arm64".parse().unwrap());
        let error = find(&layout, &images, wanted);
        assert_eq!(error, "no image for linux/arm64 in t: there is linux/amd64");
    }
}
