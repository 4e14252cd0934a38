//! The program as its users have it: words in, bytes and exit status out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use xfer_tests::{Action, FaultRule, Gate, Op, ServerHandle, TestServer, pattern};

/// How long anything here may take on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// The program with nothing of this machine's configuration, and with the server's keys.
fn xfer(server: &ServerHandle) -> Command {
    let mut command = bare();
    command
        .env("AWS_ACCESS_KEY_ID", server.access_key())
        .env("AWS_SECRET_ACCESS_KEY", server.secret_key())
        .env("AWS_REGION", server.region())
        .env("AWS_ENDPOINT_URL", server.endpoint_url());
    command
}

fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xfer"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.to_ascii_lowercase().ends_with("_proxy") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "no-such-file")
        .env("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
        .stdin(Stdio::null());
    command
}

/// For a command that is run by another one.
fn environment_of(inner: &Command, outer: &mut Command) {
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
}

#[track_caller]
fn run(command: &mut Command, status: i32) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{command:?} said {said}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn there_and_back_and_gone() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let (source, back) = (folder.path().join("source file"), folder.path().join("back"));
    let size = (20 << 20) + 3;
    pattern::file(&source, 1, size).unwrap();

    let output = run(xfer(&server).args(["--path-style", "cp"]).arg(&source).arg("s3://bucket/some/key"), 0);
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", said(&output));
    assert!(server.stats().count(Op::UploadPart) >= 3, "it is sent in parts");
    assert_eq!(server.object("bucket", "some/key").unwrap().len(), size);

    run(xfer(&server).args(["cp", "--path-style", "s3://bucket/some/key"]).arg(&back), 0);
    pattern::check_file(&back, 1, size).unwrap();
    // A directory takes the name of the object.
    run(xfer(&server).args(["cp", "s3://bucket/some/key", "--path-style"]).arg(folder.path()), 0);
    pattern::check_file(folder.path().join("key"), 1, size).unwrap();

    run(xfer(&server).args(["rm", "s3://bucket/some/key", "s3://bucket/never/was", "--path-style"]), 0);
    assert!(server.list_keys("bucket").is_empty());
    assert_eq!(files_in(folder.path()), ["back", "key", "source file"]);
    assert!(server.open_uploads().is_empty());
}

#[test]
fn through_standard_input_and_output() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let data = pattern::bytes(2, (17 << 20) + 1);

    let mut command = xfer(&server);
    command.args(["--path-style", "cp", "-", "s3://bucket/piped"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&data).unwrap();
    assert!(child.wait().unwrap().success());

    // A file that is redirected tells its size.
    let path = folder.path().join("small");
    fs::write(&path, b"some words").unwrap();
    let mut command = xfer(&server);
    run(command.args(["--path-style", "cp", "-", "s3://bucket/redirected"]).stdin(fs::File::open(&path).unwrap()), 0);
    assert_eq!(server.stats().count(Op::PutObject), 1);

    let output = run(xfer(&server).args(["--path-style", "cp", "s3://bucket/piped", "-"]), 0);
    assert!(output.stdout == data, "{} bytes came out", output.stdout.len());
    let output = run(xfer(&server).args(["--path-style", "cp", "s3://bucket/redirected", "-"]), 0);
    assert_eq!(output.stdout, b"some words");
}

#[test]
fn several_sources_go_into_a_prefix() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let mut command = xfer(&server);
    command.current_dir(folder.path());
    run(command.args(["--path-style", "cp", "a", "b", "c", "s3://bucket/all/"]), 0);
    assert_eq!(server.list_keys("bucket"), ["all/a", "all/b", "all/c"]);
}

#[test]
fn a_file_of_commands_from_a_path_and_from_standard_input() {
    let server = TestServer::start();
    server.put_object("bucket", "old", "old");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("it's here"), "1").unwrap();
    fs::write(folder.path().join("plain"), "22").unwrap();
    let list = "# what to do\n\ncp 'it'\\''s here' s3://bucket/1 # the first\n  cp plain \"s3://bucket/two words\"\nrm s3://bucket/old\n";
    fs::write(folder.path().join("list"), list).unwrap();

    let mut command = xfer(&server);
    run(command.current_dir(folder.path()).args(["run", "--path-style", "list"]), 0);
    assert_eq!(server.list_keys("bucket"), ["1", "two words"]);

    let mut command = xfer(&server);
    command.current_dir(folder.path()).args(["run", "--path-style", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"cp s3://bucket/1 back\nrm s3://bucket/never").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(fs::read(folder.path().join("back")).unwrap(), b"1");
    assert_eq!(json_lines(&output).last().unwrap()["summary"]["ok"], 2);
}

#[test]
fn many_small_objects_in_one_run() {
    let server = TestServer::builder().fast_etags().start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), pattern::bytes(3, 1000)).unwrap();
    let count = 2_500;
    let list: String = (0..count).map(|i| format!("cp small s3://bucket/{i:04}\n")).collect();
    fs::write(folder.path().join("list"), list).unwrap();
    let mut command = xfer(&server);
    run(command.current_dir(folder.path()).args(["run", "--path-style", "list"]), 0);
    assert_eq!(server.list_keys("bucket").len(), count);
    assert_eq!(server.stats().count(Op::PutObject), count as u64);
}

/// How many descriptors the program has open while it uploads one file in one request: what it takes whatever it does.
#[cfg(target_os = "linux")]
fn least_descriptors(server: &ServerHandle, source: &Path) -> usize {
    let gate = Gate::new();
    server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let mut child = xfer(server).args(["--path-style", "cp"]).arg(source).arg("s3://bucket/held").spawn().unwrap();
    assert!(gate.arrived_blocking(1, LONG));
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
    gate.open();
    assert!(child.wait().unwrap().success());
    open
}

/// Ten requests at once would take twenty.
#[cfg(target_os = "linux")]
#[test]
fn with_few_descriptors_it_takes_longer_and_loses_nothing() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    pattern::file(&small, 1, 1_000).unwrap();
    let large = folder.path().join("large");
    pattern::file(&large, 2, 100 << 20).unwrap();
    let few = least_descriptors(&server, &small) + 6;
    let limited = |limit: usize| {
        let mut shell = Command::new("sh");
        environment_of(&xfer(&server), &mut shell);
        shell.args(["-c", "ulimit -n $0; exec \"$@\"", &limit.to_string(), env!("CARGO_BIN_EXE_xfer"), "--path-style"]);
        shell
    };

    let mut jobs = format!("cp {} s3://bucket/large\n", large.display());
    for number in 0..100 {
        jobs += &format!("cp s3://bucket/held {}/{number}\n", folder.path().display());
    }
    let list = folder.path().join("jobs");
    fs::write(&list, jobs).unwrap();
    run(limited(few).arg("run").arg(&list), 0);
    run(limited(few).args(["cp", "s3://bucket/large"]).arg(folder.path().join("back")), 0);
    pattern::check_file(folder.path().join("back"), 2, 100 << 20).unwrap();
    for number in 0..100 {
        pattern::check_file(folder.path().join(number.to_string()), 1, 1_000).unwrap();
    }
    assert!(server.open_uploads().is_empty());

    let told = said(&run(limited(few - 10).arg("cp").arg(&small).arg("s3://bucket/never"), 1));
    assert!(told.contains("too many files and connections are open") && told.contains("ulimit -n"), "{told}");
}

#[test]
fn a_ceiling_is_kept() {
    let server = TestServer::start();
    let source = tempfile::NamedTempFile::new().unwrap();
    pattern::file(source.path(), 1, 4 << 20).unwrap();
    let begun = Instant::now();
    let words = ["--path-style", "cp", "--max-bandwidth", "8MiB/s"];
    run(xfer(&server).args(words).arg(source.path()).arg("s3://bucket/k"), 0);
    // Half a second, but for the burst.
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
    let output = run(xfer(&server).args(["rm", "s3://bucket/k", "--max-bandwidth", "0"]), 2);
    assert!(said(&output).contains("max_bandwidth of value 0"), "{}", said(&output));
}

#[test]
fn json_has_a_line_for_each_and_a_summary() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    pattern::file(&source, 4, 9 << 20).unwrap();
    let mut command = xfer(&server);
    command.args(["--path-style", "--json", "--checksum-algorithm", "CRC32C", "cp"]).arg(&source);
    let lines = json_lines(&run(command.arg("s3://bucket/k"), 0));
    assert_eq!(lines.len(), 2, "{lines:?}");

    let one = lines[0].as_object().unwrap();
    let names: Vec<&str> = one.keys().map(String::as_str).collect();
    let mut wanted = ["op", "src", "dst", "bytes", "seconds", "etag", "verified", "attempts", "error"];
    wanted.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, wanted);
    assert_eq!(
        (&one["op"], &one["src"], &one["dst"]),
        (&"cp".into(), &source.to_str().unwrap().into(), &"s3://bucket/k".into())
    );
    assert_eq!((&one["bytes"], &one["error"]), (&(9 << 20).into(), &Value::Null));
    assert!(one["seconds"].as_f64().unwrap() > 0.0);
    assert!(one["etag"].as_str().unwrap().ends_with("-2\""), "{}", one["etag"]);
    assert!(one["verified"].as_str().unwrap().contains("CRC32C"), "{}", one["verified"]);
    assert_eq!(one["attempts"], 4, "create, two parts, complete");

    let summary = lines[1]["summary"].as_object().unwrap();
    assert!(!summary.contains_key("error"), "{summary:?}");
    assert_eq!((&summary["ok"], &summary["failed"], &summary["bytes"]), (&1.into(), &0.into(), &(9 << 20).into()));
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    assert!(summary["peak_connections"].as_u64().unwrap() >= 1);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let server = TestServer::start();
    server.put_object("bucket", "there", "there");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good"), "good").unwrap();
    let mut command = xfer(&server);
    command.current_dir(folder.path());
    let output = run(command.args(["--path-style", "--json", "cp", "missing", "good", "s3://bucket/"]), 1);
    assert!(
        said(&output).starts_with("xfer: cp missing s3://bucket/missing: cannot open the source"),
        "{}",
        said(&output)
    );
    assert_eq!(server.list_keys("bucket"), ["good", "there"]);
    let lines = json_lines(&output);
    let failed = lines.iter().find(|line| line["src"] == "missing").unwrap();
    assert!(failed["error"].as_str().unwrap().contains("cannot open the source"), "{failed}");
    assert_eq!((&lines[2]["summary"]["ok"], &lines[2]["summary"]["failed"]), (&1.into(), &1.into()));

    fs::create_dir(folder.path().join("into")).unwrap();
    let mut command = xfer(&server);
    command.current_dir(folder.path());
    let output = run(command.args(["--path-style", "cp", "s3://bucket/there", "s3://bucket/not", "into/"]), 1);
    assert!(said(&output).starts_with("xfer: cp s3://bucket/not into/not: no such object"), "{}", said(&output));
    assert_eq!(files_in(&folder.path().join("into")), ["there"]);
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "a").unwrap();
    fs::write(folder.path().join("bad"), "rm s3://bucket/1\ncopy a b\nrm s3://bucket/2\n").unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["cp", "s3://bucket/a", "s3://bucket/b"], "both in S3"),
        (&["cp", "a", "b"], "both on this machine"),
        (&["cp", "a", "a", "s3://bucket/x"], "has to end in /"),
        (&["cp"], "Usage:"),
        (&["cp", "a"], "at least two words"),
        (&["rm", "a"], "no s3:// URL"),
        (&["--json", "cp", "s3://bucket/a", "-"], "used by --json"),
        (&["cp", "--part-size", "much", "a", "s3://bucket/a"], "is not a size"),
        (&["cp", "--num-threads", "0", "a", "s3://bucket/a"], "num_threads"),
        (&["cp", "--checksum-algorithm", "CRC8", "a", "s3://bucket/a"], "CRC8"),
        (&["rm", "--checksum-algorithm", "SHA256", "s3://bucket/a"], "has no meaning for a delete"),
        (&["rm", "--ca-bundle", "a", "--no-verify-ssl", "s3://bucket/a"], "cannot be used with"),
        (&["cp", "--ca-bundle", "missing.pem", "a", "s3://bucket/a"], "missing.pem"),
        (
            &["rm", "--extra-args", r#"{"ContentType":"x"}"#, "s3://bucket/a"],
            "ContentType is not an argument of a delete",
        ),
        (&["run", "missing"], "missing: No such file"),
    ];
    for (words, text) in table {
        let mut command = xfer(&server);
        let output = run(command.current_dir(folder.path()).args(*words), 2);
        assert!(said(&output).contains(text), "{words:?}: {}", said(&output));
    }
    assert_eq!(server.stats().total(), 0);

    // Of a file that is read as it goes, what comes before the line that makes no sense is done.
    let mut command = xfer(&server);
    let output = run(command.current_dir(folder.path()).args(["run", "--path-style", "--json", "bad"]), 2);
    assert!(said(&output).contains("bad:2: copy is neither cp nor rm"), "{}", said(&output));
    let summary = &json_lines(&output)[1]["summary"];
    assert_eq!((&summary["ok"], &summary["error"]), (&1.into(), &"bad:2: copy is neither cp nor rm".into()));
    assert_eq!(server.stats().count(Op::DeleteObject), 1);
}

#[test]
fn without_a_region_it_says_so() {
    let output = run(bare().args(["rm", "s3://bucket/a"]), 2);
    assert!(said(&output).contains("no region is set"), "{}", said(&output));
    assert!(said(&output).trim_end().ends_with("; name one with --region"), "{}", said(&output));
}

#[test]
fn a_profile_that_is_nowhere_is_named() {
    let text = "the profile \"nowhere\", which AWS_PROFILE selects, is in no profile file";
    let output = run(bare().env("AWS_PROFILE", "nowhere").args(["rm", "s3://bucket/a"]), 2);
    assert!(said(&output).contains(text), "{}", said(&output));
    let output = run(bare().env("AWS_PROFILE", "nowhere").args(["--region", "us-east-1", "rm", "s3://bucket/a"]), 1);
    assert!(said(&output).contains("no usable credentials") && said(&output).contains(text), "{}", said(&output));
    let output = run(bare().args(["--region", "us-east-1", "rm", "s3://bucket/a"]), 1);
    assert!(!said(&output).contains("AWS_PROFILE"), "{}", said(&output));
}

#[test]
fn variables_that_are_set_to_nothing_say_nothing() {
    let server = TestServer::start();
    server.put_object("bucket", "k", "here");
    let words = ["--path-style", "cp", "s3://bucket/k", "-"];
    for name in ["AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_S3"] {
        assert_eq!(run(xfer(&server).env(name, "").args(words), 0).stdout, b"here", "{name}");
    }
    let mut command = xfer(&server);
    command.env("AWS_REGION", "").env("AWS_DEFAULT_REGION", server.region());
    assert_eq!(run(command.args(words), 0).stdout, b"here");
    // It goes to AWS, where it does not get without keys.
    let mut command = bare();
    command.env("AWS_ENDPOINT_URL", "").args(["--region", "us-east-1", "rm", "s3://bucket/k"]);
    assert!(said(&run(&mut command, 1)).contains("no usable credentials"));
}

#[test]
fn the_file_of_certificates_is_named_by_what_named_it() {
    let words = ["--region", "us-east-1", "rm", "s3://bucket/a"];
    let output = run(bare().env("AWS_CA_BUNDLE", "missing.pem").args(words), 2);
    assert!(
        said(&output).starts_with("xfer: AWS_CA_BUNDLE: ") && said(&output).contains("missing.pem"),
        "{}",
        said(&output)
    );
    let output = run(bare().args(["--ca-bundle", "missing.pem"]).args(words), 2);
    assert!(said(&output).starts_with("xfer: --ca-bundle: "), "{}", said(&output));
}

#[test]
fn the_environment_and_the_options_name_the_store() {
    let server = TestServer::start();
    server.put_object("bucket", "k", "here");
    // The name for this service comes before the name for all.
    let mut command = xfer(&server);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_ENDPOINT_URL_S3", server.endpoint_url());
    assert_eq!(run(command.args(["--path-style", "cp", "s3://bucket/k", "-"]), 0).stdout, b"here");
    // An option comes before both.
    let mut command = xfer(&server);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env_remove("AWS_REGION");
    command.args(["--path-style", "--region", server.region(), "--endpoint-url"]).arg(server.endpoint_url());
    assert_eq!(run(command.args(["cp", "s3://bucket/k", "-"]), 0).stdout, b"here");
    // Profile files.
    let folder = tempfile::tempdir().unwrap();
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    fs::write(
        &config,
        format!("[profile other]\nregion = {}\nendpoint_url = {}\n", server.region(), server.endpoint_url()),
    )
    .unwrap();
    let keys = (server.access_key(), server.secret_key());
    fs::write(&credentials, format!("[other]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.0, keys.1))
        .unwrap();
    let mut command = bare();
    command.env("AWS_PROFILE", "other").env("AWS_CONFIG_FILE", config).env("AWS_SHARED_CREDENTIALS_FILE", credentials);
    assert_eq!(run(command.args(["--path-style", "cp", "s3://bucket/k", "-"]), 0).stdout, b"here");
}

#[test]
fn without_signatures_nothing_needs_keys() {
    let server = TestServer::builder().auth(false).start();
    server.put_object("bucket", "k", "public");
    let mut command = bare();
    command
        .args(["--path-style", "--no-sign-request", "--region", "us-east-1", "--endpoint-url"])
        .arg(server.endpoint_url());
    assert_eq!(run(command.args(["cp", "s3://bucket/k", "-"]), 0).stdout, b"public");
    assert!(server.requests().iter().all(|request| !request.headers.contains_key("authorization")));
}

#[test]
fn tls_with_a_bundle_and_without_trust() {
    let server = TestServer::builder().tls().start();
    server.put_object("bucket", "k", "secret");
    let words = ["--path-style", "cp", "s3://bucket/k", "-"];
    let output = run(xfer(&server).args(words), 1);
    assert!(said(&output).contains("TLS failed"), "{}", said(&output));
    let bundle = server.ca_pem_path().unwrap();
    assert_eq!(run(xfer(&server).arg("--ca-bundle").arg(bundle).args(words), 0).stdout, b"secret");
    assert_eq!(run(xfer(&server).env("AWS_CA_BUNDLE", bundle).args(words), 0).stdout, b"secret");
    assert_eq!(run(xfer(&server).arg("--no-verify-ssl").args(words), 0).stdout, b"secret");
}

#[test]
fn extra_arguments_reach_the_store() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "a").unwrap();
    let mut command = xfer(&server);
    let json = r#"{"ContentType":"text/plain","Metadata":{"origin":"here"}}"#;
    run(command.current_dir(folder.path()).args(["--path-style", "--extra-args", json, "cp", "a", "s3://bucket/a"]), 0);
    let request = &server.requests()[0];
    assert_eq!(request.headers["content-type"], "text/plain");
    assert_eq!(request.headers["x-amz-meta-origin"], "here");
}

#[test]
fn it_logs_when_asked_and_never_a_key() {
    let server = TestServer::start();
    server.put_object("bucket", "k", "x");
    let output = run(xfer(&server).args(["-vvv", "--path-style", "cp", "s3://bucket/k", "-"]), 0);
    assert!(said(&output).lines().count() > 3, "{}", said(&output));
    assert!(!said(&output).contains(server.secret_key()));
}

#[test]
fn warnings_are_seen_without_asking_and_nothing_else() {
    let server = TestServer::start();
    server.put_object("bucket", "k", "x");
    let words = ["--path-style", "--json", "cp", "s3://bucket/k", "/dev/null"];
    server.inject(FaultRule::any().then(Action::ClockAhead(3600)));
    let output = run(xfer(&server).args(words), 0);
    let text = said(&output);
    assert!(text.trim_start().starts_with("WARN the store's clock is another"), "{text:?}");
    assert_eq!((text.lines().count(), text.contains('\x1b')), (1, false), "{text:?}");
    assert_eq!(json_lines(&output).len(), 2);
    assert_eq!(said(&run(xfer(&server).env("RUST_LOG", "off").args(words), 0)), "");
}

#[cfg(target_os = "linux")]
#[test]
fn progress_is_shown_on_a_terminal_and_json_stays_clean() {
    let server = TestServer::start();
    server.put_object("bucket", "k", pattern::bytes(9, 1 << 20));
    let folder = tempfile::tempdir().unwrap();
    let words = format!("{} --path-style --json cp s3://bucket/k back", env!("CARGO_BIN_EXE_xfer"));
    // It gives what it runs a terminal, and copies what appears there.
    let mut command = Command::new("script");
    command.current_dir(folder.path()).args(["-qec", &format!("{words} >json"), "typescript"]).stdin(Stdio::null());
    environment_of(&xfer(&server), &mut command);
    let output = run(&mut command, 0);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("1 transfer, 1 MiB in "), "{shown:?}");
    let json = fs::read_to_string(folder.path().join("json")).unwrap();
    assert!(
        json.lines().count() == 2 && json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{json:?}"
    );
    let mut command = Command::new("script");
    let quiet = format!("{words} --no-progress >json");
    command.current_dir(folder.path()).args(["-qec", &quiet, "typescript"]).stdin(Stdio::null());
    environment_of(&xfer(&server), &mut command);
    assert_eq!(String::from_utf8(run(&mut command, 0).stdout).unwrap(), "");
}

#[test]
fn an_option_comes_before_rust_log_which_has_to_be_sound() {
    let server = TestServer::start();
    server.put_object("bucket", "k", "x");
    let words = ["--path-style", "cp", "s3://bucket/k", "-"];
    let output = run(xfer(&server).env("RUST_LOG", "off").arg("-vvv").args(words), 0);
    assert!(said(&output).lines().count() > 3, "{}", said(&output));
    assert!(!said(&output).contains('\x1b'), "no colours where there is no terminal");
    let output = run(xfer(&server).env("RUST_LOG", "xfer=loud").args(words), 0);
    assert!(said(&output).starts_with("xfer: RUST_LOG is ignored: "), "{}", said(&output));
}

#[test]
fn a_reader_that_has_enough_is_no_panic() {
    let server = TestServer::start();
    server.put_object("bucket", "k", pattern::bytes(5, 1 << 20));
    let folder = tempfile::tempdir().unwrap();
    let list: String = (0..300).map(|i| format!("cp s3://bucket/k {i}\n")).collect();
    fs::write(folder.path().join("list"), list).unwrap();
    let mut command = xfer(&server);
    command.current_dir(folder.path()).args(["run", "--path-style", "--json", "list"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert_eq!(files_in(folder.path()).len(), 301);

    // Of an object on standard output it is a failure: what was asked for did not happen.
    let mut command = xfer(&server);
    command.args(["--path-style", "cp", "s3://bucket/k", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot write the target"), "{}", said(&output));
}

#[cfg(unix)]
fn named_pipe(folder: &Path) -> std::path::PathBuf {
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_to_its_end() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let pipe = named_pipe(folder.path());
    let child = xfer(&server).args(["--path-style", "cp"]).arg(&pipe).arg("s3://bucket/k").spawn().unwrap();
    let data = pattern::bytes(10, (9 << 20) + 1);
    // Opening it waits for the reader.
    fs::OpenOptions::new().write(true).open(&pipe).unwrap().write_all(&data).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert!(server.object("bucket", "k").unwrap().bytes() == data);
}

#[cfg(unix)]
mod interrupted {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;

    fn signal(child: &Child, name: &str) {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    }

    fn spawn(command: &mut Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn an_upload_leaves_nothing_behind() {
        let server = TestServer::start();
        let gate = Gate::new();
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        pattern::file(&source, 6, 40 << 20).unwrap();
        server.inject(FaultRule::on(Op::UploadPart).part(2).then(Action::Hold(gate.clone())));
        let mut command = xfer(&server);
        let child = spawn(command.args(["--path-style", "--json", "cp"]).arg(&source).arg("s3://bucket/k"));
        assert!(gate.arrived_blocking(1, LONG));
        assert_eq!(server.open_uploads().len(), 1);
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert!(server.open_uploads().is_empty());
        assert!(server.list_keys("bucket").is_empty());
        let lines: Vec<String> = said(&output).lines().map(str::to_owned).collect();
        assert!(
            lines[0].starts_with("xfer: interrupted: cancelling and cleaning up; once more ends at once"),
            "{lines:?}"
        );
        assert_eq!(lines[1..], ["xfer: 1 transfer cancelled and cleaned up"]);
        let lines = json_lines(&output);
        assert!(lines[0]["error"].as_str().unwrap().contains("cancelled"), "{lines:?}");
        assert_eq!(lines[1]["summary"]["failed"], 1);
        gate.open();
    }

    #[test]
    fn an_upload_that_the_store_does_not_remove_is_told() {
        let server = TestServer::start();
        let gate = Gate::new();
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        pattern::file(&source, 11, 20 << 20).unwrap();
        server.inject(FaultRule::on(Op::UploadPart).part(2).then(Action::Hold(gate.clone())));
        server.inject(FaultRule::on(Op::AbortMultipartUpload).then(Action::Status(403, "AccessDenied")));
        let mut command = xfer(&server);
        let child = spawn(command.args(["--path-style", "cp"]).arg(&source).arg("s3://bucket/k"));
        assert!(gate.arrived_blocking(1, LONG));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        let text = said(&output);
        let warning = text.lines().find(|line| line.contains("WARN a multipart upload is left behind"));
        assert!(warning.is_some_and(|line| line.contains("s3://bucket/k")), "{text}");
        assert!(text.contains("could not be removed and is left behind") && !text.contains("cleaned up"), "{text}");
        gate.open();
    }

    #[test]
    fn a_download_leaves_nothing_behind() {
        download_is_cleaned_up_after(&["-TERM"]);
    }

    #[test]
    fn a_terminal_that_goes_leaves_nothing_behind() {
        // Whoever runs the tests under nohup passes that on.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        if ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1) {
            return;
        }
        // The kernel sends one, and the shell another.
        download_is_cleaned_up_after(&["-HUP", "-HUP"]);
    }

    fn download_is_cleaned_up_after(signals: &[&str]) {
        let server = TestServer::start();
        let gate = Gate::new();
        server.put_object("bucket", "k", pattern::bytes(7, 40 << 20));
        server.inject(FaultRule::on(Op::GetObject).nth(2).then(Action::Hold(gate.clone())));
        let folder = tempfile::tempdir().unwrap();
        let mut command = xfer(&server);
        command.current_dir(folder.path());
        let child = spawn(command.args(["--path-style", "cp", "s3://bucket/k", "back"]));
        assert!(gate.arrived_blocking(1, LONG));
        assert_eq!(files_in(folder.path()).len(), 1, "there is a temporary file");
        for name in signals {
            signal(&child, name);
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert!(files_in(folder.path()).is_empty());
        gate.open();
    }

    #[test]
    fn under_nohup_it_goes_on_without_the_terminal() {
        let server = TestServer::start();
        let gate = Gate::new();
        server.put_object("bucket", "k", "still here");
        server.inject(FaultRule::on(Op::GetObject).nth(1).then(Action::Hold(gate.clone())));
        let plain = xfer(&server);
        let mut command = Command::new("nohup");
        command.arg(plain.get_program()).args(["--path-style", "cp", "s3://bucket/k", "-"]);
        environment_of(&plain, &mut command);
        let child = spawn(command.stdin(Stdio::null()));
        assert!(gate.arrived_blocking(1, LONG));
        signal(&child, "-HUP");
        std::thread::sleep(Duration::from_millis(200));
        gate.open();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), &b"still here"[..]),
            "{}",
            said(&output)
        );
    }

    #[test]
    fn a_run_that_waits_for_its_lines() {
        let server = TestServer::start();
        let mut command = xfer(&server);
        let mut child = spawn(command.args(["run", "--path-style"]).stdin(Stdio::piped()));
        // Kept open to the end: without more lines to wait for, it would end by itself.
        let mut lines = child.stdin.take().unwrap();
        lines.write_all(b"rm s3://bucket/a\n").unwrap();
        let requested = || server.stats().count(Op::DeleteObject) == 1;
        let begun = std::time::Instant::now();
        while !requested() && begun.elapsed() < LONG {
            std::thread::yield_now();
        }
        assert!(requested(), "a line is carried out when it has come");
        signal(&child, "-INT");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
        drop(lines);
    }

    #[test]
    fn a_run_whose_lines_fail_at_once_without_end() {
        let server = TestServer::start();
        let mut command = xfer(&server);
        command.args(["run", "--path-style"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = child.stdin.take().unwrap();
        let block = "cp no-such-file s3://bucket/k\n".repeat(1_000);
        // Until there is nobody to read any more.
        let writer = std::thread::spawn(move || while lines.write_all(block.as_bytes()).is_ok() {});
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(told.next().unwrap().unwrap().contains("cannot open the source"));
        let reader = std::thread::spawn(move || told.count());
        signal(&child, "-INT");
        let ended = (0..LONG.as_millis() / 10).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            child.try_wait().unwrap().is_some()
        });
        // One that does not hear of it would go on for ever.
        let _ = child.kill();
        assert_eq!((ended, child.wait().unwrap().code()), (true, Some(130)));
        reader.join().unwrap();
        writer.join().unwrap();
    }

    #[test]
    fn an_upload_that_waits_for_somebody_to_write_to_its_pipe() {
        let server = TestServer::start();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small"), "small").unwrap();
        let pipe = named_pipe(folder.path());
        let mut command = xfer(&server);
        command.current_dir(folder.path()).args(["--path-style", "cp"]).arg(&pipe).args(["small", "s3://bucket/"]);
        let child = spawn(&mut command);
        let begun = std::time::Instant::now();
        while server.list_keys("bucket") != ["small"] && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert!(said(&output).contains("1 transfer cancelled and cleaned up"), "{}", said(&output));
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        let server = TestServer::start();
        let gate = Gate::new();
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        pattern::file(&source, 8, 20 << 20).unwrap();
        server.inject(FaultRule::on(Op::UploadPart).part(2).then(Action::Hold(gate.clone())));
        let aborting = Gate::new();
        server.inject(FaultRule::on(Op::AbortMultipartUpload).then(Action::Hold(aborting.clone())));
        let mut command = xfer(&server);
        let child = spawn(command.args(["--path-style", "cp"]).arg(&source).arg("s3://bucket/k"));
        assert!(gate.arrived_blocking(1, LONG));
        signal(&child, "-INT");
        // The clean-up is under way, and does not come to its end.
        assert!(aborting.arrived_blocking(1, LONG));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.status.signal()), (Some(130), None));
        gate.open();
        aborting.open();
    }
}
