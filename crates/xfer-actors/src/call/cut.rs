//! How the requests of a transfer are cut off, all at once.
//!
//! Takes no memory of its own while a transfer waits: there may be a million of them. Invariant: who asks after the cut hears of it
//! as well as who was listening.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether a transfer has been cut, and who waits to hear of it.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    made: AtomicBool,
    heard: Notify,
}

impl Cut {
    /// Cuts off whatever listens now or will listen.
    pub(crate) fn make(&self) {
        self.made.store(true, Ordering::SeqCst);
        self.heard.notify_waiters();
    }

    /// Whether it has been cut.
    pub(crate) fn is_made(&self) -> bool {
        self.made.load(Ordering::SeqCst)
    }

    /// Waits for the cut.
    pub(crate) async fn made(&self) {
        let mut heard = pin!(self.heard.notified());
        // Listens before it looks, so that a cut in between is not missed.
        heard.as_mut().enable();
        if !self.is_made() {
            heard.await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_is_heard_whenever_it_is_made() {
        let cut = Cut::default();
        assert!(!cut.is_made());
        assert!(tokio::time::timeout(Duration::from_millis(5), cut.made()).await.is_err());
        let both = async { tokio::join!(cut.made(), cut.made(), async { cut.make() }) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("those who listened hear it");
        tokio::time::timeout(Duration::from_secs(20), cut.made()).await.expect("so does who comes late");
    }

    #[test]
    fn none_is_missed_that_is_made_on_another_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..2_000 {
            let (cut, barrier) = (Arc::new(Cut::default()), Arc::new(std::sync::Barrier::new(2)));
            let other = std::thread::spawn({
                let (cut, barrier) = (Arc::clone(&cut), Arc::clone(&barrier));
                move || {
                    barrier.wait();
                    cut.make();
                }
            });
            barrier.wait();
            let heard = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), cut.made()).await });
            assert!(heard.is_ok());
            other.join().unwrap();
        }
    }
}
