//! The standard AWS chain: found in the environment, and what is said when nothing is found anywhere.
//!
//! Environment variables belong to a whole process, so each case runs in a child process of its own: this test binary again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::time::SystemTime;

use aws_types::SdkConfig;
use xfer_core::args::ExtraArgs;
use xfer_core::error::ErrorKind;
use xfer_serializer::{Operation, RequestSerializer, SignatureVersion, Stamp};

fn in_a_child(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_CONFIG_FILE", "/nonexistent/config")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn serializer() -> RequestSerializer {
    RequestSerializer::new(&SdkConfig::builder().build(), "eu-central-1", SignatureVersion::S3v4)
}

#[test]
fn from_the_environment() {
    in_a_child("child_with_credentials", &[("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "SECRET")]);
}

#[test]
fn nowhere() {
    in_a_child("child_without_credentials", &[]);
}

#[tokio::test]
#[ignore = "a child of from_the_environment"]
async fn child_with_credentials() {
    let serializer = serializer();
    let identity = serializer.credentials(SystemTime::now()).await.unwrap().unwrap();
    let template = serializer.prepare(Operation::GetObject, "photos", &ExtraArgs::new()).await.unwrap();
    let request = template.stamp(&Stamp::key("k"), Some(&identity), SystemTime::now()).unwrap();
    assert!(request.header("authorization").unwrap().contains("Credential=AKIDENV/"));
}

#[tokio::test]
#[ignore = "a child of nowhere"]
async fn child_without_credentials() {
    let error = serializer().credentials(SystemTime::now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("looked in the environment, the profile files"), "{error}");
}
