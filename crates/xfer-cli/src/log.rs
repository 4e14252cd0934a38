//! What is logged, and how: to standard error, above the bars if there are any.
//!
//! Without being asked for, the warnings of xfer's own crates: what is left behind or works differently than it should, somebody has to
//! know. Those of other crates are for who looks for something.

use std::env::VarError;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::progress::Screen;

/// All crates of this project have names that begin so.
const WARNINGS: &str = "xfer=warn";

/// Logs from now on. `-v`, given `verbose` times, comes before `RUST_LOG`, as options come before the environment.
pub(crate) fn start(verbose: u8, screen: &Screen) {
    let (asked, complaint) = match verbose {
        0 => directives(std::env::var("RUST_LOG")),
        1 => (Some(EnvFilter::new("info")), None),
        2 => (Some(EnvFilter::new("debug")), None),
        _ => (Some(EnvFilter::new("trace")), None),
    };
    if let Some(text) = complaint {
        screen.say(&format!("xfer: {text}"));
    }
    let brief = asked.is_none();
    let writer = screen.clone();
    let log = tracing_subscriber::fmt()
        .with_env_filter(asked.unwrap_or_else(|| EnvFilter::new(WARNINGS)))
        .with_ansi(coloured(
            io::stderr().is_terminal(),
            std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()),
        ))
        .with_writer(move || writer.clone());
    if brief { log.without_time().with_target(false).init() } else { log.init() }
}

/// What `RUST_LOG` asks for, and what is to be said of it.
fn directives(variable: Result<String, VarError>) -> (Option<EnvFilter>, Option<String>) {
    let text = match variable {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(VarError::NotPresent) => return (None, None),
        Err(error @ VarError::NotUnicode(_)) => return (None, Some(format!("RUST_LOG is ignored: {error}"))),
    };
    match EnvFilter::try_new(text) {
        Ok(filter) => (Some(filter), None),
        Err(error) => (None, Some(format!("RUST_LOG is ignored: {error}"))),
    }
}

/// Colours are for terminals, and for those who have not asked to be spared them (<https://no-color.org>).
fn coloured(terminal: bool, no_color: bool) -> bool {
    terminal && !no_color
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_rust_log_asks_for() {
        for (variable, asked, complaint) in [
            (Err(VarError::NotPresent), false, false),
            (Ok(""), false, false),
            (Ok("xfer_actors=debug,warn"), true, false),
            (Ok("xfer=loud"), false, true),
            (Err(VarError::NotUnicode("x".into())), false, true),
        ] {
            let (filter, text) = directives(variable.clone().map(str::to_owned));
            assert_eq!((filter.is_some(), text.is_some()), (asked, complaint), "{variable:?} {text:?}");
        }
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(coloured(true, false));
        assert!(!coloured(true, true) && !coloured(false, false));
    }
}
