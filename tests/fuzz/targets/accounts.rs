// SPDX-License-Identifier: Apache-2.0
//! An image's `etc/passwd` and `etc/group`, and whom its configuration names in
//! them. An input is the name, the one file and the other, with `%` alone on a
//! line between them.

use umoci::bundle::{Accounts, User};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "accounts",
    run,
    words: &[
        b"\n%\n",
        b":",
        b"::",
        b"root",
        b"root:x:0:0:root:/root:/bin/sh\n",
        b"daemon:x:1:1::/:\n",
        b"staff:x:50:root,daemon\n",
        b"root:staff\n%\n",
        b"0:0\n%\n",
        b"4294967295",
        b"2147483648",
        b"-1",
        b"+0",
        b",",
        b"#",
        b"\r\n",
        b"\xff",
        b"\t",
    ],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    let [spec, passwd, group] = parts(input);
    let Ok(spec) = std::str::from_utf8(spec) else { return "no text".to_owned() };
    let accounts = Accounts::new(passwd, group);
    let user = match accounts.find(spec) {
        Ok(user) => user,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            return format!("{:?}", error.kind());
        }
    };
    for id in [user.uid, user.gid].iter().chain(&user.additional_gids) {
        assert_ne!(*id, u32::MAX, "no id");
    }
    let mut words = spec.split(':').map(str::parse::<u32>);
    if let Some(Ok(uid)) = words.next() {
        assert_eq!(user.uid, uid, "a number means itself");
    }
    if let Some(Ok(gid)) = words.next() {
        assert_eq!(user.gid, gid, "a number means itself");
    }
    assert_eq!(with_one_more(spec, passwd, group), user, "the first line counts");
    let groups = "x".repeat(user.additional_gids.len().min(9));
    format!("user {groups} {}", if user.home.is_some() { "home" } else { "homeless" })
}

/// The parts of an input; those that are missing are empty.
fn parts(input: &[u8]) -> [&[u8]; 3] {
    const BETWEEN: &[u8] = b"\n%\n";
    let mut rest = Some(input);
    [(); 3].map(|()| {
        let bytes = rest.take().unwrap_or_default();
        match bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
            Some(at) => {
                rest = Some(&bytes[at + BETWEEN.len()..]);
                &bytes[..at]
            }
            None => bytes,
        }
    })
}

/// The same with lines at the end of both files for users and groups that are there already.
fn with_one_more(spec: &str, passwd: &[u8], group: &[u8]) -> User {
    let again = |bytes: &[u8]| [bytes, b"\n", bytes].concat();
    let mut user = Accounts::new(&again(passwd), &again(group)).find(spec).unwrap();
    user.additional_gids.truncate(user.additional_gids.len() / 2);
    user
}
