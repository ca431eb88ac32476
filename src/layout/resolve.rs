// SPDX-License-Identifier: Apache-2.0
//! From a name to the one image that it means.

use std::collections::HashSet;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::oci::{Descriptor, DescriptorPath, Digest, Index, media_type};

use super::walk::MAX_DEPTH;
use super::{Layout, REF_NAME, RefName};

impl Layout {
    /// Finds the image that a name in `index.json` means, through nested
    /// indexes. The manifest itself is not read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Ambiguous`]
    /// when there are several ways to an image.
    pub fn resolve(&self, name: &RefName) -> Result<DescriptorPath> {
        let mut search = Search { layout: self, barren: HashSet::new(), found: Found::None };
        for entry in self.index()?.manifests {
            if entry.annotations.get(REF_NAME).is_some_and(|found| found == name.as_str()) {
                let root = entry.digest.clone();
                search
                    .descend(&mut vec![entry])
                    .with_context(|| format!("get descriptor: walk {root}"))?;
            }
            if matches!(search.found, Found::Several) {
                break;
            }
        }
        match search.found {
            Found::One(path) => DescriptorPath::new(path),
            Found::None => Err(Error::new(ErrorKind::NotFound, format!("tag not found: {name}"))),
            Found::Several => {
                Err(Error::new(ErrorKind::Ambiguous, format!("tag is ambiguous: {name}")))
            }
        }
    }
}

enum Found {
    None,
    One(Vec<Descriptor>),
    Several,
}

/// A search for targets that ends with the second one.
///
/// An index can be reached in very many ways. It is searched once: if there
/// was a target below it, the second way to it is the second target.
struct Search<'a> {
    layout: &'a Layout,
    /// Indexes without a target below them.
    barren: HashSet<Digest>,
    found: Found,
}

impl Search<'_> {
    /// Searches below the last descriptor of `path`.
    fn descend(&mut self, path: &mut Vec<Descriptor>) -> Result<()> {
        let Some(last) = path.last() else { return Ok(()) };
        match last.media_type.as_str() {
            media_type::IMAGE_INDEX => self.descend_index(path),
            // These have no image below them and are none.
            media_type::IMAGE_CONFIG | media_type::DESCRIPTOR | media_type::EMPTY_JSON => Ok(()),
            _ => {
                self.found = match self.found {
                    Found::None => Found::One(path.clone()),
                    _ => Found::Several,
                };
                Ok(())
            }
        }
    }

    fn descend_index(&mut self, path: &mut Vec<Descriptor>) -> Result<()> {
        let Some(last) = path.last() else { return Ok(()) };
        if self.barren.contains(&last.digest) {
            return Ok(());
        }
        if path.len() > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("indexes are nested more than {MAX_DEPTH} deep"),
            ));
        }
        let digest = last.digest.clone();
        let before = self.count();
        for entry in self.layout.document::<Index>(last)?.manifests {
            path.push(entry);
            self.descend(path)?;
            path.pop();
            if matches!(self.found, Found::Several) {
                return Ok(());
            }
        }
        if self.count() == before {
            self.barren.insert(digest);
        }
        Ok(())
    }

    fn count(&self) -> usize {
        match self.found {
            Found::None => 0,
            Found::One(_) => 1,
            Found::Several => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file_of, name, put_image, put_index, scratch};
    use super::*;

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
}
