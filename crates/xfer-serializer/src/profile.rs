//! The profile that the environment selects.

use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

/// What is to be said when the profile that `AWS_PROFILE` names is in neither profile file: the SDK takes it for an empty one. Reads the
/// files, so it is for those who have found nothing where they looked.
///
/// ```
/// # async fn example() {
/// if let Some(hint) = xfer_serializer::missing_profile().await {
///     eprintln!("no credentials, and {hint}");
/// }
/// # }
/// ```
pub async fn missing_profile() -> Option<String> {
    let name = std::env::var("AWS_PROFILE").ok()?;
    let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None).await.ok()?;
    let there = profiles.profiles().any(|profile| profile == name);
    (!there).then(|| format!("the profile {name:?}, which AWS_PROFILE selects, is in no profile file"))
}
