#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

fn cp(source: &str, target: &str) -> Result<(String, String), String> {
    let task = Planner::default().cp(source.as_ref(), target.as_ref())?;
    assert_eq!(task.op(), "cp");
    Ok((task.src(), task.dst().unwrap()))
}

#[test]
fn a_directory_takes_the_name_of_what_comes() {
    let table = [
        ("a/b.txt", "s3://b/k", "s3://b/k"),
        ("a/b.txt", "s3://b/k/", "s3://b/k/b.txt"),
        ("a/b.txt", "s3://b/", "s3://b/b.txt"),
        ("a/b.txt", "s3://b", "s3://b/b.txt"),
        ("-", "s3://b/k", "s3://b/k"),
        ("s3://b/x/k", "new", "new"),
        ("s3://b/x/k", "other/", "other/k"),
        ("s3://b/x/", "file", "file"),
        ("s3://b/k", "-", "-"),
    ];
    for (source, target, becomes) in table {
        assert_eq!(cp(source, target), Ok((source.to_owned(), becomes.to_owned())), "cp {source} {target}");
    }
}

#[test]
fn a_target_that_turns_out_to_be_a_directory() {
    let inside = |url: &str, target: &str| {
        Planner::default().cp(url.as_ref(), target.as_ref()).unwrap().inside_target().and_then(|task| task.dst())
    };
    assert_eq!(inside("s3://b/x/k", "dir").unwrap(), "dir/k");
    assert_eq!(inside("s3://b/x/", "dir"), None);
    assert_eq!(inside("s3://b/x/..", "dir"), None);
    assert_eq!(inside("s3://b/x/k", "-"), None);
    assert_eq!(inside("s3://b/x/k", "dir/"), None, "it is in a directory already");
}

#[test]
fn what_was_not_cleaned_up_is_named() {
    let behind =
        |source: &str, target: &str| Planner::default().cp(source.as_ref(), target.as_ref()).unwrap().left_behind();
    assert_eq!(behind("-", "s3://b/k").unwrap(), "a multipart upload of s3://b/k may be left behind");
    assert_eq!(behind("s3://b/k", "dir/").unwrap(), "a temporary file dir/k.* may be left behind");
    assert_eq!(behind("s3://b/k", "-"), None);
    assert_eq!(Planner::default().rm("s3://b/k".as_ref()).unwrap().left_behind(), None);
}

#[test]
fn wrong_usage_is_told_in_words() {
    let table = [
        ("s3://b/a", "s3://b/c", "both in S3"),
        ("a", "b", "both on this machine"),
        ("-", "-", "both on this machine"),
        ("-", "s3://b/k/", "has no name"),
        ("..", "s3://b/k/", "has no name"),
        ("s3://b", "x", "names no object"),
        ("s3://b/x/", "dir/", "no file name"),
        ("s3://b/x/..", "dir/", "no file name"),
        ("", "s3://b/k", "empty word"),
        ("a", "s3://", "names no bucket"),
    ];
    for (source, target, text) in table {
        let error = cp(source, target).unwrap_err();
        assert!(error.contains(text), "cp {source} {target}: {error}");
    }
}

#[test]
fn several_sources_need_a_directory_and_names_of_their_own() {
    let all = |sources: &[&str], target: &str| {
        let words: Vec<OsString> = sources.iter().copied().chain([target]).map(OsString::from).collect();
        Planner::default().cp_all(&words)
    };
    assert!(all(&[], "s3://b/k").unwrap_err().contains("at least two words"));
    assert_eq!(all(&["x/a", "b"], "s3://b/k/").unwrap().len(), 2);
    assert!(all(&["x/a", "b"], "s3://b/k").unwrap_err().contains("end in /"));
    assert!(all(&["x/a", "y/a"], "s3://b/k/").unwrap_err().contains("two SRC would become s3://b/k/a"));
    assert!(all(&["s3://b/a", "c"], "d/").unwrap_err().contains("both on this machine"));
    assert!(all(&["-", "-"], "s3://b/k/").is_err());
}

#[test]
fn a_standard_stream_is_used_once() {
    let mut planner = Planner::default();
    planner.cp("-".as_ref(), "s3://b/1".as_ref()).unwrap();
    assert!(planner.cp("-".as_ref(), "s3://b/2".as_ref()).unwrap_err().contains("another transfer"));
    planner.reserve_stdout("--json");
    let error = planner.cp("s3://b/1".as_ref(), "-".as_ref()).unwrap_err();
    assert_eq!(error, "standard output is used by --json already");
}

#[test]
fn rm_takes_objects_only() {
    let planner = Planner::default();
    let task = planner.rm("s3://b/k/".as_ref()).unwrap();
    assert_eq!((task.op(), task.src(), task.dst()), ("rm", "s3://b/k/".to_owned(), None));
    for word in ["s3://b", "s3://b/", "file", "-"] {
        assert!(planner.rm(word.as_ref()).is_err(), "{word}");
    }
}
