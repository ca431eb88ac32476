// SPDX-License-Identifier: Apache-2.0
//! JSON documents as they are, and their members as they should be: [`Fields`] takes one
//! after another out of an object and notes what is missing or of the wrong type.
//!
//! Documents are not read into the types of [`crate::oci`] here, since those stop at the
//! first thing that is wrong.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::code::Code;
use super::finding::{Findings, Place};
use crate::oci::json::{Members, Trailing, from_slice, refuse_case_variants};
use crate::quote::quote;

/// Reads a document, which is one object and nothing else.
pub(super) fn parse(bytes: &[u8], place: &Place, findings: &mut Findings) -> Option<Members> {
    match from_slice::<Value>(bytes, Trailing::Refuse) {
        Ok(Value::Object(members)) => {
            find_duplicates(bytes, place, findings);
            return Some(members);
        }
        Ok(_) => findings.add(Code::JsonSyntax, place, "not a JSON object"),
        Err(error) => findings.add(Code::JsonSyntax, place, error.to_string()),
    }
    None
}

/// Whether a member has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

/// The members of one object. `null` means the same as absence, as most writers mean it.
pub(super) struct Fields<'a, 'f> {
    pub(super) members: &'a Members,
    pub(super) place: Place,
    pub(super) findings: &'f mut Findings,
}

impl<'a> Fields<'a, '_> {
    pub(super) fn add(&mut self, code: Code, message: impl Into<String>) {
        self.findings.add(code, &self.place, message);
    }

    /// Notes something about a member.
    pub(super) fn add_at(&mut self, name: &str, code: Code, message: impl Into<String>) {
        let place = self.place.at(name);
        self.findings.add(code, &place, message);
    }

    pub(super) fn string(&mut self, name: &str, need: Need) -> Option<&'a str> {
        self.get(name, need, "a string", Value::as_str)
    }

    pub(super) fn array(&mut self, name: &str, need: Need) -> Option<&'a [Value]> {
        self.get(name, need, "an array", |value| value.as_array().map(Vec::as_slice))
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.get(name, Need::Optional, "true or false", Value::as_bool)
    }

    /// A whole number.
    pub(super) fn integer(&mut self, name: &str, need: Need) -> Option<i64> {
        self.get(name, need, "a whole number of 64 bits", Value::as_i64)
    }

    /// The members of an object in this one.
    pub(super) fn object(&mut self, name: &str, need: Need) -> Option<Fields<'a, '_>> {
        let members = self.get(name, need, "an object", Value::as_object)?;
        Some(Fields { members, place: self.place.at(name), findings: self.findings })
    }

    /// An array of strings; others in it are noted and left out.
    pub(super) fn strings(&mut self, name: &str) -> Vec<&'a str> {
        let values = self.array(name, Need::Optional).unwrap_or_default();
        let place = self.place.at(name);
        let mut strings = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            match value.as_str() {
                Some(text) => strings.push(text),
                None => self.findings.add(Code::JsonType, &place.at(at), "not a string"),
            }
        }
        strings
    }

    /// An object whose values are strings, such as annotations.
    pub(super) fn string_map(&mut self, name: &str) -> BTreeMap<&'a str, &'a str> {
        let mut map = BTreeMap::new();
        let Some(fields) = self.object(name, Need::Optional) else { return map };
        for (key, value) in fields.members {
            match value.as_str() {
                Some(text) => drop(map.insert(key.as_str(), text)),
                None => fields.findings.add(Code::JsonType, &fields.place.at(key), "not a string"),
            }
        }
        map
    }

    /// Notes names that some readers take for known ones.
    pub(super) fn check_case(&mut self, known: &[&str]) {
        if let Err(error) = refuse_case_variants(self.members, known) {
            self.add(Code::JsonCase, error.to_string());
        }
    }

    fn get<T>(
        &mut self,
        name: &str,
        need: Need,
        expected: &str,
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        match self.members.get(name) {
            None | Some(Value::Null) => {
                if need == Need::Required {
                    self.add(Code::JsonMissing, format!("there is no member {}", quote(name)));
                }
                None
            }
            Some(value) => {
                let taken = take(value);
                if taken.is_none() {
                    self.add_at(name, Code::JsonType, format!("not {expected}"));
                }
                taken
            }
        }
    }
}

/// Notes members that an object has twice. The text is read for that alone: of values that
/// were read before only the last one is left.
fn find_duplicates(bytes: &[u8], place: &Place, findings: &mut Findings) {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let search = Search { place: place.clone(), findings };
    // The text has been read once without an error.
    let _ = search.deserialize(&mut reader);
}

struct Search<'f> {
    place: Place,
    findings: &'f mut Findings,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0;
        loop {
            let element = Search { place: self.place.at(at), findings: self.findings };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let place = self.place.at(&name);
            if names.contains(&name) {
                self.findings.add(Code::JsonDuplicate, &place, "the member is there twice");
            }
            map.next_value_seed(Search { place, findings: self.findings })?;
            names.insert(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_duplicates_at_any_depth() {
        let mut findings = Findings::default();
        let text = br#"{"a":[1.5,{"b":-1,"c":null,"b":[18446744073709551616]}],"d":"x","d":true}"#;
        assert!(parse(text, &Place::file("f"), &mut findings).is_some());
        let places: Vec<_> = findings.kept.iter().map(|found| found.place.to_string()).collect();
        assert_eq!(places, ["f#/a/1/b", "f#/d"]);
    }

    #[test]
    fn a_document_is_one_object() {
        for text in ["", "[]", "{} {}", "null", "{", "\u{feff}{}"] {
            let mut findings = Findings::default();
            assert!(parse(text.as_bytes(), &Place::file("f"), &mut findings).is_none());
            assert_eq!(findings.kept[0].code, Code::JsonSyntax, "{text}");
        }
    }
}
