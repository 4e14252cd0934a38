//! Whose turn it is: one queue for the jobs of all transfers.
//!
//! Decides the order: finishing work first; then small and bulk work, whichever holds fewer slots at the time; within a class the
//! transfers in turn, and within a transfer its jobs in the order in which they came. So neither does one huge file starve a
//! thousand small ones nor the other way round. Never decides how much may run at once: the caller says of an entry whether it fits.
//!
//! Invariants: each entry leaves the queue once. Each operation takes a time that does not grow with the number of waiting transfers.
//! An entry that does not fit is overtaken by at most [`PATIENCE`] others, so that a large one is not kept out by small ones forever.

use foldhash::HashMap;

use crate::id::{JobId, TransferId};
use crate::job::Job;

mod pool;
use pool::Pool;

/// How many entries may overtake one that did not fit, before everything of a lower turn waits for it. Large enough to keep the
/// slots filled while a large part waits for memory, small enough that it is served within a few round trips.
pub const PATIENCE: u32 = 64;

/// How many transfers are passed over, at the most, that wait for themselves ([`Fit::OfOthers`]), in search of one that does not.
const PASSED_OVER: usize = 64;

/// What kind of work a job is, as far as its turn is concerned.
///
/// ```
/// use xfer_core::job::Job;
/// use xfer_core::queue::Class;
/// assert_eq!(Class::of(&Job::CommitTarget), Class::Finishing);
/// assert_eq!(Class::of(&Job::PutObject { length: 5 }), Class::Small);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// What opens and ends a transfer of many parts, and what gives held memory back. Others wait for it: always first.
    Finishing,
    /// A request that is a transfer of its own, or the first of one.
    Small,
    /// One of many parts.
    Bulk,
}

impl Class {
    /// The class of a job.
    #[must_use]
    pub fn of(job: &Job) -> Class {
        match job {
            Job::CreateUpload
            | Job::CompleteUpload { .. }
            | Job::AbortUpload { .. }
            | Job::LookForObject { .. }
            | Job::CommitTarget
            | Job::DiscardTarget => Class::Finishing,
            Job::PutObject { .. } | Job::Discover { .. } | Job::DeleteObject => Class::Small,
            Job::ReadPart { .. } | Job::UploadPart { .. } | Job::FetchRange { .. } => Class::Bulk,
        }
    }

    /// The class of a job that sends bytes which [`Job::ReadPart`] keeps in memory.
    ///
    /// Such a job frees memory and needs none: it is finishing work, and its entry has `memory: 0`. Were it to wait its turn
    /// behind jobs that wait for that memory, all would wait forever. It does not get more than its share by that, since the
    /// reading had its turn.
    #[must_use]
    pub fn of_kept(job: &Job) -> Class {
        match job {
            Job::PutObject { .. } | Job::UploadPart { .. } => Class::Finishing,
            _ => Class::of(job),
        }
    }

    fn index(self) -> usize {
        match self {
            Class::Finishing => 0,
            Class::Small => 1,
            Class::Bulk => 2,
        }
    }
}

/// A job that waits for its turn.
///
/// ```
/// use xfer_core::id::{JobId, TransferId};
/// use xfer_core::queue::{Class, Entry};
/// let part = Entry { transfer: TransferId(1), job: JobId(4), class: Class::Bulk, memory: 8 << 20 };
/// assert_eq!(part.memory, 8_388_608, "bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose job it is.
    pub transfer: TransferId,
    /// The job.
    pub job: JobId,
    /// What kind of work it is.
    pub class: Class,
    /// Bytes of memory that it takes while it runs.
    pub memory: u64,
}

/// Whether an entry can run now.
///
/// ```
/// use xfer_core::id::{JobId, TransferId};
/// use xfer_core::queue::{Class, Entry, FairQueue, Fit};
/// let mut queue = FairQueue::new();
/// let entry = |transfer, memory| Entry { transfer: TransferId(transfer), job: JobId(0), class: Class::Bulk, memory };
/// queue.push(entry(1, 100));
/// queue.push(entry(2, 1));
/// // The first one waits for memory that it holds itself.
/// let next = queue.pop_fitting(|entry| if entry.memory > 10 { Fit::OfOthers } else { Fit::Now });
/// assert_eq!(next.map(|entry| entry.transfer), Some(TransferId(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It can.
    Now,
    /// It cannot, and nor could one of another transfer.
    Later,
    /// It cannot; one of another transfer may.
    OfOthers,
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Fit {
        if fits { Fit::Now } else { Fit::Later }
    }
}

/// The queue.
///
/// ```
/// use xfer_core::id::{JobId, TransferId};
/// use xfer_core::queue::{Class, Entry, FairQueue};
/// let mut queue = FairQueue::new();
/// let entry = |transfer, job| Entry { transfer: TransferId(transfer), job: JobId(job), class: Class::Bulk, memory: 0 };
/// queue.push(entry(1, 0));
/// queue.push(entry(1, 1));
/// queue.push(entry(2, 0));
/// let order: Vec<u64> = std::iter::from_fn(|| queue.pop_fitting(|_| true)).map(|e| e.transfer.0).collect();
/// assert_eq!(order, [1, 2, 1]);
/// ```
#[derive(Debug, Default)]
pub struct FairQueue {
    rings: [Ring; 3],
    /// Slots that each class holds now.
    held: [usize; 3],
    /// How often the entry whose turn it is in a class was overtaken after it did not fit.
    overtaken: [u32; 3],
    small_was_last: bool,
}

impl FairQueue {
    /// A queue in which nothing waits.
    #[must_use]
    pub fn new() -> FairQueue {
        FairQueue::default()
    }

    /// Puts a job behind the others of its transfer, and a transfer that did not wait behind the others of its class.
    pub fn push(&mut self, entry: Entry) {
        self.rings[entry.class.index()].push(entry, false);
    }

    /// Puts a job that is tried again before the others of its transfer; a transfer that did not wait has the next turn.
    pub fn push_front(&mut self, entry: Entry) {
        self.rings[entry.class.index()].push(entry, true);
    }

    /// Takes out the entry whose turn it is, if `fits` says that it can run now; otherwise tries the other classes.
    ///
    /// `fits` is asked about one entry of each class, and about those of further transfers only while it says [`Fit::OfOthers`]; no more
    /// once it has said yes: it may take permits when it does. Call [`on_dispatched`](FairQueue::on_dispatched) for the entry when it runs.
    /// One that nobody wants any more fits, and is passed over by who takes it out.
    pub fn pop_fitting<F: Into<Fit>>(&mut self, mut fits: impl FnMut(&Entry) -> F) -> Option<Entry> {
        let mut refused = [false; 3];
        for class in self.order() {
            match self.try_class(class, &mut fits) {
                Tried::Fits(entry) => {
                    for (overtaken, refused) in self.overtaken.iter_mut().zip(refused) {
                        *overtaken += u32::from(refused);
                    }
                    return Some(entry);
                }
                Tried::Waits if self.overtaken[class.index()] >= PATIENCE => return None,
                Tried::Waits => refused[class.index()] = true,
                Tried::Nothing => {}
            }
        }
        None
    }

    /// The order in which the classes are tried now.
    fn order(&self) -> [Class; 3] {
        let overdue = |class: Class| self.overtaken[class.index()] >= PATIENCE && self.waits(class);
        let (small, bulk) = (self.held[Class::Small.index()], self.held[Class::Bulk.index()]);
        let small_first = match (overdue(Class::Small), overdue(Class::Bulk)) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => small < bulk || (small == bulk && !self.small_was_last),
        };
        if small_first {
            [Class::Finishing, Class::Small, Class::Bulk]
        } else {
            [Class::Finishing, Class::Bulk, Class::Small]
        }
    }

    fn waits(&self, class: Class) -> bool {
        self.rings[class.index()].turn != NONE
    }

    fn try_class<F: Into<Fit>>(&mut self, class: Class, fits: &mut impl FnMut(&Entry) -> F) -> Tried {
        let ring = &mut self.rings[class.index()];
        if ring.turn == NONE {
            return Tried::Nothing;
        }
        // Who waits for itself keeps its turn: the others are asked from where it was left off, or those behind it would never be.
        let (mut place, mut next) = (ring.turn, ring.search_from());
        let mut asked = 0;
        let entry = loop {
            let entry = ring.first_of(place, class);
            asked += 1;
            match fits(&entry).into() {
                Fit::Now => break entry,
                Fit::Later => return Tried::Waits,
                Fit::OfOthers if asked == PASSED_OVER || asked == ring.seats.len() => {
                    ring.search = next;
                    return Tried::Nothing;
                }
                Fit::OfOthers => {
                    place = next;
                    next = ring.behind(next);
                }
            }
        };
        if place == ring.turn {
            ring.turn = ring.seats.get(place).after;
        } else {
            ring.search = next;
        }
        ring.take_first(place);
        self.overtaken[class.index()] = 0;
        if class != Class::Finishing {
            self.small_was_last = class == Class::Small;
        }
        Tried::Fits(entry)
    }

    /// A job of `class` has begun: it holds a slot.
    pub fn on_dispatched(&mut self, class: Class) {
        self.held[class.index()] += 1;
    }

    /// A job of `class` has ended, or waits to be tried again: its slot is free.
    pub fn on_settled(&mut self, class: Class) {
        let held = &mut self.held[class.index()];
        *held = held.saturating_sub(1);
    }

    /// How many entries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rings.iter().map(|ring| ring.jobs.len()).sum()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the queue itself has reserved, without the allocator's own overhead.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.rings.iter().map(Ring::state_bytes).sum()
    }
}

/// What came of a look at a class.
enum Tried {
    Fits(Entry),
    /// The entry whose turn it is waits, and must not be overtaken by too many.
    Waits,
    /// Nothing waits, or nothing but what waits for its own transfer: nobody gains by holding up the others for it.
    Nothing,
}

/// No place in a pool.
const NONE: u32 = u32::MAX;

/// The waiting transfers of one class, in a circle, each with its waiting jobs in a chain. Links are places in two pools: no
/// transfer has an allocation of its own, and leaving the circle is possible from anywhere.
#[derive(Debug)]
struct Ring {
    seat_of: HashMap<TransferId, u32>,
    seats: Pool<Seat>,
    jobs: Pool<Waiting>,
    /// The seat whose turn it is.
    turn: u32,
    /// The seat from which to look on for one that can run, while the one whose turn it is waits for itself.
    search: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    transfer: TransferId,
    first: u32,
    last: u32,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    memory: u64,
    job: JobId,
    after: u32,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring { seat_of: HashMap::default(), seats: Pool::new(), jobs: Pool::new(), turn: NONE, search: NONE }
    }
}

impl Ring {
    fn push(&mut self, entry: Entry, front: bool) {
        let job = self.jobs.put(Waiting { memory: entry.memory, job: entry.job, after: NONE });
        if let Some(&place) = self.seat_of.get(&entry.transfer) {
            let seat = self.seats.get_mut(place);
            if front {
                self.jobs.get_mut(job).after = seat.first;
                seat.first = job;
            } else {
                self.jobs.get_mut(seat.last).after = job;
                seat.last = job;
            }
            return;
        }
        let seat = Seat { transfer: entry.transfer, first: job, last: job, before: NONE, after: NONE };
        let place = self.seats.put(seat);
        self.seat_of.insert(entry.transfer, place);
        self.sit_down(place, front);
    }

    /// Puts a seat before the one whose turn it is: at the end of the circle, or, with the turn, at its start.
    fn sit_down(&mut self, place: u32, take_turn: bool) {
        if self.turn == NONE {
            let seat = self.seats.get_mut(place);
            (seat.before, seat.after) = (place, place);
            self.turn = place;
            return;
        }
        let after = self.turn;
        let before = self.seats.get(after).before;
        self.seats.get_mut(before).after = place;
        self.seats.get_mut(after).before = place;
        let seat = self.seats.get_mut(place);
        (seat.before, seat.after) = (before, after);
        if take_turn {
            self.turn = place;
        }
    }

    fn stand_up(&mut self, place: u32) {
        let seat = self.seats.take(place);
        self.seat_of.remove(&seat.transfer);
        if seat.after == place {
            (self.turn, self.search) = (NONE, NONE);
        } else {
            self.seats.get_mut(seat.before).after = seat.after;
            self.seats.get_mut(seat.after).before = seat.before;
            for here in [&mut self.turn, &mut self.search] {
                if *here == place {
                    *here = seat.after;
                }
            }
        }
        self.give_memory_back();
    }

    /// The first job of the transfer at `place`.
    fn first_of(&self, place: u32, class: Class) -> Entry {
        let seat = self.seats.get(place);
        let waiting = self.jobs.get(seat.first);
        Entry { transfer: seat.transfer, job: waiting.job, class, memory: waiting.memory }
    }

    /// Where a search among those whose turn it is not goes on.
    fn search_from(&self) -> u32 {
        match self.search {
            NONE => self.seats.get(self.turn).after,
            here if here == self.turn => self.behind(here),
            here => here,
        }
    }

    /// The seat behind `place`, but for the one whose turn it is: that was asked first.
    fn behind(&self, place: u32) -> u32 {
        let after = self.seats.get(place).after;
        if after == self.turn { self.seats.get(after).after } else { after }
    }

    /// Takes out what `first_of` shows.
    fn take_first(&mut self, place: u32) {
        let seat = self.seats.get_mut(place);
        let waiting = self.jobs.take(seat.first);
        seat.first = waiting.after;
        if seat.first == NONE {
            self.stand_up(place);
        }
    }

    /// After a rush, memory is not kept for the next one.
    fn give_memory_back(&mut self) {
        if self.seat_of.is_empty() && self.jobs.capacity() > 1024 {
            *self = Ring::default();
        }
    }

    fn state_bytes(&self) -> usize {
        // A hash map keeps an eighth of its places free, and a byte beside each place.
        let map = self.seat_of.capacity() * 8 / 7 * (size_of::<(TransferId, u32)>() + 1);
        map + self.seats.state_bytes() + self.jobs.state_bytes()
    }
}

#[cfg(test)]
mod tests;
