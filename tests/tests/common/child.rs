//! Tests that need an environment of their own run in a child process: the same program, told to run its test `child` only.
//!
//! A suite with children has such a test, which does what [`task`] names and [`say`]s how it went.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// Names the child's task; set in children only.
const TASK: &str = "XFER_TEST_CHILD_TASK";
/// Begins the lines that are for the parent.
const SAID: &str = "child says: ";

/// What this process is to do, if it is a child.
pub(crate) fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// Runs the test that calls it in a process of its own, where no other one has left or takes anything that is measured; true in that process.
#[allow(clippy::print_stderr, reason = "the figures that it prints are for who runs the test")]
pub(crate) fn by_itself(test: &str) -> bool {
    const MARK: &str = "XFER_TEST_BY_ITSELF";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.args(["--exact", test, "--nocapture"]).env(MARK, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    eprint!("{err}");
    assert!(child.status.success() && out.contains("1 passed"), "{out}");
    false
}

/// Tells the parent a line.
#[allow(clippy::print_stdout, reason = "the way to the parent")]
pub(crate) fn say(line: impl std::fmt::Display) {
    // On a line of its own, whatever the test harness has written before.
    println!("\n{SAID}{line}");
}

/// Runs a task in a child that has this environment and nothing else, and gives the lines that it said. Without further words the child
/// finds no credentials and no profile.
pub(crate) fn run(task: &str, environment: &[(&str, impl AsRef<OsStr>)]) -> Vec<String> {
    let output = output(task, environment);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told.lines().filter_map(|line| line.strip_prefix(SAID)).map(str::to_owned).collect()
}

/// The same for a child that does [`kill_me`].
pub(crate) fn run_until_killed(task: &str, environment: &[(&str, impl AsRef<OsStr>)]) {
    let output = output(task, environment);
    assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ends this process as nothing can prevent.
pub(crate) fn kill_me() -> ! {
    let mut kill = Command::new("/bin/kill").arg("-9").arg(std::process::id().to_string()).spawn().unwrap();
    panic!("killed, and it goes on: {:?}", kill.wait())
}

fn output(task: &str, environment: &[(&str, impl AsRef<OsStr>)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env_clear()
        .env(TASK, task)
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}
