//! Being interrupted: SIGINT (Ctrl-C), SIGTERM, and SIGHUP when the terminal goes.
//!
//! The first one is only noted, so that everything can be cancelled and cleaned up; the second ends the process at once, unless it is
//! a SIGHUP: of those the kernel and the shell send one each, and nobody meant the second one.

use std::io;
#[cfg(unix)]
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a process that was interrupted: 128 and the number of SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether somebody wants this to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn raise(&self, wish: Wish) {
        if self.0.swap(true, Ordering::AcqRel) && wish == Wish::EndNow {
            std::process::exit(i32::from(INTERRUPTED));
        }
    }
}

/// What one more signal asks for, when there was one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Not to wait for the clean-up.
    EndNow,
    /// Nothing new.
    #[cfg(unix)]
    End,
}

/// Listens from now on, on a thread of its own.
///
/// # Errors
/// When the operating system gives no thread or takes no handler.
pub(crate) fn watch() -> io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let raised = interrupt.clone();
    std::thread::Builder::new().name("xfer-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            while let Some(wish) = signals.next().await {
                raised.raise(wish);
            }
        });
    })?;
    Ok(interrupt)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` where it is ignored: under `nohup` a run goes on when the terminal has gone.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        // Asked first: a handler would take the place of what is looked for.
        let hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// What the next signal asks for; `None` when there will be none.
    async fn next(&mut self) -> Option<Wish> {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = self.interrupt.recv() => signal.map(|()| Wish::EndNow),
            signal = self.terminate.recv() => signal.map(|()| Wish::EndNow),
            signal = hangup => signal.map(|()| Wish::End),
        }
    }
}

/// Whether whoever started this process has it ignore SIGHUP. Linux tells; elsewhere `nohup` is known by standard error, which it leads
/// away from the terminal.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    status.as_deref().and_then(ignores_hangup).unwrap_or_else(|| !io::stderr().is_terminal())
}

/// Whether SIGHUP, whose number is 1, is among the ignored signals of a `/proc/PID/status`.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 == 1)
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    /// What the next signal asks for; `None` when there will be none.
    async fn next(&mut self) -> Option<Wish> {
        self.0.recv().await.map(|()| Wish::EndNow)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn the_mask_of_ignored_signals() {
        assert_eq!(ignores_hangup("Name:\txfer\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), Some(true));
        assert_eq!(ignores_hangup("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"), Some(false));
        assert_eq!(ignores_hangup("Name:\txfer\n"), None);
    }
}
