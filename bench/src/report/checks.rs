//! Who can tell that bytes arrived as they were: what the server saw of checksums.

use std::collections::BTreeMap;

use crate::run::record::Run;

/// What all of a client's runs of one workload have in common.
pub(crate) fn checksums(runs: &[Run]) -> String {
    let mut uploads: BTreeMap<&str, u64> = BTreeMap::new();
    for (how, count) in runs.iter().flat_map(|run| &run.secured_by) {
        *uploads.entry(how).or_default() += count;
    }
    if !uploads.is_empty() {
        return of_uploads(uploads);
    }
    let asked: Option<u64> = runs.iter().map(|run| run.checksums_asked).sum();
    let sum = |value: fn(&Run) -> u64| runs.iter().map(value).sum::<u64>();
    match asked {
        _ if sum(|run| run.bytes) == 0 => "–".to_owned(),
        None => "–".to_owned(),
        Some(_) if sum(|run| run.checksums_told) >= sum(|run| run.objects) => "of the whole".to_owned(),
        Some(0) => "not asked for".to_owned(),
        Some(_) => "not of the whole".to_owned(),
    }
}

/// The most common first.
fn of_uploads(uploads: BTreeMap<&str, u64>) -> String {
    let mut uploads: Vec<(&str, u64)> = uploads.into_iter().collect();
    uploads.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names = uploads.iter().map(|(how, _)| how.strip_prefix("x-amz-checksum-").unwrap_or(how));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(asked: Option<u64>, told: u64) -> Run {
        Run { bytes: 5, objects: 2, checksums_asked: asked, checksums_told: told, ..Run::default() }
    }

    #[test]
    fn downloads_have_the_checksum_of_the_whole_or_not() {
        assert_eq!(checksums(&[run(Some(2), 2), run(Some(3), 2)]), "of the whole");
        assert_eq!(checksums(&[run(Some(9), 0)]), "not of the whole");
        assert_eq!(checksums(&[run(Some(0), 0)]), "not asked for");
        assert_eq!(checksums(&[run(None, 0)]), "–", "nobody counted");
        assert_eq!(checksums(&[Run { bytes: 0, ..run(Some(0), 0) }]), "–", "there is nothing to check");
    }

    #[test]
    fn uploads_are_secured_by_what_most_of_them_carry() {
        let secured_by = [("x-amz-checksum-crc32 in a header".to_owned(), 9), ("nothing".to_owned(), 1)].into();
        assert_eq!(checksums(&[Run { secured_by, ..run(Some(0), 0) }]), "crc32 in a header, nothing");
    }
}
