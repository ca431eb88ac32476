// SPDX-License-Identifier: Apache-2.0
//! Container ids and host ids, and the maps between them
//! (`user_namespaces(7)`; the `CONTAINER:HOST[:SIZE]` of `--uid-map`).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// The owner of an inode, as numbers. Names never matter here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// One range of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first id inside the container.
    #[serde(rename = "containerID")]
    pub container: u32,
    /// The id on the host that stands for it.
    #[serde(rename = "hostID")]
    pub host: u32,
    /// How many ids the range has.
    pub size: u32,
}

impl FromStr for IdRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let (container, host, size) = match fields[..] {
            [container, host] => (container, host, "1"),
            [container, host, size] => (container, host, size),
            _ => {
                let message =
                    format!("invalid number of fields in mapping {text:?}: {}", fields.len());
                return Err(Error::invalid(message));
            }
        };
        let range = Self {
            container: number("containerID", container)?,
            host: number("hostID", host)?,
            size: number("size", size)?,
        };
        range.checked()
    }
}

impl IdRange {
    /// Refuses a range that is empty or runs past the last id: 4294967295 is nobody's, and
    /// giving a file to it leaves the file to whom it belongs.
    fn checked(self) -> Result<Self> {
        let fits = |first: u32| first.checked_add(self.size).is_some();
        let wrong = match self.size {
            0 => "is empty",
            _ if fits(self.container) && fits(self.host) => return Ok(self),
            _ => "goes beyond the last id, which is 4294967294",
        };
        Err(Error::invalid(format!("range {self} {wrong}")))
    }
}

fn number(field: &str, text: &str) -> Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ if digits => {
            Err(Error::invalid(format!("invalid {field} in mapping: {text}: value out of range")))
        }
        _ => Err(Error::invalid(format!("invalid {field} in mapping: {text:?}: invalid syntax"))),
    }
}

/// A map between container and host ids. `None` of `ranges` is the identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap {
    ranges: Option<Vec<IdRange>>,
}

impl IdMap {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self { ranges: None };

    /// Makes a map from ranges.
    ///
    /// # Errors
    /// When two ranges share a container id or a host id.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self> {
        for range in &ranges {
            range.checked()?;
        }
        refuse_overlap(&ranges, |range| range.container)?;
        refuse_overlap(&ranges, |range| range.host)?;
        Ok(Self { ranges: Some(ranges) })
    }

    /// Reads the values of a repeated `--uid-map` or `--gid-map`; none is the identity.
    pub fn parse<S: AsRef<str>>(values: &[S]) -> Result<Self> {
        if values.is_empty() {
            return Ok(Self::IDENTITY);
        }
        Self::new(values.iter().map(|value| value.as_ref().parse()).collect::<Result<_>>()?)
    }

    /// The ranges; `None` for the identity.
    pub fn ranges(&self) -> Option<&[IdRange]> {
        self.ranges.as_deref()
    }

    /// Whether every container id there is has a host id.
    pub fn has_all_of_container(&self) -> bool {
        let Some(ranges) = &self.ranges else { return true };
        let mut sorted: Vec<&IdRange> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.container);
        let mut next = 0;
        for range in sorted {
            if range.container != next {
                return false;
            }
            next = range.container.saturating_add(range.size);
        }
        // The last number is no id.
        next == u32::MAX
    }

    /// The host id that stands for a container id.
    pub fn to_host(&self, id: u32) -> Result<u32> {
        let Some(ranges) = &self.ranges else { return Ok(id) };
        let found = ranges.iter().find(|range| id.wrapping_sub(range.container) < range.size);
        found.map(|range| range.host + (id - range.container)).ok_or_else(|| {
            Error::invalid(format!("container id {id} cannot be mapped to a host id"))
        })
    }

    /// The container id that a host id stands for.
    pub fn to_container(&self, id: u32) -> Result<u32> {
        let Some(ranges) = &self.ranges else { return Ok(id) };
        let found = ranges.iter().find(|range| id.wrapping_sub(range.host) < range.size);
        found.map(|range| range.container + (id - range.host)).ok_or_else(|| {
            Error::invalid(format!("host id {id} cannot be mapped to a container id"))
        })
    }
}

/// Sorted first, since a file may list very many.
fn refuse_overlap(ranges: &[IdRange], start: impl Fn(&IdRange) -> u32) -> Result<()> {
    let mut sorted: Vec<&IdRange> = ranges.iter().collect();
    sorted.sort_by_key(|range| start(range));
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && start(other) - start(one) < one.size
        {
            return Err(Error::invalid(format!("ranges {one} and {other} overlap")));
        }
    }
    Ok(())
}

impl std::fmt::Display for IdRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.container, self.host, self.size)
    }
}

/// The maps of users and of groups together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// The map of user ids.
    pub uid: IdMap,
    /// The map of group ids.
    pub gid: IdMap,
}

impl IdMaps {
    /// Whether they change nothing.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every container owner there is has a host owner.
    pub fn has_all_of_container(&self) -> bool {
        self.uid.has_all_of_container() && self.gid.has_all_of_container()
    }

    /// The host owner that stands for a container owner.
    pub fn to_host(&self, owner: Owner) -> Result<Owner> {
        Ok(Owner {
            uid: self.uid.to_host(owner.uid).context("map uid to host")?,
            gid: self.gid.to_host(owner.gid).context("map gid to host")?,
        })
    }

    /// The container owner that a host owner stands for.
    pub fn to_container(&self, owner: Owner) -> Result<Owner> {
        Ok(Owner {
            uid: self.uid.to_container(owner.uid).context("map uid to container")?,
            gid: self.gid.to_container(owner.gid).context("map gid to container")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_there_and_back() {
        let map = IdMap::parse(&["0:1000:1", "1:100000:65536"]).unwrap();
        for id in [0, 1, 33, 65536] {
            assert_eq!(map.to_container(map.to_host(id).unwrap()).unwrap(), id);
        }
        assert_eq!(map.to_host(0).unwrap(), 1000);
        assert_eq!(map.to_host(33).unwrap(), 100_032);
        assert!(map.to_host(65537).is_err());
        assert!(map.to_container(0).is_err());
    }

    #[test]
    fn two_fields_mean_one_id() {
        assert_eq!("0:5".parse::<IdRange>().unwrap(), IdRange { container: 0, host: 5, size: 1 });
    }

    #[test]
    fn refuses_bad_ranges() {
        for text in [
            "",
            "0",
            "0:1:2:3",
            "a:0:1",
            "0:-1:1",
            "0:4294967296:1",
            "0:+1:1",
            "0:0:0",
            "1:4294967295:2",
            "0:4294967295",
            "4294967295:0:1",
            "5:4294967290:6",
            "4294967290:5:6",
            "0:0:4294967296",
            "1:1:4294967295",
        ] {
            assert!(text.parse::<IdRange>().is_err(), "{text}");
        }
        assert!(IdMap::parse(&["0:0:10", "5:100:1"]).is_err(), "container ids overlap");
        assert!(IdMap::parse(&["0:0:10", "10:9:1"]).is_err(), "host ids overlap");
        assert!(IdMap::parse(&["0:0:10", "0:0:10"]).is_err(), "it is there twice");
        assert!(IdMap::parse(&["0:0:10", "0:50:10"]).is_err(), "container ids overlap");
        assert!(IdMap::parse(&["0:0:10", "10:10:1"]).is_ok());
    }

    #[test]
    fn ranges_come_in_any_order_and_next_to_each_other() {
        for ranges in [["0:1000", "1:5000:9", "10:10:1"], ["10:10:1", "1:5000:9", "0:1000"]] {
            let map = IdMap::parse(&ranges).unwrap();
            for (container, host) in [(0, 1000), (1, 5000), (9, 5008), (10, 10)] {
                assert_eq!(map.to_host(container).unwrap(), host);
                assert_eq!(map.to_container(host).unwrap(), container);
            }
            assert!(map.to_host(11).is_err() && map.to_container(5009).is_err());
            assert!(map.to_container(9).is_err() && map.to_container(11).is_err());
        }
    }

    #[test]
    fn a_map_has_all_ids_or_lacks_some() {
        let has_all = |ranges: &[&str]| IdMap::parse(ranges).unwrap().has_all_of_container();
        assert!(IdMap::IDENTITY.has_all_of_container());
        assert!(has_all(&["0:0:4294967295"]));
        assert!(has_all(&["1000:0:4294966295", "0:4294966295:1000"]));
        for lacking in [
            &["0:0"][..],
            &["0:0:4294967294"],
            &["1:1:4294967294"],
            &["0:0:10", "11:11:4294967284"],
        ] {
            assert!(!has_all(lacking), "{lacking:?}");
        }
    }

    #[test]
    fn the_last_id_can_be_mapped() {
        let map = IdMap::parse(&["0:0:4294967295"]).unwrap();
        assert_eq!(map.to_host(4_294_967_294).unwrap(), 4_294_967_294);
        assert!(map.to_host(u32::MAX).is_err());
    }
}
