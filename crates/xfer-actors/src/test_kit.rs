//! What the tests of several modules share: calls that need no store, a ledger without actors, an observer that records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use xfer_core::error::Error;
use xfer_core::outcome::TransferOutcome;
use xfer_serializer::{EndpointConfig, RequestSerializer, SignatureVersion};

use crate::call::Call;
use crate::lane::Lanes;
use crate::ledger::{Ledger, Observer};
use crate::settings::Settings;
use crate::source::UploadSource;
use crate::target::DownloadTarget;
use crate::transport::{SharedTransport, TransportConfig};
use xfer_core::args::ExtraArgs;

/// Far longer than anything takes here: it only turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A serializer of unsigned requests to nowhere.
pub(crate) fn serializer() -> Arc<RequestSerializer> {
    let endpoint = EndpointConfig {
        endpoint_url: Some("http://127.0.0.1:9".to_owned()),
        path_style: true,
        ..EndpointConfig::new("eu-central-1")
    };
    let builder = RequestSerializer::builder(endpoint).signature_version(SignatureVersion::Unsigned);
    Arc::new(builder.build().unwrap())
}

pub(crate) fn upload(source: impl Into<UploadSource>) -> Arc<Call> {
    Call::upload(&serializer(), source, "bucket", "key", ExtraArgs::new()).unwrap()
}

pub(crate) fn download(target: impl Into<DownloadTarget>) -> Arc<Call> {
    Call::download(&serializer(), "bucket", "key", target, ExtraArgs::new()).unwrap()
}

pub(crate) fn lanes(count: usize) -> Lanes {
    Lanes::start(count, SharedTransport::new(TransportConfig::default()).unwrap()).unwrap()
}

/// A ledger that no actor reads.
pub(crate) fn ledger() -> Arc<Ledger> {
    Ledger::new(Settings::default(), lanes(1))
}

/// What an observer was told.
#[derive(Debug)]
pub(crate) enum Told {
    Progress(u64),
    End(Result<TransferOutcome, Error>),
}

/// An observer that hands on what it is told.
pub(crate) struct Witness(mpsc::Sender<Told>);

impl Witness {
    pub(crate) fn boxed() -> (Box<dyn Observer>, mpsc::Receiver<Told>) {
        let (sender, receiver) = mpsc::channel();
        (Box::new(Witness(sender)), receiver)
    }
}

impl Observer for Witness {
    fn progressed(&self, bytes: u64) {
        let _ = self.0.send(Told::Progress(bytes));
    }

    fn finished(&self, result: Result<TransferOutcome, Error>) {
        let _ = self.0.send(Told::End(result));
    }

    fn wants_progress(&self) -> bool {
        true
    }
}

/// The end that an observer is told, within [`PATIENCE`].
pub(crate) fn end_of(told: &mpsc::Receiver<Told>) -> Result<TransferOutcome, Error> {
    loop {
        match told.recv_timeout(PATIENCE).expect("the observer is told an end") {
            Told::End(result) => return result,
            Told::Progress(_) => {}
        }
    }
}
