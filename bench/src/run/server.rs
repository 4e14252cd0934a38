//! The server as a process of its own, from its start to its end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::measure::on_core;
use super::workload::Workload;
use crate::serve::Ready;
use crate::serve::stats::Report;

/// Longest wait for an answer of the stats endpoint, and for connections to be closed behind a client.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// A server that runs; it ends with this.
pub(crate) struct Server {
    process: Child,
    pub(crate) endpoint: String,
    control: String,
    /// The CA to trust, if it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
}

impl Server {
    /// Starts one for a workload.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(workload: &Workload, verify: bool, core: Option<usize>, folder: &Path) -> io::Result<Self> {
        let ca = workload.tls.then(|| folder.join("ca.pem"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--until-stdin-ends"]).args(workload.server_options());
        if verify {
            command.arg("--verify");
        }
        if let Some(ca) = &ca {
            command.arg("--tls").arg(ca);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = on_core(core, || command.spawn())?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let ready = serde_json::from_str::<Ready>(&line);
        let mut server = Self { process, endpoint: String::new(), control: String::new(), ca };
        let ready = ready.map_err(|_| io::Error::other("the server did not start"))?;
        (server.endpoint, server.control) = (ready.endpoint, ready.control);
        Ok(server)
    }

    /// What it has seen since the last reset, as soon as no client is connected: what was sent last is counted a little later than it arrives.
    pub(crate) fn stats(&self) -> io::Result<Report> {
        let until = Instant::now() + PATIENCE;
        loop {
            let report: Report = serde_json::from_str(&self.ask("GET /stats")?)?;
            if report.open == 0 || Instant::now() > until {
                return Ok(report);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Counts from zero and begins with a seed anew, as soon as no client is connected.
    pub(crate) fn reset(&self, seed: u32) -> io::Result<()> {
        self.stats()?;
        self.ask(&format!("POST /reset?seed={seed}")).map(|_| ())
    }

    fn ask(&self, what: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(&self.control)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{what} HTTP/1.1\r\nHost: {}\r\n\r\n", self.control).as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        body.ok_or_else(|| io::Error::other("the stats endpoint gave no answer"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to clean up. If it is gone already that is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
