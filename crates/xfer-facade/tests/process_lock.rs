//! The process lock between real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use xfer_facade::{ErrorKind, acquire_process_lock};

/// Names the lock that a child is to take; set in children only.
const CHILD: &str = "XFER_TEST_LOCK_CHILD";

/// Not a test of its own: what a child process runs. It says which lock it has, if any, and holds it until its input ends.
#[test]
fn child() {
    let Ok(name) = std::env::var(CHILD) else { return };
    let lock = acquire_process_lock((!name.is_empty()).then_some(&*name));
    match &lock {
        Ok(Some(lock)) => println!("\nlock: {}", lock.name()),
        Ok(None) => println!("\nlock: none"),
        Err(error) => println!("\nlock: {error:?}"),
    }
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(lock);
}

/// A child process, and which lock it says that it has.
fn ask(mut command: Command, name: &str) -> (Child, ChildStdin, String) {
    let mut child = command
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("lock: ").map(str::to_owned)).unwrap();
    (child, stdin, said)
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// A child process, and whether it got the lock.
fn spawn(name: &str) -> (Child, ChildStdin, bool) {
    let (child, stdin, said) = ask(this_program(), name);
    (child, stdin, said == name)
}

/// What a child says whose temporary files belong in `folder`.
fn said_with(folder: &std::path::Path, name: &str) -> String {
    let mut command = this_program();
    command.env("TMPDIR", folder);
    let (mut child, stdin, said) = ask(command, name);
    drop(stdin);
    child.wait().unwrap();
    said
}

fn name(of: &str) -> String {
    format!("test-{of}-{}", std::process::id())
}

#[test]
fn another_process_holds_it_until_it_ends() {
    let name = name("ends");
    let (mut child, stdin, held) = spawn(&name);
    assert!(held);
    assert!(acquire_process_lock(&*name).unwrap().is_none());
    drop(stdin);
    child.wait().unwrap();
    assert!(acquire_process_lock(&*name).unwrap().is_some());
}

#[test]
fn a_killed_process_holds_nothing() {
    let name = name("killed");
    let (mut child, _stdin, held) = spawn(&name);
    assert!(held);
    assert!(acquire_process_lock(&*name).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(acquire_process_lock(&*name).unwrap().is_some());
}

#[test]
fn what_this_process_holds_no_other_gets() {
    let name = name("mine");
    let first = acquire_process_lock(&*name).unwrap().unwrap();
    let again = acquire_process_lock(&*name).unwrap().unwrap();
    assert_eq!((first.name(), again.name()), (&*name, &*name));
    drop(first);
    let (mut child, _stdin, held) = spawn(&name);
    assert!(!held, "the second handle still holds it");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(again);
    let (mut child, _stdin, held) = spawn(&name);
    assert!(held);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn locks_of_two_names_are_two_locks() {
    let (a, b) = (name("a"), name("b"));
    let (mut child, _stdin, held) = spawn(&a);
    assert!(held);
    assert!(acquire_process_lock(&*b).unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", "a/b", "..", ".", "a\0"] {
        let error = acquire_process_lock(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name:?}");
    }
}

#[test]
fn without_a_name_it_is_that_of_xfer() {
    let folder = std::env::temp_dir().join(name("folder"));
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(said_with(&folder, ""), "xfer");
    assert!(folder.join("xfer_process_lock/xfer.lock").is_file());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_and_not_a_lock_of_another_process() {
    let nowhere = std::path::Path::new("/nonexistent");
    let said = said_with(nowhere, "any");
    assert!(said.starts_with("Error { kind: InvalidConfig, invalid configuration: the lock file: "), "{said}");
    assert!(said.contains("/nonexistent/xfer_process_lock/any.lock"), "{said}");
}

/// A folder for temporary files, with the folder for locks in it.
#[cfg(unix)]
fn folder(of: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(name(of));
    let locks = folder.join("xfer_process_lock");
    std::fs::create_dir_all(&locks).unwrap();
    (folder, locks)
}

#[cfg(unix)]
#[test]
fn other_users_may_take_it_whatever_is_masked_from_what_this_one_makes() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(name("masked"));
    std::fs::create_dir(&folder).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap()).env("TMPDIR", &folder);
    let (mut child, stdin, said) = ask(shell, "any");
    assert_eq!(said, "any");
    drop(stdin);
    child.wait().unwrap();
    let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("xfer_process_lock"), 0o1777);
    assert_eq!(mode("xfer_process_lock/any.lock"), 0o644);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(unix)]
#[test]
fn what_others_have_put_in_the_place_of_its_file_is_not_taken_for_it() {
    let (folder, locks) = folder("places");
    let elsewhere = folder.join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, locks.join("link.lock")).unwrap();
    assert!(Command::new("mkfifo").arg(locks.join("pipe.lock")).status().unwrap().success());
    std::fs::create_dir(locks.join("folder.lock")).unwrap();
    for name in ["link", "pipe", "folder"] {
        let said = said_with(&folder, name);
        assert!(said.contains("InvalidConfig") && said.contains(&format!("{name}.lock")), "{name}: {said}");
    }
    assert!(!elsewhere.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn one_that_is_being_freed_is_not_taken_for_that_of_another_process() {
    let name = &*name("freed");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let lock = acquire_process_lock(name).unwrap();
                    drop(lock.clone());
                    assert!(lock.is_some(), "only this process knows of it");
                }
            });
        }
    });
}
