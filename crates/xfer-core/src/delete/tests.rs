#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::error::{Error, ErrorKind};
use crate::id::JobId;

fn after(events: Vec<Event>) -> Vec<Effect> {
    let mut machine = DeleteMachine::new();
    let mut effects = Vec::new();
    for event in events {
        machine.on(event, &mut effects);
    }
    let ended = matches!(effects.last(), Some(Effect::Finish(_)));
    assert_eq!(machine.is_finished(), ended);
    assert_eq!(machine.outstanding(), usize::from(!ended && !effects.is_empty()));
    effects
}

fn deleted() -> Event {
    Event::Done { job: JobId(0), reply: Reply::ObjectDeleted { version_id: Some("marker".into()) } }
}

fn failed(kind: ErrorKind) -> Event {
    Event::Failed { job: JobId(0), error: Error::new(kind, "") }
}

fn stop() -> Event {
    Event::Stop { error: Error::new(ErrorKind::ShutDown, "") }
}

fn error(effects: &[Effect]) -> ErrorKind {
    match effects.last() {
        Some(Effect::Finish(Err(error))) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_request_and_its_answer() {
    let effects = after(vec![Event::Started, Event::Started, deleted(), deleted()]);
    let [Effect::Run { id: JobId(0), job: Job::DeleteObject }, Effect::Finish(Ok(outcome))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((outcome.bytes, outcome.version_id.as_deref()), (0, Some("marker")));
    assert_eq!(error(&after(vec![Event::Started, failed(ErrorKind::AccessDenied)])), ErrorKind::AccessDenied);
}

#[test]
fn a_stop_waits_for_the_answer() {
    let effects = after(vec![Event::Started, stop()]);
    assert!(matches!(effects[..], [Effect::Run { .. }, Effect::Withdraw]));
    assert_eq!(error(&after(vec![Event::Started, stop(), failed(ErrorKind::Cancelled)])), ErrorKind::ShutDown);
    assert_eq!(error(&after(vec![stop(), Event::Started])), ErrorKind::ShutDown);
}

#[test]
fn a_stop_that_came_too_late_does_not_deny_the_delete() {
    let effects = after(vec![Event::Started, stop(), deleted()]);
    assert!(matches!(effects.last(), Some(Effect::Finish(Ok(_)))));
}

#[test]
fn the_reply_of_another_job_is_a_failure() {
    let wrong = Event::Done { job: JobId(0), reply: Reply::TargetCommitted };
    assert_eq!(error(&after(vec![Event::Started, wrong])), ErrorKind::Internal);
}
