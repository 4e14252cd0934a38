//! From words to transfers: what `cp` and `rm` with these words are to do.
//!
//! Pure: looks at no file. So a target that turns out to be a directory is told to it later ([`Task::inside_target`]), which saves
//! looking at each of the targets that are none. Invariants: each transfer of a plan has exactly one end in S3; standard input and standard
//! output are each used once at most.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::url::{self, Place};

/// One transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Upload {
        source: Local,
        to: Place,
    },
    Download {
        from: Place,
        target: Local,
        /// Whether the target's name is that of the key, in a directory that was asked for.
        named: bool,
    },
    Delete(Place),
}

/// An end of a transfer on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// Standard input or standard output.
    Standard,
    Path(PathBuf),
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Local::Standard => f.write_str("-"),
            Local::Path(path) => path.display().fmt(f),
        }
    }
}

impl Task {
    /// The command's name.
    pub(crate) fn op(&self) -> &'static str {
        match self {
            Task::Upload { .. } | Task::Download { .. } => "cp",
            Task::Delete(_) => "rm",
        }
    }

    /// The first word behind it, with what was left out of it.
    pub(crate) fn src(&self) -> String {
        match self {
            Task::Upload { source, .. } => source.to_string(),
            Task::Download { from, .. } => from.to_string(),
            Task::Delete(place) => place.to_string(),
        }
    }

    /// The same download to a file in the directory that its target is; `None` if there can be none.
    pub(crate) fn inside_target(&self) -> Option<Task> {
        match self {
            Task::Download { from, target: Local::Path(path), named: false } => {
                let target = Local::Path(path.join(base_name(&from.key)?));
                Some(Task::Download { from: from.clone(), target, named: true })
            }
            _ => None,
        }
    }

    /// What there may still be of it when it has begun and was not cleaned up.
    pub(crate) fn left_behind(&self) -> Option<String> {
        match self {
            Task::Upload { to, .. } => Some(format!("a multipart upload of {to} may be left behind")),
            Task::Download { target: Local::Path(path), .. } => {
                Some(format!("a temporary file {}.* may be left behind", path.display()))
            }
            Task::Download { target: Local::Standard, .. } | Task::Delete(_) => None,
        }
    }

    /// The second word, if it has one.
    pub(crate) fn dst(&self) -> Option<String> {
        match self {
            Task::Upload { to, .. } => Some(to.to_string()),
            Task::Download { target, .. } => Some(target.to_string()),
            Task::Delete(_) => None,
        }
    }
}

/// What a word of `cp` means.
enum End {
    Remote(Place),
    Local(Local),
}

impl End {
    fn of(word: &OsStr) -> Result<End, String> {
        if word == "-" {
            return Ok(End::Local(Local::Standard));
        }
        if word.is_empty() {
            return Err("an empty word is no path".to_owned());
        }
        match word.to_str() {
            Some(text) if url::is_url(text) => url::parse(text).map(End::Remote),
            None if url::is_url(&word.to_string_lossy()) => {
                Err(format!("{} is not UTF-8, as keys must be", word.display()))
            }
            _ => Ok(End::Local(Local::Path(PathBuf::from(word)))),
        }
    }
}

/// What a file is called that takes its name from a key.
fn base_name(key: &str) -> Option<&str> {
    let name = key.rsplit('/').next().unwrap_or_default();
    (!matches!(name, "" | "." | "..") && !name.chars().any(std::path::is_separator)).then_some(name)
}

/// Makes tasks of words, one command after the other.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// Who has standard input, in words for an error; nobody when `None`.
    stdin: Option<&'static str>,
    stdout: Option<&'static str>,
}

impl Planner {
    /// Says that standard input has a reader.
    pub(crate) fn reserve_stdin(&mut self, by: &'static str) {
        self.stdin = Some(by);
    }

    /// Says that standard output has a writer.
    pub(crate) fn reserve_stdout(&mut self, by: &'static str) {
        self.stdout = Some(by);
    }

    /// `cp SRC... DST`.
    ///
    /// # Errors
    /// Wrong usage, in words.
    pub(crate) fn cp_all(&mut self, words: &[OsString]) -> Result<Vec<Task>, String> {
        let Some((target, sources @ [_, ..])) = words.split_last() else {
            return Err("cp takes at least two words: cp SRC... DST".to_owned());
        };
        if sources.len() > 1 && !ends_in_slash(target) {
            return Err(format!("with several SRC the DST has to end in /, and {} does not", target.display()));
        }
        let tasks = sources.iter().map(|source| self.cp(source, target)).collect::<Result<Vec<Task>, String>>()?;
        let mut targets = HashSet::new();
        for task in &tasks {
            let target = task.dst().unwrap_or_default();
            if target != "-" && !targets.insert(target.clone()) {
                return Err(format!("two SRC would become {target}"));
            }
        }
        Ok(tasks)
    }

    /// `cp SRC DST`.
    ///
    /// # Errors
    /// Wrong usage, in words.
    pub(crate) fn cp(&mut self, source: &OsStr, target: &OsStr) -> Result<Task, String> {
        match (End::of(source)?, End::of(target)?) {
            (End::Local(source), End::Remote(to)) => self.upload(source, to),
            (End::Remote(from), End::Local(to)) => self.download(from, to),
            (End::Remote(_), End::Remote(_)) => Err(format!(
                "{} and {} are both in S3: one of them has to be on this machine",
                source.display(),
                target.display()
            )),
            (End::Local(_), End::Local(_)) => Err(format!(
                "{} and {} are both on this machine: one of them has to be an s3:// URL",
                source.display(),
                target.display()
            )),
        }
    }

    /// `rm URL`.
    ///
    /// # Errors
    /// Wrong usage, in words.
    pub(crate) fn rm(&self, word: &OsStr) -> Result<Task, String> {
        match End::of(word)? {
            End::Remote(place) if place.key.is_empty() => Err(format!("{place} names no object")),
            End::Remote(place) => Ok(Task::Delete(place)),
            End::Local(_) => Err(format!("{} is no s3:// URL", word.display())),
        }
    }

    fn upload(&mut self, source: Local, mut to: Place) -> Result<Task, String> {
        if to.key.is_empty() || to.key.ends_with('/') {
            let name = match &source {
                Local::Standard => {
                    return Err(format!("what comes from standard input has no name: {to} has to have one"));
                }
                Local::Path(path) => {
                    path.file_name().ok_or_else(|| format!("{} has no name to be added to {to}", path.display()))?
                }
            };
            to.key.push_str(name.to_str().ok_or_else(|| format!("{} is not UTF-8, as keys must be", name.display()))?);
        }
        if source == Local::Standard {
            take(&mut self.stdin, "standard input", "another transfer")?;
        }
        Ok(Task::Upload { source, to })
    }

    fn download(&mut self, from: Place, target: Local) -> Result<Task, String> {
        if from.key.is_empty() {
            return Err(format!("{from} names no object"));
        }
        let (target, named) = match target {
            Local::Standard => {
                take(&mut self.stdout, "standard output", "another transfer")?;
                (Local::Standard, false)
            }
            Local::Path(path) if ends_in_slash(path.as_os_str()) => {
                let name =
                    base_name(&from.key).ok_or_else(|| format!("{from} gives no file name: DST has to have one"))?;
                (Local::Path(path.join(name)), true)
            }
            path @ Local::Path(_) => (path, false),
        };
        Ok(Task::Download { from, target, named })
    }
}

fn take(owner: &mut Option<&'static str>, what: &str, by: &'static str) -> Result<(), String> {
    match owner.replace(by) {
        None => Ok(()),
        Some(other) => Err(format!("{what} is used by {other} already")),
    }
}

fn ends_in_slash(word: &OsStr) -> bool {
    word.as_encoded_bytes().last().is_some_and(|last| std::path::is_separator(char::from(*last)))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
