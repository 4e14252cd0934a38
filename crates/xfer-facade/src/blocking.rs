//! Blocks in a place where that may be an executor's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Runs `wait`, which blocks. On a worker of a tokio runtime its other tasks are given to other workers before.
pub(crate) fn blocking<T>(wait: impl Fn() -> T) -> T {
    let many = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    // Workers run tasks. The thread that is in `block_on` has none to give away.
    if !many || tokio::task::try_id().is_none() {
        return wait();
    }
    // A local task in such a runtime is not on a worker. There is no way to ask for that: tokio panics, and then it is known.
    catch_unwind(AssertUnwindSafe(|| block_in_place(&wait))).unwrap_or_else(|_| wait())
}
