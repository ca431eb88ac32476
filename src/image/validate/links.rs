// SPDX-License-Identifier: Apache-2.0
//! Hard links whose targets are in layers below, or in none.
//!
//! What may be there counts as there: behind a symbolic link, in a layer that could not be read.

use std::collections::{BTreeSet, HashSet};

use super::code::Code;
use super::finding::{Findings, Place};
use super::names::{Link, Outline, Shared};
use super::stack::Stack;
use crate::layer::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::quote::quote;
use crate::rootfs::RootPath;

/// How often a layer is asked for a name in all. Only what was made for it needs as many.
const MOST_QUESTIONS: u64 = 20_000_000;

/// The numbers of what a link depends on.
struct Trail {
    target: u64,
    last: u64,
    /// The directories that lead to the target.
    dirs: Vec<u64>,
    /// The whiteouts that take it away.
    whiteouts: Vec<u64>,
}

impl Trail {
    fn new(target: &RootPath, shared: &Shared) -> Self {
        let number = |path: &RootPath| shared.number(path.as_bytes());
        let mut trail = Self {
            target: number(target),
            last: shared.last(target),
            dirs: Vec::new(),
            whiteouts: Vec::new(),
        };
        let mut path = target.clone();
        while let Some((dir, name)) = path.split() {
            let in_dir = |name: &[u8]| shared.number(&[dir.as_bytes(), b"/", name].concat());
            let at_top = |name: &[u8]| shared.number(name);
            let hidden = [WHITEOUT_PREFIX, name.as_bytes()].concat();
            for whiteout in [&hidden[..], OPAQUE_MARKER] {
                let whiteout = if dir.is_root() { at_top(whiteout) } else { in_dir(whiteout) };
                trail.whiteouts.push(whiteout);
            }
            if !dir.is_root() {
                trail.dirs.push(number(&dir));
            }
            path = dir;
        }
        trail
    }

    /// How many names a layer is asked for.
    fn questions(&self) -> u64 {
        2 + (self.dirs.len() + self.whiteouts.len()) as u64
    }

    /// Whether the layer may have the target, in a directory that it calls by another name.
    fn may_be_in(&self, layer: &Outline) -> bool {
        layer.has_loose(self.last) || self.dirs.iter().any(|dir| layer.has_symlink(*dir))
    }
}

/// Looks for the targets of links in the layers below, image by image.
pub(super) struct Search<'a> {
    outlines: &'a [Outline],
    shared: &'a Shared,
    questions: u64,
    /// The layers whose links were not all looked for.
    unchecked: BTreeSet<usize>,
}

impl<'a> Search<'a> {
    pub(super) fn new(outlines: &'a [Outline], shared: &'a Shared) -> Self {
        Self { outlines, shared, questions: 0, unchecked: BTreeSet::new() }
    }

    /// Notes links to what is not there, each once, however many images have its layer.
    pub(super) fn run(
        mut self,
        stacks: &[&Stack],
        place_of: impl Fn(usize) -> Place,
        findings: &mut Findings,
    ) {
        let mut found = HashSet::new();
        for stack in stacks {
            for (at, layer) in stack.layers.iter().enumerate() {
                let Some((layer, outline)) = self.outline(*layer) else { continue };
                let has_room = self.shared.has_room();
                if outline.lost_links || (!has_room && !outline.links.is_empty()) {
                    self.unchecked.insert(layer);
                }
                for (number, link) in outline.links.iter().enumerate().filter(|_| has_room) {
                    if !found.contains(&(layer, number))
                        && !self.may_be_there(&stack.layers[..=at], link)
                    {
                        found.insert((layer, number));
                        let target = quote(link.target.as_bytes());
                        let message = format!("no layer up to this one has {target}");
                        let place = place_of(layer).member(&link.member);
                        findings.add(Code::TarLink, &place, message);
                    }
                }
            }
        }
        for layer in self.unchecked {
            let message = "not all hard links to what the layer lacks were looked for below";
            findings.add(Code::TarUnchecked, &place_of(layer), message);
        }
    }

    fn outline(&self, layer: Option<usize>) -> Option<(usize, &'a Outline)> {
        let layer = layer?;
        Some((layer, self.outlines.get(layer)?))
    }

    /// Whether the target of a link of the last of some layers may be in one of them.
    fn may_be_there(&mut self, layers: &[Option<usize>], link: &Link) -> bool {
        let trail = Trail::new(&link.target, self.shared);
        let mut is_below = false;
        for layer in layers.iter().rev() {
            let Some((_, layer)) = self.outline(*layer).filter(|(_, layer)| layer.is_complete())
            else {
                return true;
            };
            self.questions += trail.questions();
            if self.questions > MOST_QUESTIONS {
                self.unchecked.extend(layers.last().copied().flatten());
                return true;
            }
            if trail.may_be_in(layer) || layer.has(trail.target) {
                return true;
            }
            // In its own layer a link may have been made before a whiteout takes its target away.
            if is_below && trail.whiteouts.iter().any(|name| layer.has(*name)) {
                return false;
            }
            is_below = true;
        }
        false
    }
}
