//! The program as a whole: its server judged by xfer and by its floor, and both measured and reported on in a small way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use aws_credential_types::Credentials;
use serde_json::Value;
use tempfile::TempDir;
use xfer_facade::{ErrorKind, RequestSerializer, S3Client, Shutdown, TransferManager, Verify, create_s3_client};

const BENCH: &str = env!("CARGO_BIN_EXE_xfer-bench");
const LARGE: &str = "size-20MiB/object";

/// `xfer-bench serve` for one test.
struct Server {
    process: Child,
    endpoint: String,
    control: String,
    ca: Option<PathBuf>,
    folder: TempDir,
}

impl Server {
    fn start(tls: bool, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = tls.then(|| folder.path().join("ca.pem"));
        let mut command = Command::new(BENCH);
        command.args(["serve", "--until-stdin-ends"]).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(ca) = &ca {
            command.arg("--tls").arg(ca);
        }
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { process, endpoint: text("endpoint"), control: text("control"), ca, folder }
    }

    fn stats(&self) -> Value {
        let mut stream = TcpStream::connect(&self.control).unwrap();
        stream.write_all(b"GET /stats HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// When all connections have ended, and everything is counted.
    fn last_stats(&self) -> Value {
        let begun = Instant::now();
        loop {
            let stats = self.stats();
            if stats["open"] == 0 {
                return stats;
            }
            assert!(begun.elapsed().as_secs() < 30, "connections stay open: {stats}");
            std::thread::yield_now();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self, connections: usize) -> S3Client {
        let mut builder = create_s3_client("us-east-1")
            .max_connections(connections)
            .endpoint_url(self.endpoint.as_str())
            .path_style(true)
            .credentials(Credentials::from_keys("key", "secret", None));
        if let Some(ca) = &self.ca {
            builder = builder.verify(Verify::CaBundle(ca.clone()));
        }
        builder.build().unwrap()
    }

    fn floor(&self, words: &[&str]) -> Output {
        let mut command = Command::new(BENCH);
        command.arg("floor").args(words).args(["--endpoint", &self.endpoint]);
        if let Some(ca) = &self.ca {
            command.arg("--ca").arg(ca);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its standard input ends it.
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

fn went_well(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Up, down and away with xfer, while the server checks every byte.
fn xfer_round_trip(server: &Server) {
    let client = server.client(8);
    let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));
    let (large, small) = (server.path("large"), server.path("small"));
    for (key, path, size) in [(LARGE, &large, 20 << 20), ("size-1KiB/000004", &small, 1024)] {
        let down = manager.download("bench", key, path).start().unwrap().result(None).unwrap();
        assert_eq!(down.bytes, size);
        assert_ne!(down.verified.to_string(), "not available", "the server told a checksum");
        let up = manager.upload(path, "bench", key).start().unwrap().result(None).unwrap();
        assert_eq!(up.bytes, size);
        manager.delete("bench", key).start().unwrap().result(None).unwrap();
    }
    let stats = server.stats();
    assert_eq!(stats["complaints"], Value::Array(vec![]));
    // Two uploads and two deletes.
    assert_eq!((&stats["verified"], &stats["deleted"]), (&Value::from(4), &Value::from(2)));

    // The same bytes under another key are wrong ones.
    let error = manager.upload(&small, "bench", "size-1KiB/000005").start().unwrap().result(None).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Cancelled);
    assert!(server.stats()["complaints"][0].as_str().unwrap().contains("its bytes are wrong"));
    manager.shutdown(Shutdown::Drain).unwrap();
}

/// All that the floor does, while the server checks every byte.
fn floor_round_trip(server: &Server) {
    let (file, direct, folder) = (server.path("file"), server.path("direct"), server.path("many"));
    went_well(&server.floor(&["get", LARGE, text(&file)]));
    went_well(&server.floor(&["get", LARGE, text(&direct), "--direct", "--part", "5MiB"]));
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&direct).unwrap());
    went_well(&server.floor(&["put", text(&file), LARGE]));
    let prefix = "size-3KiB/count-20/";
    went_well(&server.floor(&["get-many", prefix, "20", text(&folder)]));
    went_well(&server.floor(&["put-many", text(&folder), "20", prefix]));
    went_well(&server.floor(&["delete-many", prefix, "20"]));
    let stats = server.stats();
    assert_eq!(stats["complaints"], Value::Array(vec![]));
    assert_eq!((&stats["verified"], &stats["deleted"]), (&Value::from(1 + 20 + 20), &Value::from(20)));
    assert_eq!(stats["secured_by"]["x-amz-checksum-crc64nvme in a trailer"], 3);

    let wrong = server.floor(&["put", text(&file), "size-19MiB/object"]);
    assert!(!wrong.status.success());
    assert!(server.stats()["complaints"][0].as_str().unwrap().contains("instead of"));
}

#[test]
fn xfer_goes_up_and_down() {
    xfer_round_trip(&Server::start(false, &["--verify"]));
}

#[test]
fn xfer_goes_up_and_down_under_tls() {
    xfer_round_trip(&Server::start(true, &["--verify"]));
}

#[test]
fn the_floor_goes_up_and_down() {
    floor_round_trip(&Server::start(false, &["--verify"]));
}

#[test]
fn the_floor_goes_up_and_down_under_tls() {
    floor_round_trip(&Server::start(true, &["--verify"]));
}

#[test]
fn uploads_that_are_not_looked_at_are_counted_all_the_same() {
    let server = Server::start(false, &[]);
    let file = server.path("file");
    went_well(&server.floor(&["get", LARGE, text(&file)]));
    went_well(&server.floor(&["put", text(&file), LARGE]));
    let stats = server.last_stats();
    assert_eq!(stats["sent"], 20 << 20);
    assert!(stats["received"].as_u64().unwrap() > 20 << 20);
    assert_eq!((&stats["operations"]["UploadPart"], &stats["verified"]), (&Value::from(3), &Value::from(0)));
}

#[test]
fn a_busy_and_broken_store_is_one_that_xfer_copes_with() {
    let server = Server::start(false, &["--slow-down-rate", "0.1", "--reset-rate", "0.1", "--seed", "5"]);
    // One request after the other, so that what is left to chance is the same each time.
    let client = server.client(1);
    let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));
    let transfers: Vec<_> = (0..40)
        .map(|index| {
            let (key, path) = (format!("size-100KiB/{index:06}"), server.path(&index.to_string()));
            manager.download("bench", &key, path).start().unwrap()
        })
        .collect();
    for transfer in transfers {
        assert_eq!(transfer.result(None).unwrap().bytes, 100 << 10);
    }
    let stats = server.stats();
    assert!(stats["refused"].as_u64().unwrap() > 0 && stats["torn"].as_u64().unwrap() > 0, "{stats}");
    manager.shutdown(Shutdown::Drain).unwrap();
}

#[test]
fn clients_meet_with_the_same_refusals_after_each_reset() {
    let server = Server::start(false, &["--slow-down-rate", "0.3"]);
    let status = |_| {
        // Each on a connection of its own.
        let mut stream = TcpStream::connect(server.endpoint.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(b"GET /bench/size-0/x HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    let after = |reset: &str| {
        let mut stream = TcpStream::connect(&server.control).unwrap();
        write!(stream, "POST {reset} HTTP/1.1\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        (0..40).map(status).collect::<Vec<_>>()
    };
    let first = after("/reset?seed=7");
    assert!(first.iter().any(|status| status == "503") && first.iter().any(|status| status == "200"), "{first:?}");
    assert_eq!(after("/reset"), first);
    assert_ne!(after("/reset?seed=8"), first);
    assert_eq!(after("/reset?seed=7"), first);
}

#[test]
fn far_stores_are_as_slow_as_asked() {
    let server = Server::start(false, &["--latency", "20", "--bandwidth-per-connection", "20MB/s"]);
    let begun = Instant::now();
    went_well(&server.floor(&["get", "size-4MiB/object", text(&server.path("file")), "--connections", "1"]));
    // Two answers, and 4 MiB but for the first step and what may be caught up.
    assert!(begun.elapsed().as_millis() >= 40 + 190, "{:?}", begun.elapsed());
}

#[test]
fn a_small_series_is_measured_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (results, page) = (path("results.jsonl"), path("performance.md"));
    let output = Command::new(BENCH)
        .args(["run", "--clients", "floor,floor-64", "--size", "9MiB", "--count", "20", "--runs", "2"])
        // Not to the disk: before that all that anybody has written is waited for.
        .args(["--workloads", "get,tls-put,get-1KiB,put-256KiB,delete,far-get,startup,throttled"])
        .args(["--timeout", "120", "--no-pin", "--command-line", "bench/run --quick", "--commit", "0123abc"])
        .arg("--memory")
        .arg(folder.path())
        .arg("--disk")
        .arg(folder.path())
        .arg("--out")
        .arg(&results)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    went_well(&output);
    let lines: Vec<Value> =
        std::fs::read_to_string(&results).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The floor in all of them but one, once more from afar, in two rounds and a warm-up, four rounds more of the five that are short; and
    // the series.
    assert_eq!(lines.len(), 1 + (7 + 1) * 3 + 5 * 4);
    assert_eq!(lines[0]["commit"], "0123abc");
    for run in &lines[1..] {
        assert_eq!(run["failure"], Value::Null);
        let (asked, secured) = (&run["checksums_asked"], &run["secured_by"]);
        match run["workload"].as_str().unwrap() {
            "get" | "far-get" | "startup" => assert_eq!(*asked, 1, "{run}"),
            "get-1KiB" => assert_eq!((asked, &run["checksums_told"]), (&Value::from(20), &Value::from(20)), "{run}"),
            "tls-put" => assert_eq!(secured["x-amz-checksum-crc64nvme in a trailer"], 2, "{run}"),
            "put-256KiB" => assert_eq!(secured["x-amz-checksum-crc64nvme in a header"], 2, "{run}"),
            _ => assert_eq!((asked, secured), (&Value::from(0), &serde_json::json!({})), "{run}"),
        }
        assert!(run["memory"].as_u64().unwrap() > 1 << 20 && run["wall"].as_f64().unwrap() > 0.0, "{run}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["results.jsonl"], "its folders are removed");

    let output = Command::new(BENCH).arg("report").arg(&results).arg("--out").arg(&page).output().unwrap();
    went_well(&output);
    let page = std::fs::read_to_string(&page).unwrap();
    for wanted in ["bench/run --quick", "0123abc", "### Download, plain", "| floor-64 |", "### Start-up"] {
        assert!(page.contains(wanted), "{wanted} is missing in\n{page}");
    }
}

#[test]
fn a_client_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let xfer = folder.path().join("xfer");
    // It says who it is, and then does nothing.
    std::fs::write(&xfer, "#!/bin/sh\n[ \"$1\" = --version ] && echo xfer 0 || echo did nothing >&2\n").unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&xfer, permissions).unwrap();
    let output = Command::new(BENCH)
        .args(["run", "--clients", "xfer", "--workloads", "startup", "--runs", "1", "--no-pin", "--xfer"])
        .arg(&xfer)
        .arg("--memory")
        .arg(folder.path())
        .arg("--disk")
        .arg(folder.path())
        .arg("--out")
        .arg(folder.path().join("results.jsonl"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("only 0 of 1048576 bytes were moved"), "{said}");
}
