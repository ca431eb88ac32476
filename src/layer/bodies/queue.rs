// SPDX-License-Identifier: Apache-2.0
//! [`Queue`]: work that one thread hands over and several others take.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work in the order in which it came.
///
/// Nobody is called who is busy anyhow: whoever works looks for more before going to sleep, and
/// waking somebody takes longer than some work does.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// There is work, or there will be no more.
    work: Condvar,
    /// All work is done.
    rest: Condvar,
    /// How much may wait.
    room: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// How much has been taken and is not done.
    in_hand: usize,
    /// How many threads wait for work, and how many for the end of it.
    idle: usize,
    settling: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(room: usize) -> Self {
        let waiting = VecDeque::new();
        let state = State { waiting, in_hand: 0, idle: 0, settling: 0, closed: false };
        Self { state: state.into(), work: Condvar::new(), rest: Condvar::new(), room }
    }

    /// Hands work over, or gives it back if more waits already than is good.
    pub(super) fn offer(&self, work: T) -> Option<T> {
        let mut state = self.lock();
        if state.waiting.len() >= self.room {
            return Some(work);
        }
        state.waiting.push_back(work);
        let somebody_waits = state.idle > 0;
        drop(state);
        if somebody_waits {
            self.work.notify_one();
        }
        None
    }

    /// Takes work, and waits for it; `None` when there will be no more. Who takes it says when
    /// it is [`done`](Self::done).
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            let work = state.take();
            if work.is_some() || state.closed {
                return work;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// As [`take`](Self::take), of what waits already.
    pub(super) fn take_waiting(&self) -> Option<T> {
        self.lock().take()
    }

    /// Says that work which was taken is done.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.in_hand = state.in_hand.saturating_sub(1);
        if state.settling > 0 && state.is_at_rest() {
            self.rest.notify_all();
        }
    }

    /// Waits until all work is done.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.settling += 1;
        while !state.is_at_rest() {
            state = self.rest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.settling -= 1;
    }

    /// Says that there will be no more work.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        let work = self.waiting.pop_front()?;
        self.in_hand += 1;
        Some(work)
    }

    fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.in_hand == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_work_is_done_once() {
        const WORK: usize = 2000;
        let queue = Queue::<usize>::new(3);
        let done = [const { AtomicUsize::new(0) }; WORK];
        let returned = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(work) = queue.take() {
                        done[work].fetch_add(1, Ordering::Relaxed);
                        queue.done();
                    }
                });
            }
            let returned: Vec<_> = (0..WORK).filter_map(|work| queue.offer(work)).collect();
            queue.settle();
            let sum = || done.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
            assert_eq!(sum() + returned.len(), WORK);
            for work in &returned {
                while queue.offer(*work).is_some() {
                    if let Some(work) = queue.take_waiting() {
                        done[work].fetch_add(1, Ordering::Relaxed);
                        queue.done();
                    }
                }
            }
            queue.close();
            returned.len()
        });
        assert!(returned < WORK);
        assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn what_has_no_room_is_given_back() {
        let queue = Queue::new(2);
        assert_eq!([queue.offer(1), queue.offer(2), queue.offer(3)], [None, None, Some(3)]);
        assert_eq!((queue.take(), queue.offer(4)), (Some(1), None));
        assert_eq!((queue.take_waiting(), queue.offer(5)), (Some(2), None));
        queue.close();
        assert_eq!([queue.take(), queue.take(), queue.take()], [Some(4), Some(5), None]);
        assert_eq!(queue.take_waiting(), None);
    }
}
