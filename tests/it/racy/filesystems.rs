// SPDX-License-Identifier: Apache-2.0
//! Filesystems whose clock goes wrong, or that do not tell all that others do.

use super::{EDITED, repack_adds};
use crate::harness::needs_root;
use crate::rootless::filesystem::with_limits;

/// Asserts what a repack adds after a change.
#[track_caller]
fn changes(mount: &str, change: &str, expected: &[(&str, &str)]) {
    if needs_root() {
        repack_adds(with_limits, [mount, change], expected);
    }
}

/// A clock that stands still, so that nothing that is unpacked is older than its record.
const CLOCK: &str = "echo 1600000000 >clock; limited clock";
/// A record of a later time, which trusts all of that.
const LATER: &str = "echo 1600000100 >clock; refresh";

#[test]
fn an_edit_in_the_instant_of_the_unpack() {
    changes(CLOCK, "edit $d/edited", EDITED);
}

#[test]
fn an_edit_after_the_clock_was_set_back() {
    for time in [1_500_000_000, 1_599_999_999, 1_600_000_050] {
        let change = format!("{LATER}; echo {time} >clock; edit $d/edited");
        changes(CLOCK, &change, EDITED);
    }
}

#[test]
fn files_that_change_places_where_that_is_no_change_of_a_file() {
    let swap = "mv $d/neighbour $d/new; mv $d/other $d/neighbour; mv $d/new $d/other";
    let change = format!("{LATER}; echo 1600000200 >clock; {swap}");
    changes(CLOCK, &change, &[("d/neighbour", "before"), ("d/other", "beside")]);
}

#[test]
fn an_edit_where_inodes_do_not_keep_their_numbers() {
    let again = "pause; unlimited; limited numbers";
    changes("limited numbers", again, &[]);
    changes("limited numbers", &format!("{again}; edit $d/edited"), EDITED);
}

/// Who sets the time of the last change sets the only one there is.
#[test]
fn an_edit_where_inodes_have_no_time_of_change() {
    for record in ["", "refresh; "] {
        changes("limited one_time", &format!("pause; {record}edit $d/edited"), EDITED);
    }
}
