//! The file of `xfer run`: read on a thread of its own, in batches, no further ahead than is used.
//!
//! Invariants: memory does not grow with the file; what cannot be understood ends the reading, with the line's number, and nothing behind
//! it is done.

use std::ffi::OsString;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::plan::{Planner, Task};

/// Bytes read at a time.
const BLOCK: usize = 32 << 10;
/// Longest line: two words of the longest key and path, each character of them escaped, fit in.
const LONGEST: usize = 64 << 10;
/// What some editors put before the first line of a text in UTF-8; it is none of its characters.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Batches that wait for their turn.
const AHEAD: usize = 2;

/// The lines of one block.
pub(crate) struct Batch {
    pub(crate) tasks: Vec<Task>,
    /// Why reading has ended here, if it has and should not.
    pub(crate) error: Option<String>,
}

/// Starts reading. The channel closes at the file's end.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn start(reader: impl Read + Send + 'static, name: String, planner: Planner) -> io::Result<Receiver<Batch>> {
    let (sender, receiver) = sync_channel(AHEAD);
    let lines = Lines { name, number: 0, planner };
    std::thread::Builder::new().name("xfer-run-file".to_owned()).spawn(move || lines.read(reader, &sender))?;
    Ok(receiver)
}

struct Lines {
    name: String,
    number: u64,
    planner: Planner,
}

impl Lines {
    fn read(mut self, mut reader: impl Read, sender: &SyncSender<Batch>) {
        let mut pending = Vec::new();
        loop {
            let (block, at_end) = match read_block(&mut reader, &mut pending) {
                Ok(0) => (std::mem::take(&mut pending), true),
                Ok(_) => match pending.iter().rposition(|byte| *byte == b'\n') {
                    Some(last) => {
                        let rest = pending.split_off(last + 1);
                        (std::mem::replace(&mut pending, rest), false)
                    }
                    None => (Vec::new(), false),
                },
                Err(error) => {
                    let error = Some(format!("{}: {error}", self.name));
                    // The receiver goes when the program is interrupted.
                    let _ = sender.send(Batch { tasks: Vec::new(), error });
                    return;
                }
            };
            let mut batch = self.parse(&block);
            if batch.error.is_none() && pending.len() > LONGEST {
                batch.error =
                    Some(format!("{}:{}: the line is longer than {LONGEST} bytes", self.name, self.number + 1));
            }
            let stop = at_end || batch.error.is_some();
            let empty = batch.tasks.is_empty() && batch.error.is_none();
            if (!empty && sender.send(batch).is_err()) || stop {
                return;
            }
        }
    }

    /// The tasks of whole lines.
    fn parse(&mut self, block: &[u8]) -> Batch {
        let mut tasks = Vec::new();
        if block.is_empty() {
            return Batch { tasks, error: None };
        }
        let block = block.strip_suffix(b"\n").unwrap_or(block);
        let block = if self.number == 0 { block.strip_prefix(BYTE_ORDER_MARK).unwrap_or(block) } else { block };
        for line in block.split(|byte| *byte == b'\n') {
            self.number += 1;
            match self.task(line) {
                Ok(task) => tasks.extend(task),
                Err(text) => {
                    let error = Some(format!("{}:{}: {text}", self.name, self.number));
                    return Batch { tasks, error };
                }
            }
        }
        Batch { tasks, error: None }
    }

    fn task(&mut self, line: &[u8]) -> Result<Option<Task>, String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = shlex::bytes::split(line).ok_or("a quote is not closed, or there is nothing behind the last \\")?;
        let words = words.into_iter().map(os_string).collect::<Result<Vec<OsString>, String>>()?;
        let Some((command, words)) = words.split_first() else { return Ok(None) };
        match (command.to_str(), words) {
            (Some("cp"), [source, target]) => self.planner.cp(source, target).map(Some),
            (Some("rm"), [url]) => self.planner.rm(url).map(Some),
            (Some("cp"), _) => Err("cp takes two words here: cp SRC DST".to_owned()),
            (Some("rm"), _) => Err("rm takes one word here: rm s3://bucket/key".to_owned()),
            _ => Err(format!("{} is neither cp nor rm", command.display())),
        }
    }
}

/// Appends what one read gives; returns how much that is.
fn read_block(reader: &mut impl Read, pending: &mut Vec<u8>) -> io::Result<usize> {
    let before = pending.len();
    pending.resize(before + BLOCK, 0);
    let result = loop {
        match reader.read(&mut pending[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    pending.truncate(before + result.as_ref().copied().unwrap_or(0));
    result
}

#[cfg(unix)]
fn os_string(word: Vec<u8>) -> Result<OsString, String> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(word))
}

#[cfg(not(unix))]
fn os_string(word: Vec<u8>) -> Result<OsString, String> {
    String::from_utf8(word).map(OsString::from).map_err(|_| "the line is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Gives a few bytes a time, as a pipe may.
    struct Trickle(Vec<u8>, usize);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0.drain(..take);
            Ok(take)
        }
    }

    fn read(text: &[u8], step: usize) -> (Vec<String>, Option<String>) {
        let batches = start(Trickle(text.to_vec(), step), "list".to_owned(), Planner::default()).unwrap();
        let mut tasks = Vec::new();
        for batch in batches {
            tasks.extend(batch.tasks.iter().map(|task| format!("{} {} {:?}", task.op(), task.src(), task.dst())));
            if batch.error.is_some() {
                return (tasks, batch.error);
            }
        }
        (tasks, None)
    }

    #[test]
    fn comments_blank_lines_and_quotes() {
        let text = b"# all of it\n\ncp 'a b' s3://b/k  # why\n\t rm s3://b/\"x y\"#z\r\n  \ncp s3://b/it\\'s c";
        for step in [1, 7, 1 << 20] {
            let (tasks, error) = read(text, step);
            assert_eq!(error, None);
            assert_eq!(
                tasks,
                ["cp a b Some(\"s3://b/k\")", "rm s3://b/x y#z None", "cp s3://b/it's Some(\"c\")"],
                "{step} bytes at a time"
            );
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let text = b"\xef\xbb\xbfrm s3://b/1\r\nrm s3://b/2\r\n";
        for step in [1, 1 << 20] {
            assert_eq!(read(text, step), (vec!["rm s3://b/1 None".into(), "rm s3://b/2 None".into()], None));
        }
        assert_eq!(read(b"\xef\xbb\xbf", 5), (vec![], None));
        // Further on it is a character as any other.
        let (tasks, error) = read(b"rm s3://b/1\n\xef\xbb\xbfrm s3://b/2\n", 64);
        assert_eq!((tasks.len(), error.unwrap().contains("is neither")), (1, true));
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        assert_eq!(read(b"", 5), (vec![], None));
        assert_eq!(read(b"\n\n# nothing\n", 5), (vec![], None));
    }

    #[test]
    fn the_first_line_that_makes_no_sense_ends_the_reading_with_its_number() {
        for (line, text) in [
            ("cp a", "cp takes two words"),
            ("cp a b s3://c/", "cp takes two words"),
            ("rm s3://b/1 s3://b/2", "rm takes one word"),
            ("mv a s3://b/k", "mv is neither"),
            ("cp 'a s3://b/k", "not closed"),
            ("cp a b", "both on this machine"),
        ] {
            let (tasks, error) = read(format!("rm s3://b/1\n\n{line}\nrm s3://b/2\n").as_bytes(), 64);
            assert_eq!(tasks, ["rm s3://b/1 None"], "{line}");
            let error = error.unwrap();
            assert!(error.starts_with("list:3: ") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_and_memory_stays_small() {
        let (tasks, error) = read(&vec![b'x'; 10 << 20], 1 << 20);
        assert_eq!(tasks.len(), 0);
        assert!(error.unwrap().contains("list:1: the line is longer"));
    }

    #[test]
    fn long_files_come_in_order_whatever_the_blocks() {
        let text: String = (0..20_000).map(|i| format!("rm s3://bucket/key/{i}\n")).collect();
        let (tasks, error) = read(text.as_bytes(), 4096 + 1);
        assert_eq!((tasks.len(), error), (20_000, None));
        assert_eq!(tasks[19_999], "rm s3://bucket/key/19999 None");
    }
}
