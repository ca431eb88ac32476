// SPDX-License-Identifier: Apache-2.0
//! `umoci.json`, which a stranger may have made together with its bundle.

use serde_json::Value;
use umoci::bundle::BundleMetadata;

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "metadata",
    run,
    words: &[
        b"null",
        b"{}",
        b"[]",
        b"\"umoci_version\":\"2\",",
        b"\"descriptor_walk\":[",
        b"\"map_options\":{",
        b"\"uid_mappings\":[",
        b"{\"containerID\":0,\"hostID\":1,\"size\":2},",
        b"\"rootless\":true,",
        b"\"whiteout_mode\":0,",
        b"\"mtree\":null,",
        b"\"keep_dirlinks\":true,",
        b"\"x\":[1.0],",
        b"4294967295",
    ],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    let metadata = match BundleMetadata::parse(input) {
        Ok(metadata) => metadata,
        Err(error) => return error.to_string(),
    };
    assert!(!metadata.from.walk().is_empty());
    let written = metadata.to_bytes().unwrap();
    let again = BundleMetadata::parse(&written).unwrap();
    assert_eq!(again, metadata);
    assert_eq!(again.to_bytes().unwrap(), written);
    let mut before: Value = serde_json::from_slice(input).unwrap();
    // These hold nothing of others.
    for own in ["map_options", "mtree", "whiteout_mode"] {
        before.as_object_mut().unwrap().remove(own);
    }
    let after: Value = serde_json::from_slice(&written).unwrap();
    let lost = super::documents::lost(&before, &after);
    assert_eq!(lost, None, "{before}\n{after}");
    format!("read {}", "x".repeat(metadata.from.walk().len().min(9)))
}
