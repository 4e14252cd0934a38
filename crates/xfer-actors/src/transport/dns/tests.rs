#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::net::IpAddr;

use super::in_turn;

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|a| a.parse().unwrap()).collect()
}

#[test]
fn every_address_takes_its_turn_first() {
    let all = ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let firsts: Vec<IpAddr> = (0..6).map(|turn| in_turn(&all, turn, |_| false)[0]).collect();
    assert_eq!(firsts, ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    assert_eq!(in_turn(&all, 1, |_| false), ips(&["10.0.0.2", "10.0.0.3", "10.0.0.1"]));
    assert!(in_turn(&[], 3, |_| false).is_empty());
}

#[test]
fn families_alternate_beginning_with_the_preferred_one() {
    let all = ips(&["fd00::1", "fd00::2", "fd00::3", "10.0.0.1"]);
    assert_eq!(in_turn(&all, 0, |_| false), ips(&["fd00::1", "10.0.0.1", "fd00::2", "fd00::3"]));
    assert_eq!(in_turn(&all, 4, |_| false), ips(&["fd00::2", "10.0.0.1", "fd00::3", "fd00::1"]));
}

#[test]
fn addresses_that_failed_come_last_but_do_come() {
    let all = ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let bad: HashSet<IpAddr> = ips(&["10.0.0.1"]).into_iter().collect();
    for turn in 0..3 {
        let order = in_turn(&all, turn, |a| bad.contains(a));
        assert_eq!((order.len(), order[2]), (3, all[0]));
    }
    assert_eq!(in_turn(&all, 0, |_| true), all);
}
