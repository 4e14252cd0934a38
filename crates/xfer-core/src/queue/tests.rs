#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn entry(transfer: u64, job: u32, class: Class) -> Entry {
    Entry { transfer: TransferId(transfer), job: JobId(job), class, memory: u64::from(job) * 3 }
}

fn order(queue: &mut FairQueue) -> Vec<(u64, u32)> {
    std::iter::from_fn(|| queue.pop_fitting(|_| true)).map(|e| (e.transfer.0, e.job.0)).collect()
}

#[test]
fn finishing_work_goes_first() {
    let mut queue = FairQueue::new();
    queue.push(entry(1, 0, Class::Bulk));
    queue.push(entry(2, 0, Class::Small));
    queue.push(entry(3, 0, Class::Finishing));
    queue.push(entry(4, 0, Class::Finishing));
    assert_eq!(queue.len(), 4);
    assert_eq!(order(&mut queue), [(3, 0), (4, 0), (2, 0), (1, 0)]);
    assert!(queue.is_empty());
}

#[test]
fn a_retry_goes_before_the_rest_of_its_transfer() {
    let mut queue = FairQueue::new();
    for job in 0..2 {
        queue.push(entry(1, job, Class::Bulk));
        queue.push(entry(2, job, Class::Bulk));
    }
    queue.push_front(entry(2, 9, Class::Bulk));
    queue.push_front(entry(3, 9, Class::Bulk));
    assert_eq!(order(&mut queue), [(3, 9), (1, 0), (2, 9), (1, 1), (2, 0), (2, 1)]);
}

#[test]
fn a_transfer_that_waits_for_itself_holds_up_no_other() {
    let mut queue = FairQueue::new();
    let many = PASSED_OVER as u64 * 3;
    for transfer in 0..many {
        queue.push(entry(transfer, 0, Class::Bulk));
    }
    let mut asked = 0;
    let mut only_last = |entry: &Entry| {
        asked += 1;
        if entry.transfer.0 == many - 1 { Fit::Now } else { Fit::OfOthers }
    };
    // Few are asked each time: the one whose turn it is, and others than before.
    for _ in 0..3 {
        assert_eq!(queue.pop_fitting(&mut only_last), None);
    }
    assert_eq!(queue.pop_fitting(&mut only_last), Some(entry(many - 1, 0, Class::Bulk)));
    assert_eq!(asked, many as usize + 3);
    asked = 0;
    queue.pop_fitting(|_| {
        asked += 1;
        Fit::Later
    });
    assert_eq!(asked, 1, "who waits for all holds up all");
    let mut both = FairQueue::new();
    both.push(entry(1, 0, Class::Small));
    for job in 0..3 * PATIENCE {
        both.push(entry(2, job, Class::Bulk));
    }
    let bulk = |entry: &Entry| if entry.class == Class::Bulk { Fit::Now } else { Fit::OfOthers };
    assert_eq!(std::iter::from_fn(|| both.pop_fitting(bulk)).count() as u32, 3 * PATIENCE, "nor another class");
    let mut few = FairQueue::new();
    few.push(entry(1, 0, Class::Bulk));
    few.push(entry(2, 0, Class::Bulk));
    assert_eq!(few.pop_fitting(|_| Fit::OfOthers), None, "and each is asked once");
    assert_eq!(order(&mut few), [(1, 0), (2, 0)]);
}

/// So few transfers may have begun that all others wait, more than are asked at once, and each that ends lets one begin while another comes.
#[test]
fn those_that_wait_for_a_place_have_it_in_the_order_in_which_they_came() {
    for waiting in [2, PASSED_OVER as u64 + 1, 5 * PASSED_OVER as u64] {
        let mut queue = FairQueue::new();
        for transfer in 0..waiting {
            queue.push(entry(transfer, 0, Class::Small));
        }
        for end in 0..3 * waiting {
            for _ in 0..end % 4 {
                assert_eq!(queue.pop_fitting(|_| Fit::OfOthers), None, "there is no place");
            }
            assert_eq!(queue.pop_fitting(|_| Fit::Now), Some(entry(end, 0, Class::Small)));
            queue.push(entry(waiting + end, 0, Class::Small));
        }
    }
}

/// Serves a world in which each job holds its slot for `time(class)` rounds, with 16 slots; gives the round in which each entry came out.
fn serve(queue: &mut FairQueue, rounds: usize, time: impl Fn(Class) -> usize) -> Vec<(Entry, usize)> {
    let mut running: VecDeque<(usize, Class)> = VecDeque::new();
    let mut served = Vec::new();
    for round in 0..rounds {
        running.retain(|(end, class)| {
            if *end <= round {
                queue.on_settled(*class);
            }
            *end > round
        });
        while running.len() < 16 {
            let Some(entry) = queue.pop_fitting(|_| true) else { break };
            queue.on_dispatched(entry.class);
            running.push_back((round + time(entry.class), entry.class));
            served.push((entry, round));
        }
    }
    served
}

#[test]
fn one_huge_file_and_a_thousand_small_ones_share_the_slots() {
    let mut queue = FairQueue::new();
    for job in 0..10_000 {
        queue.push(entry(0, job, Class::Bulk));
    }
    for transfer in 1..=1_000 {
        queue.push(entry(transfer, 0, Class::Small));
    }
    // A part takes 20 times as long as a small object. Half of the slots would serve 1,000 small ones in 125 rounds.
    let served = serve(&mut queue, 400, |class| if class == Class::Bulk { 20 } else { 1 });
    let last_small = served.iter().filter(|(e, _)| e.class == Class::Small).map(|(_, round)| *round).max().unwrap();
    let smalls = served.iter().filter(|(e, _)| e.class == Class::Small).count();
    assert_eq!(smalls, 1_000);
    assert!(last_small <= 150, "the last small object waited {last_small} rounds");
    // Nor did the huge one wait for them: 8 slots for 125 rounds of 20 make 50 parts.
    let parts = served.iter().filter(|(e, round)| e.class == Class::Bulk && *round <= 125).count();
    assert!(parts >= 40, "{parts} parts of the huge file meanwhile");
}

#[test]
fn many_huge_files_take_turns_whatever_they_have_waiting() {
    let mut queue = FairQueue::new();
    for job in 0..5_000 {
        queue.push(entry(0, job, Class::Bulk));
    }
    for transfer in 1..=9 {
        (0..10).for_each(|job| queue.push(entry(transfer, job, Class::Bulk)));
    }
    let first: Vec<_> = order(&mut queue).into_iter().take(100).collect();
    for transfer in 0..=9 {
        assert_eq!(first.iter().filter(|(t, _)| *t == transfer).count(), 10, "transfer {transfer}");
    }
}

#[test]
fn what_does_not_fit_is_not_overtaken_forever() {
    let mut queue = FairQueue::new();
    queue.push(Entry { memory: 1_000, ..entry(1, 0, Class::Bulk) });
    for transfer in 2..500 {
        queue.push(entry(transfer, 0, Class::Small));
    }
    queue.push(entry(900, 0, Class::Finishing));
    let small_ones_only = |e: &Entry| e.memory < 1_000;
    // Small ones hold more slots all the time, so it is the large one's turn each time.
    let mut overtakers = 0;
    while let Some(entry) = queue.pop_fitting(small_ones_only) {
        queue.on_dispatched(entry.class);
        overtakers += 1;
    }
    assert!((PATIENCE..=PATIENCE + 2).contains(&overtakers), "{overtakers} overtook it");
    queue.push(entry(901, 0, Class::Finishing));
    assert_eq!(queue.pop_fitting(small_ones_only).map(|e| e.transfer.0), Some(901));
    assert_eq!(queue.pop_fitting(|_| true).map(|e| e.memory), Some(1_000));
    assert!(queue.pop_fitting(small_ones_only).is_some());
}

#[test]
fn what_frees_memory_is_not_kept_waiting_by_what_waits_for_memory() {
    let put = Job::PutObject { length: 5 };
    let part = Job::UploadPart {
        upload_id: "id".into(),
        number: crate::id::PartNumber::FIRST,
        range: crate::range::ByteRange::new(0, 5),
    };
    assert_eq!([Class::of(&put), Class::of(&part)], [Class::Small, Class::Bulk]);
    assert_eq!([Class::of_kept(&put), Class::of_kept(&part)], [Class::Finishing; 2]);
    assert_eq!(Class::of_kept(&Job::DeleteObject), Class::Small);
    let mut queue = FairQueue::new();
    queue.push(Entry { memory: 10, ..entry(1, 0, Class::Bulk) });
    queue.push(Entry { memory: 0, ..entry(2, 0, Class::of_kept(&part)) });
    assert_eq!(queue.pop_fitting(|e| e.memory == 0).map(|e| e.transfer.0), Some(2));
}

#[test]
fn finishing_work_that_does_not_fit_is_not_overtaken_forever_either() {
    let mut queue = FairQueue::new();
    queue.push(entry(1, 7, Class::Finishing));
    (2..500).for_each(|transfer| queue.push(entry(transfer, 0, Class::Small)));
    let overtakers = std::iter::from_fn(|| queue.pop_fitting(|e| e.job != JobId(7))).count();
    assert_eq!(overtakers, PATIENCE as usize);
    assert_eq!(queue.pop_fitting(|_| true).map(|e| e.job), Some(JobId(7)));
    assert!(queue.pop_fitting(|_| true).is_some());
}

#[test]
fn patience_ends_with_the_transfer_that_waits() {
    let mut queue = FairQueue::new();
    queue.push(Entry { memory: 1_000, ..entry(1, 0, Class::Bulk) });
    (2..500).for_each(|transfer| queue.push(entry(transfer, 0, Class::Small)));
    while let Some(entry) = queue.pop_fitting(|e| e.memory < 1_000) {
        queue.on_dispatched(entry.class);
    }
    assert_eq!(queue.pop_fitting(|_| true).map(|e| e.transfer), Some(TransferId(1)));
    assert!(queue.pop_fitting(|e| e.memory < 1_000).is_some());
}

#[test]
fn the_question_is_asked_until_the_first_yes_only() {
    let mut queue = FairQueue::new();
    for class in [Class::Bulk, Class::Small, Class::Finishing] {
        queue.push(entry(1, 0, class));
    }
    let mut asked = Vec::new();
    let none = queue.pop_fitting(|e| {
        asked.push(e.class);
        false
    });
    assert_eq!(none, None);
    assert_eq!(asked, [Class::Finishing, Class::Small, Class::Bulk]);
    let mut asked = 0;
    queue.pop_fitting(|_| {
        asked += 1;
        true
    });
    assert_eq!((asked, queue.len()), (1, 2));
}

#[test]
fn a_million_transfers_wait_in_little_memory() {
    let million = 1_000_000;
    let begun = Instant::now();
    let mut queue = FairQueue::new();
    for transfer in 0..million {
        queue.push(entry(transfer, 0, if transfer % 2 == 0 { Class::Small } else { Class::Bulk }));
    }
    assert_eq!(queue.len() as u64, million);
    let bytes_each = queue.state_bytes() as u64 / million;
    assert!(bytes_each <= 100, "{bytes_each} bytes for each entry");
    // Were there anything that grows with the number of others, this would take hours.
    let mut left = 0;
    while queue.pop_fitting(|_| true).is_some() {
        left += 1;
    }
    assert_eq!(left, million);
    assert!(queue.state_bytes() < 100_000, "memory is given back");
    if !cfg!(debug_assertions) {
        assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
    }
}

/// The rules again, in the plainest way: the transfer whose turn it is stands in front.
#[derive(Default)]
struct Model {
    classes: [VecDeque<(u64, VecDeque<u32>)>; 3],
}

impl Model {
    fn push(&mut self, transfer: u64, job: u32, class: Class, front: bool) {
        let ring = &mut self.classes[class.index()];
        let Some((_, jobs)) = ring.iter_mut().find(|(t, _)| *t == transfer) else {
            let seat = (transfer, VecDeque::from([job]));
            return if front { ring.push_front(seat) } else { ring.push_back(seat) };
        };
        if front { jobs.push_front(job) } else { jobs.push_back(job) }
    }

    fn pop(&mut self, class: Class) -> (u64, u32) {
        let ring = &mut self.classes[class.index()];
        let (transfer, mut jobs) = ring.pop_front().unwrap();
        let job = jobs.pop_front().unwrap();
        if !jobs.is_empty() {
            ring.push_back((transfer, jobs));
        }
        (transfer, job)
    }

    fn len(&self) -> usize {
        self.classes.iter().flatten().map(|(_, jobs)| jobs.len()).sum()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64, Class, bool),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![Just(Class::Finishing), Just(Class::Small), Just(Class::Bulk)];
    let step = prop_oneof![
        5 => (0..8u64, class, any::<bool>()).prop_map(|(t, c, f)| Step::Push(t, c, f)),
        4 => Just(Step::Pop),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn it_does_as_the_plain_model(steps in steps()) {
        let (mut queue, mut model) = (FairQueue::new(), Model::default());
        for (job, step) in steps.into_iter().enumerate() {
            let job = job as u32;
            match step {
                Step::Push(transfer, class, front) => {
                    model.push(transfer, job, class, front);
                    if front {
                        queue.push_front(entry(transfer, job, class));
                    } else {
                        queue.push(entry(transfer, job, class));
                    }
                }
                Step::Pop => match queue.pop_fitting(|_| true) {
                    Some(popped) => {
                        prop_assert_eq!(popped, entry(popped.transfer.0, popped.job.0, popped.class));
                        prop_assert_eq!(model.pop(popped.class), (popped.transfer.0, popped.job.0));
                    }
                    None => prop_assert_eq!(model.len(), 0),
                },
            }
            prop_assert_eq!(queue.len(), model.len());
        }
    }
}
