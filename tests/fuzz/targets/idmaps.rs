// SPDX-License-Identifier: Apache-2.0
//! Maps of ids: what is accepted maps one to one, as plain arithmetic says.

use umoci::idmap::IdMap;

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "idmaps",
    run,
    words: &[b"0:1000:1", b":", b"\n", b"\n1:100000:65536", b"-1", b"+1", b" ", b"4294967294:0:2"],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    let lines: Vec<&str> = text.lines().collect();
    let map = match IdMap::parse(&lines) {
        Ok(map) => map,
        Err(error) => return error.to_string().split(" in mapping").next().unwrap().to_owned(),
    };
    let ranges: Vec<[u64; 3]> = map
        .ranges()
        .unwrap_or_default()
        .iter()
        .map(|range| [range.container, range.host, range.size].map(u64::from))
        .collect();
    assert_eq!(ranges.len(), lines.len());
    for (range, line) in ranges.iter().zip(&lines) {
        let mut fields: Vec<u64> = line.split(':').map(|field| field.parse().unwrap()).collect();
        fields.resize(3, 1);
        assert_eq!(range[..], fields, "{line}");
        assert!(range[2] > 0 && range[0] + range[2] <= 1 << 32 && range[1] + range[2] <= 1 << 32);
        for edge in [0, range[2] / 2, range[2] - 1, range[2]] {
            compare(&map, &ranges, range[0] + edge, range[1] + edge);
        }
    }
    format!("map {}", "x".repeat(lines.len().min(20)))
}

fn compare(map: &IdMap, ranges: &[[u64; 3]], container: u64, host: u64) {
    let (Ok(container), Ok(host)) = (u32::try_from(container), u32::try_from(host)) else { return };
    let find = |id: u32, from: usize, to: usize| {
        let mut found = ranges
            .iter()
            .filter(|range| (range[from]..range[from] + range[2]).contains(&u64::from(id)))
            .map(|range| range[to] + (u64::from(id) - range[from]));
        let one = found.next();
        assert!(found.next().is_none() || ranges.is_empty(), "{id} is in two ranges");
        one
    };
    if ranges.is_empty() {
        return;
    }
    assert_eq!(map.to_host(container).ok().map(u64::from), find(container, 0, 1));
    assert_eq!(map.to_container(host).ok().map(u64::from), find(host, 1, 0));
}
