// SPDX-License-Identifier: Apache-2.0
//! [`each`]: the same work for several items, on some threads.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use crate::error::{Error, ErrorKind, Result};

/// Works on each item, the largest first, and gives the results in the order of the items.
pub(super) fn each<I: Sync, T: Send>(
    items: &[I],
    threads: NonZeroUsize,
    size: impl Fn(&I) -> u64,
    work: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut order: Vec<(usize, &I)> = items.iter().enumerate().collect();
    // A large one that comes last would leave all but one thread without work.
    order.sort_by_key(|(_, item)| Reverse(size(item)));
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some((at, item)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*at, work(item)?));
        }
        Ok::<_, Error>(done)
    };
    let mut done = thread::scope(|scope| {
        let helpers = 1..threads.get().min(items.len());
        // Where no thread can be had, there is still this one.
        let helpers = helpers.map_while(|_| Builder::new().spawn_scoped(scope, run).ok());
        let helpers: Vec<_> = helpers.collect();
        let mut done = run()?;
        for helper in helpers {
            done.extend(helper.join().map_err(|_| panicked())??);
        }
        Ok::<_, Error>(done)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn panicked() -> Error {
    Error::new(ErrorKind::Io, "internal error: the reader of a blob panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for threads in [1, 2, 7] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let items = [3_u64, 9, 1, 9, 0];
            let size = |item: &u64| *item;
            let doubled = each(&items, threads, size, |item| Ok(item * 2)).unwrap();
            assert_eq!(doubled, [6, 18, 2, 18, 0]);
            assert!(each(&[], threads, size, |_| Ok(())).unwrap().is_empty());
            let refuse = |item: &u64| match item {
                0 => Err(Error::invalid("nothing")),
                item => Ok(*item),
            };
            assert!(each(&items, threads, size, refuse).is_err());
        }
    }
}
