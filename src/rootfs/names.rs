// SPDX-License-Identifier: Apache-2.0
//! [`Names`]: what is in a directory. There may be millions of names, so they are kept one
//! after the other.

use std::fmt;
use std::ops::Range;

/// The names in a directory, sorted bytewise, never `.` or `..`.
#[derive(Clone, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Where each name is in `bytes`, in their order.
    order: Vec<Range<usize>>,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The names in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        self.order.iter().map(|place| self.name(place))
    }

    /// Whether this very name is there.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.order.binary_search_by(|place| self.name(place).cmp(name)).is_ok()
    }

    /// Takes away the last name.
    pub fn pop(&mut self) -> Option<Box<[u8]>> {
        self.order.pop().map(|place| self.name(&place).into())
    }

    fn name(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }

    /// Adds a name, for [`Names::sort`] to put it in its place.
    pub(super) fn push(&mut self, name: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.order.push(start..self.bytes.len());
    }

    pub(super) fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order.sort_unstable_by(|one, other| self.name(one).cmp(self.name(other)));
        self.order = order;
    }
}

impl<N: AsRef<[u8]>> FromIterator<N> for Names {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.push(name.as_ref()));
        all.sort();
        all
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|name| name.escape_ascii().to_string());
        f.debug_list().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_in_order_of_bytes() {
        let mut names: Names = ["b", "a.b", "a", "B", "a-b", &"x".repeat(255)].iter().collect();
        let expected = [&b"B"[..], b"a", b"a-b", b"a.b", b"b", &[b'x'; 255]];
        assert!(names.iter().eq(expected) && names.iter().rev().eq(expected.into_iter().rev()));
        assert!(expected.iter().all(|name| names.contains(name)));
        assert!(!names.contains(b"") && !names.contains(b"a-"));
        assert_eq!((names.len(), names.pop().as_deref()), (6, Some(expected[5])));
        assert_eq!((names.len(), names.pop().as_deref()), (5, Some(&b"b"[..])));
    }
}
