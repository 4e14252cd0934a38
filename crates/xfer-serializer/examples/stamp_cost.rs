//! Prints what a template and a stamp cost on this machine: `cargo run --release -p xfer-serializer --example stamp_cost`.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use xfer_core::args::ExtraArgs;
use xfer_core::checksum::Algorithm;
use xfer_core::error::Error;
use xfer_core::id::PartNumber;
use xfer_serializer::{EndpointConfig, Identity, Operation, Payload, RequestSerializer, Stamp};

const ROUNDS: u32 = 20_000;

fn each(rounds: u32, mut run: impl FnMut(u32) -> Result<(), Error>) -> Result<Duration, Error> {
    let start = Instant::now();
    for round in 0..rounds {
        run(round)?;
    }
    Ok(start.elapsed() / rounds)
}

fn main() -> Result<(), Error> {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".repeat(100)), None, "example");
    let serializer =
        RequestSerializer::builder(EndpointConfig::new("eu-central-1")).credentials(credentials.clone()).build()?;
    let identity = Identity::new(credentials);
    let args = ExtraArgs::new();

    let capture =
        each(500, |round| serializer.template(Operation::PutObject, format!("bucket-{round}"), &args).map(drop))?;
    println!("template, first time: {capture:?}");
    let cached = each(ROUNDS, |_| serializer.template(Operation::PutObject, "bucket-1", &args).map(drop))?;
    println!("template, cached:     {cached:?}");

    for (name, operation, payload) in [
        ("GetObject", Operation::GetObject, Payload::None),
        (
            "UploadPart, trailer",
            Operation::UploadPart,
            Payload::UnsignedTrailer { decoded_length: 8 << 20, algorithm: Algorithm::Crc64Nvme },
        ),
    ] {
        let template = serializer.template(operation, "photos", &args)?;
        let cost = each(ROUNDS, |round| {
            let stamp = Stamp {
                part_number: PartNumber::new(round % 10_000 + 1),
                upload_id: Some("2~k3b4xample.of-an.upload.id_that_is_as_long_as_those_of_aws"),
                payload,
                ..Stamp::key("folder/2026/some file with blanks.bin")
            };
            template.stamp(&stamp, Some(&identity), SystemTime::now()).map(drop)
        })?;
        println!("stamp, {name}: {cost:?}");
    }
    Ok(())
}
