//! The pieces of an object that are done, in runs without a gap, each with the checksum of its bytes.
//!
//! Pieces come in any order; neighbours are joined at once. So no more runs are kept than there are pieces under way plus one,
//! however large the object is, and the checksum of the whole is there as soon as the last piece is.

use std::collections::BTreeMap;

use crate::checksum::Checksum;

#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// By the index of a run's first piece.
    runs: BTreeMap<u32, Run>,
}

#[derive(Debug)]
struct Run {
    /// Index behind its last piece.
    end: u32,
    length: u64,
    /// `None` when a piece had none, or when they cannot be combined.
    checksum: Option<Checksum>,
}

impl Runs {
    /// Puts in piece `index` of `length` bytes, from 0. Each piece may be put in once.
    pub(crate) fn insert(&mut self, index: u32, length: u64, checksum: Option<Checksum>) {
        let mut first = index;
        let mut run = Run { end: index + 1, length, checksum };
        if let Some((&start, before)) = self.runs.range(..index).next_back()
            && before.end == index
            && let Some(before) = self.runs.remove(&start)
        {
            first = start;
            run = before.followed_by(run);
        }
        if let Some(after) = self.runs.remove(&run.end) {
            run = run.followed_by(after);
        }
        self.runs.insert(first, run);
    }

    /// The checksum of all pieces, if there are `count` of them without a gap and their checksums combine.
    pub(crate) fn checksum_of(&self, count: u32) -> Option<&Checksum> {
        self.runs.get(&0).filter(|run| run.end == count)?.checksum.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }
}

impl Run {
    fn followed_by(self, next: Run) -> Run {
        let checksum = match (&self.checksum, &next.checksum) {
            (Some(own), Some(other)) => own.then(other, next.length),
            _ => None,
        };
        Run { end: next.end, length: self.length + next.length, checksum }
    }
}

#[cfg(test)]
mod tests;
