// SPDX-License-Identifier: Apache-2.0
//! Images, layouts and bundles that lie. Each is refused in one line that
//! leaves nothing behind, or does only what it may; what lies outside stays as
//! it is; nothing hangs, panics or grows.

mod archive;
mod arena;
mod attacker;
mod attributes;
mod bundles;
mod compression;
mod configurations;
mod descriptors;
mod dialects;
mod holes;
mod indexes;
mod limits;
mod mixture;
mod names;
mod numbers;
mod races;
mod readers;
mod rootless;
mod truncation;
mod whiteouts;
mod work;
