// SPDX-License-Identifier: Apache-2.0
//! Tar archives byte by byte, without the checks of a writer that means well.

use tar::Header;

/// An archive in the making.
#[derive(Clone, Default)]
pub(super) struct Archive(Vec<u8>);

/// Type flags.
pub(super) mod flag {
    pub(in super::super) const FILE: u8 = b'0';
    pub(in super::super) const LINK: u8 = b'1';
    pub(in super::super) const SYMLINK: u8 = b'2';
    pub(in super::super) const CHAR: u8 = b'3';
    pub(in super::super) const DIR: u8 = b'5';
    pub(in super::super) const FIFO: u8 = b'6';
    pub(in super::super) const PAX: u8 = b'x';
    pub(in super::super) const GLOBAL: u8 = b'g';
    pub(in super::super) const LONG_NAME: u8 = b'L';
    pub(in super::super) const LONG_LINK: u8 = b'K';
}

impl Archive {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A header with a name that is taken as it is, and what follows it as it is.
    pub(super) fn member(
        self,
        name: &str,
        flag: u8,
        edit: impl FnOnce(&mut Header),
        body: &[u8],
    ) -> Self {
        self.with(Header::new_ustar(), name, flag, edit, body)
    }

    /// As [`Archive::member`], from a header of another format.
    pub(super) fn with(
        mut self,
        mut header: Header,
        name: &str,
        flag: u8,
        edit: impl FnOnce(&mut Header),
        body: &[u8],
    ) -> Self {
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(if flag == flag::DIR { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        header.as_mut_bytes()[156] = flag;
        edit(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.body(body)
    }

    /// Bytes, filled up to a whole block.
    pub(super) fn body(mut self, body: &[u8]) -> Self {
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Bytes as they are.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn file(self, name: &str, body: &str) -> Self {
        self.member(name, flag::FILE, |_| {}, body.as_bytes())
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.member(name, flag::DIR, |_| {}, b"")
    }

    pub(super) fn dir_with_mode(self, name: &str, mode: u32) -> Self {
        self.member(name, flag::DIR, |header| header.set_mode(mode), b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.member(name, flag::SYMLINK, |header| set_link(header, target), b"")
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.member(name, flag::LINK, |header| set_link(header, target), b"")
    }

    pub(super) fn device(self, name: &str, major: u32, minor: u32) -> Self {
        let edit = |header: &mut Header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        };
        self.member(name, flag::CHAR, edit, b"")
    }

    /// An extended header of these records for the next member.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.pax_body(&body)
    }

    /// An extended header with this body, whatever it is.
    pub(super) fn pax_body(self, body: &[u8]) -> Self {
        self.member("PaxHeaders.0/x", flag::PAX, |_| {}, body)
    }

    /// An extended header for all that follows.
    pub(super) fn global(self, records: &[(&str, &[u8])]) -> Self {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.member("PaxHeaders.0/g", flag::GLOBAL, |_| {}, &body)
    }

    /// A GNU header with a long name or link.
    pub(super) fn long(self, flag: u8, text: &str) -> Self {
        let body = [text.as_bytes(), b"\0"].concat();
        self.with(Header::new_gnu(), "././@LongLink", flag, |_| {}, &body)
    }

    /// The archive with its end.
    pub(super) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }

    /// The archive without an end.
    pub(super) fn open_end(self) -> Vec<u8> {
        self.0
    }
}

/// Sets a link's target as it is.
pub(super) fn set_link(header: &mut Header, target: &str) {
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}
