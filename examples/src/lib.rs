//! Runnable examples: see the files beside this package's manifest.

/// The README's snippets have to compile as well.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
