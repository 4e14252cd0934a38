//! What many need and one fetches.
//!
//! Invariant: whoever waited while it was fetched in vain gets that failure and does not try again, so that of a hundred who wait for what
//! never comes the last one waits no longer than the first.

use std::fmt;
use std::future::Future;

use parking_lot::Mutex;

/// A turn to fetch something, taken by one at a time.
pub(crate) struct Turn<E> {
    taken: tokio::sync::Mutex<()>,
    failures: Mutex<Failures<E>>,
}

struct Failures<E> {
    count: u64,
    last: Option<E>,
}

impl<E> Default for Turn<E> {
    fn default() -> Turn<E> {
        Turn { taken: tokio::sync::Mutex::default(), failures: Mutex::new(Failures { count: 0, last: None }) }
    }
}

impl<E: Clone> Turn<E> {
    /// What `known` finds; else what `fetch` brings, or brought to the one who had the turn. A fetcher that is dropped leaves the turn to
    /// the next.
    pub(crate) async fn take<T>(
        &self,
        known: impl Fn() -> Option<T>,
        fetch: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some(found) = known() {
            return Ok(found);
        }
        let before = self.failures.lock().count;
        let _mine = self.taken.lock().await;
        if let Some(found) = known() {
            return Ok(found);
        }
        let failed = {
            let failures = self.failures.lock();
            failures.last.clone().filter(|_| failures.count != before)
        };
        if let Some(failure) = failed {
            return Err(failure);
        }
        let fetched = fetch.await;
        if let Err(failure) = &fetched {
            let mut failures = self.failures.lock();
            failures.count += 1;
            failures.last = Some(failure.clone());
        }
        fetched
    }
}

impl<E> fmt::Debug for Turn<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    fn run<F: Future>(test: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(test)
    }

    #[test]
    fn those_who_wait_share_what_comes_and_what_does_not() {
        run(async {
            let (turn, fetched) = (Turn::<&str>::default(), Cell::new(0));
            let place = RefCell::new(None);
            let fetch = |result: Result<u8, &'static str>| {
                let (fetched, place) = (&fetched, &place);
                async move {
                    fetched.set(fetched.get() + 1);
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    *place.borrow_mut() = result.ok();
                    result
                }
            };
            let known = || *place.borrow();
            let begun = tokio::time::Instant::now();
            let all = join_all((0..100).map(|_| turn.take(known, fetch(Err("down"))))).await;
            assert!(all.iter().all(|result| *result == Err("down")));
            assert_eq!((fetched.get(), begun.elapsed().as_secs()), (1, 60));
            // A failure of the past is not one of now.
            let all = join_all((0..100).map(|_| turn.take(known, fetch(Ok(7))))).await;
            assert!(all.iter().all(|result| *result == Ok(7)));
            assert_eq!((fetched.get(), begun.elapsed().as_secs()), (2, 120));
            assert_eq!(turn.take(known, fetch(Err("not asked"))).await, Ok(7));
        });
    }

    #[test]
    fn a_turn_that_is_given_up_goes_to_the_next() {
        run(async {
            let turn = Turn::<&str>::default();
            let second = Duration::from_secs(1);
            let never = tokio::time::timeout(second, turn.take(|| None, std::future::pending::<Result<u8, _>>()));
            let (never, next) = tokio::join!(never, turn.take(|| None, async { Ok(7) }));
            assert!(never.is_err());
            assert_eq!(next, Ok(7));
        });
    }
}
