//! When the provider is asked, and by how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::provider::future;

use super::*;

/// Gives one answer after the other, each after a yield, and counts.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    calls: AtomicUsize,
    answers: Mutex<VecDeque<Option<Credentials>>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Option<Credentials>>) -> Script {
        let script = Script::default();
        script.0.answers.lock().extend(answers);
        script
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn cache(&self) -> CredentialCache {
        CredentialCache::new(Source::Provider(SharedCredentialsProvider::new(self.clone())))
    }
}

impl ProvideCredentials for Script {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.0.calls.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let answer = self.0.answers.lock().pop_front().expect("one call more than the test knows");
            answer.ok_or_else(|| CredentialsError::provider_error("the vault is shut"))
        })
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn until(seconds: u64) -> Option<Credentials> {
    Some(Credentials::new(format!("AK{seconds}"), "SECRET", Some("TOKEN".to_owned()), Some(at(seconds)), "script"))
}

fn forever() -> Option<Credentials> {
    Some(Credentials::new("AK", "SECRET", None, None, "script"))
}

async fn expiry(cache: &CredentialCache, now: u64) -> u64 {
    let identity = cache.get(at(now)).await.unwrap().unwrap();
    identity.expires().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn asks_once_for_many() {
    let script = Script::new([forever()]);
    let cache = script.cache();
    let all = futures(&cache, 50, 0).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(cache.get(at(1 << 40)).await.unwrap().is_some());
    assert_eq!(script.calls(), 1);
}

/// `count` calls at once, all of them under way before the first ends.
async fn futures(cache: &CredentialCache, count: usize, now: u64) -> Vec<Result<Option<Identity>, Error>> {
    let mut calls: Vec<_> = (0..count).map(|_| Box::pin(cache.get(at(now)))).collect();
    let mut outcomes: Vec<Option<_>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let std::task::Poll::Ready(done) = call.as_mut().poll(context)
            {
                *outcome = Some(done);
            }
        }
        if outcomes.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outcomes.into_iter().map(Option::unwrap).collect()
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_waited() {
    let script = Script::new([None, forever()]);
    let cache = script.cache();
    for outcome in futures(&cache, 20, 0).await {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(error.to_string().contains("the vault is shut"), "{error}");
        assert!(error.to_string().contains("looked in the given credentials provider"), "{error}");
    }
    assert_eq!(script.calls(), 1);
    assert!(cache.get(at(0)).await.is_ok(), "who comes later asks again");
}

#[tokio::test]
async fn credentials_that_end_at_once_are_shared_by_those_who_waited() {
    // As when the clock of this machine is ahead: the store will say so, and nobody gets better ones by asking again.
    let script = Script::new([until(5), until(6)]);
    let cache = script.cache();
    assert!(futures(&cache, 20, 0).await.iter().all(Result::is_ok));
    assert_eq!(script.calls(), 1);
    assert_eq!(expiry(&cache, 0).await, 6, "who comes later asks again");
}

#[tokio::test]
async fn a_failure_in_the_last_seconds_costs_nobody_the_old_ones() {
    let script = Script::new([until(1_000), None]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    for outcome in futures(&cache, 20, 995).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn renews_in_the_last_five_minutes() {
    let script = Script::new([until(1_000), until(5_000)]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    assert_eq!(expiry(&cache, 699).await, 1_000);
    assert_eq!(script.calls(), 1);
    assert_eq!(expiry(&cache, 700).await, 5_000);
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn others_sign_on_while_one_renews() {
    let script = Script::new([until(1_000), until(5_000)]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    let mut first = Box::pin(cache.get(at(800)));
    std::future::poll_fn(|context| {
        assert!(first.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(expiry(&cache, 800).await, 1_000);
    assert!(first.await.is_ok());
    assert_eq!(expiry(&cache, 800).await, 5_000);
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_old_while_they_hold() {
    let script = Script::new([until(1_000), None, None, None, until(9_000)]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    assert_eq!(expiry(&cache, 800).await, 1_000);
    assert_eq!(script.calls(), 2);
    assert_eq!(expiry(&cache, 814).await, 1_000);
    assert_eq!(script.calls(), 2, "not again within the pause");
    assert_eq!(expiry(&cache, 815).await, 1_000);
    assert_eq!(script.calls(), 3);
    assert_eq!(cache.get(at(1_000)).await.unwrap_err().kind(), ErrorKind::Credentials);
    assert_eq!(expiry(&cache, 1_001).await, 9_000);
}

#[tokio::test]
async fn a_provider_that_gives_the_same_again_is_not_asked_for_each_request() {
    let script = Script::new([until(1_000), until(1_000), until(1_000), until(5_000)]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    for now in [800, 801, 814] {
        assert_eq!(expiry(&cache, now).await, 1_000);
        assert_eq!(script.calls(), 2, "at {now}");
    }
    assert_eq!(expiry(&cache, 815).await, 1_000);
    assert_eq!(script.calls(), 3);
    assert_eq!(expiry(&cache, 990).await, 5_000);
}

#[tokio::test]
async fn credentials_that_never_last_long_are_renewed_for_each_request() {
    let script = Script::new([until(100), until(101), until(102)]);
    let cache = script.cache();
    for end in [100, 101, 102] {
        assert_eq!(expiry(&cache, 0).await, end);
    }
}

#[tokio::test]
async fn the_last_seconds_are_not_used() {
    let script = Script::new([until(1_000), until(2_000)]);
    let cache = script.cache();
    assert_eq!(expiry(&cache, 0).await, 1_000);
    assert_eq!(expiry(&cache, 990).await, 2_000);
}

#[tokio::test]
async fn refused_credentials_are_replaced_once() {
    let script = Script::new([until(100_000), until(200_000)]);
    let cache = script.cache();
    let used = cache.get(at(0)).await.unwrap().unwrap();
    cache.invalidate(&used);
    assert_eq!(expiry(&cache, 0).await, 200_000);
    cache.invalidate(&used);
    assert_eq!(expiry(&cache, 0).await, 200_000);
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_lock() {
    let script = Script::new([forever()]);
    let cache = script.cache();
    let mut gone = Box::pin(cache.get(at(0)));
    std::future::poll_fn(|context| {
        assert!(gone.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(gone);
    assert!(cache.get(at(0)).await.is_ok());
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_left() {
    #[derive(Debug)]
    struct Hangs;
    impl ProvideCredentials for Hangs {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(std::future::pending())
        }
    }
    let cache = CredentialCache::new(Source::Provider(SharedCredentialsProvider::new(Hangs)));
    let error = cache.get(at(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("no answer within 60s"), "{error}");
}

#[tokio::test]
async fn anonymous_has_none() {
    assert!(CredentialCache::new(Source::Anonymous).get(at(0)).await.unwrap().is_none());
}

#[test]
fn debug_shows_no_secret() {
    let identity = Identity::new(until(1_000).unwrap());
    let shown = format!("{identity:?}");
    assert!(!shown.contains("SECRET") && !shown.contains("TOKEN"), "{shown}");
}
