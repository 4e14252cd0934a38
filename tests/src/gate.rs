//! A gate that holds requests until a test opens it.
//!
//! Lets a test stop the world at an exact request without sleeping: hold, wait for the arrival, act, open.
//! Once open a gate stays open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Holds every request that reaches it until [`Gate::open`]; clones are the same gate. See [`Action::Hold`](crate::Action::Hold).
///
/// ```
/// let gate = xfer_tests::Gate::new();
/// assert_eq!(gate.arrivals(), 0);
/// gate.open();
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    arrivals: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate that nothing has reached yet.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { arrivals: watch::Sender::new(0), open: watch::Sender::new(false) }) }
    }

    /// Lets all held and all later requests pass.
    pub fn open(&self) {
        self.inner.open.send_replace(true);
    }

    /// How many requests have reached the gate so far.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        *self.inner.arrivals.borrow()
    }

    /// Waits until `count` requests in all have reached the gate.
    pub async fn arrived(&self, count: u64) {
        let mut arrivals = self.inner.arrivals.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = arrivals.wait_for(|seen| *seen >= count).await;
    }

    /// [`Gate::arrived`] for plain threads: false when `limit` passes first.
    ///
    /// # Panics
    /// If called from within an async runtime, which it would block.
    #[must_use]
    pub fn arrived_blocking(&self, count: u64, limit: Duration) -> bool {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime to wait on");
        runtime.block_on(async { tokio::time::timeout(limit, self.arrived(count)).await.is_ok() })
    }

    /// Counts one arrival and waits until the gate is open.
    pub(crate) async fn pass(&self) {
        let mut open = self.inner.open.subscribe();
        self.inner.arrivals.send_modify(|seen| *seen += 1);
        let _ = open.wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holds_until_opened_and_stays_open() {
        let gate = Gate::new();
        let held = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.arrived(1).await;
        assert!(!held.is_finished());
        gate.open();
        held.await.unwrap();
        gate.pass().await;
        assert_eq!(gate.arrivals(), 2);
    }

    #[test]
    fn a_blocking_wait_is_bounded() {
        let gate = Gate::new();
        assert!(!gate.arrived_blocking(1, Duration::from_millis(10)));
        assert!(gate.arrived_blocking(0, Duration::from_secs(5)));
    }
}
