// SPDX-License-Identifier: Apache-2.0
//! Indexes, manifests and configurations: what is read is written again so
//! that it reads the same, and loses nothing that was not empty.

use std::fmt::Debug;

use serde_json::Value;
use umoci::Result;
use umoci::oci::{Document, ImageConfig, Index, Manifest, Timestamp};

use crate::driver::Target;

pub(crate) const TARGET: Target =
    Target { name: "documents", run, words: super::JSON, mend: super::as_it_is };

fn run(input: &[u8]) -> String {
    let index = check(input, Index::parse_top_level);
    let nested = check(input, Index::parse);
    let manifest = check(input, Manifest::parse);
    let config = check(input, ImageConfig::parse);
    [index, nested, manifest, config].join("; ")
}

fn check<D: Document + PartialEq + Debug>(
    input: &[u8],
    read: impl Fn(&[u8]) -> Result<D>,
) -> String {
    let document = match read(input) {
        Ok(document) => document,
        Err(error) => return error.to_string(),
    };
    let written = document.to_bytes().unwrap();
    let again = read(&written).unwrap();
    assert_eq!(again, document);
    assert_eq!(again.to_bytes().unwrap(), written);
    // Another reader takes it for JSON, too, and finds everything again. (What comes after it
    // in `index.json` does not count.)
    let mut values = serde_json::Deserializer::from_slice(input).into_iter::<Value>();
    let before = values.next().unwrap().unwrap();
    let after: Value = serde_json::from_slice(&written).unwrap();
    if let Some(lost) = lost(&before, &after) {
        panic!("{lost} is lost:\n{before}\n{after}");
    }
    "read".to_owned()
}

/// Nobody keeps more than nine digits of a second.
fn is_same_time(before: &str, after: &str) -> bool {
    let time = |text: &str| text.parse::<Timestamp>().ok();
    time(before).is_some_and(|before| Some(before) == time(after))
}

/// Something of `before` that is not in `after`. What is empty may be left out.
pub(super) fn lost(before: &Value, after: &Value) -> Option<String> {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.to_string() == "0",
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let below = match after.get(key) {
                // They are sets, and nothing belongs to their members.
                Some(Value::Object(after)) if ["ExposedPorts", "Volumes"].contains(&&**key) => {
                    let is_lost = |name: &&String| !after.contains_key(*name);
                    value.as_object().and_then(|before| before.keys().find(is_lost)).cloned()
                }
                Some(after) => lost(value, after),
                None => lost(value, &Value::Object(serde_json::Map::new())),
            };
            below.map(|below| format!("{key}.{below}"))
        }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).find_map(|(before, after)| lost(before, after))
        }
        (Value::String(before), Value::String(after)) if is_same_time(before, after) => None,
        _ if is_empty(before) || before == after => None,
        _ => Some(before.to_string()),
    }
}
