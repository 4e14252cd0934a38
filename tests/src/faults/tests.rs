use super::*;

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestInfo {
    let mut builder = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    RequestInfo::of(&builder.body(()).unwrap().into_parts().0, &crate::server::Hosts::default())
}

fn strikes(table: &FaultTable, info: &RequestInfo) -> bool {
    !table.plan(info).is_empty()
}

#[test]
fn conditions_are_all_needed() {
    let table = FaultTable::default();
    table.inject(FaultRule::on(Op::UploadPart).key("big").part(3).then(Action::Reset));
    assert!(strikes(&table, &request("PUT", "/b/some-big-file?partNumber=3&uploadId=u", &[])));
    assert!(!strikes(&table, &request("PUT", "/b/some-big-file?partNumber=4&uploadId=u", &[])));
    assert!(!strikes(&table, &request("PUT", "/b/small?partNumber=3&uploadId=u", &[])));
    assert!(!strikes(&table, &request("GET", "/b/some-big-file?partNumber=3", &[])));
}

#[test]
fn times_and_nth_count_matching_requests_only() {
    let table = FaultTable::default();
    let twice = table.inject(FaultRule::on(Op::PutObject).times(2).then(Action::Reset));
    let (put, get) = (request("PUT", "/b/k", &[]), request("GET", "/b/k", &[]));
    let seen: Vec<_> = [&put, &get, &put, &put].into_iter().map(|info| strikes(&table, info)).collect();
    assert_eq!(seen, [true, false, true, false]);
    assert_eq!(twice.hits(), 2);

    table.clear();
    table.inject(FaultRule::on(Op::GetObject).nth(2).then(Action::Reset));
    let seen: Vec<_> = [&get, &put, &get, &get].into_iter().map(|info| strikes(&table, info)).collect();
    assert_eq!(seen, [false, false, true, false]);
}

#[test]
fn a_range_start_and_a_trailer_are_seen() {
    let table = FaultTable::default();
    let ranged = table.inject(FaultRule::on(Op::GetObject).range_start(100).then(Action::CorruptBody));
    assert!(strikes(&table, &request("GET", "/b/k", &[("range", "bytes=100-199")])));
    assert!(!strikes(&table, &request("GET", "/b/k", &[("range", "bytes=1000-")])));
    ranged.remove();
    assert!(!strikes(&table, &request("GET", "/b/k", &[("range", "bytes=100-199")])));
    table.inject(FaultRule::any().then(Action::DropTrailerSupport));
    assert!(strikes(&table, &request("PUT", "/b/k", &[("x-amz-trailer", "x-amz-checksum-crc32")])));
    assert!(!strikes(&table, &request("PUT", "/b/k", &[("x-amz-checksum-crc32", "AAAAAA==")])));
}

#[test]
fn passing_actions_run_before_the_one_that_decides() {
    let table = FaultTable::default();
    table.inject(FaultRule::any().then(Action::Delay(Duration::ZERO)));
    table.inject(FaultRule::any().then(Action::Reset));
    let unreached = table.inject(FaultRule::any().then(Action::CorruptBody));
    let plan = table.plan(&request("GET", "/b/k", &[]));
    assert!(matches!(plan[..], [Action::Delay(_), Action::Reset]), "{plan:?}");
    assert_eq!(unreached.hits(), 0);
}

#[test]
fn a_probability_is_repeatable_and_about_right() {
    let draw = |seed| {
        let table = FaultTable::default();
        table.inject(FaultRule::any().probability(0.25, seed).then(Action::Reset));
        let info = request("GET", "/b/k", &[]);
        (0..1000).map(|_| strikes(&table, &info)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let hits = draw(1).into_iter().filter(|hit| *hit).count();
    assert!((180..320).contains(&hits), "{hits} of 1000 at 0.25");
}
