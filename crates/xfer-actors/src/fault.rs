//! A panic on request, for those who test that what they built on xfer survives one.

use actix::Message;

/// Makes the actor that gets it panic in its handler.
///
/// ```
/// use xfer_actors::transport::TransportConfig;
/// use xfer_actors::{Crash, Settings, XferSystem};
///
/// let system = XferSystem::start(Settings::default(), TransportConfig::default())?;
/// let uploader = system.uploader().ok_or("it is started with the system")?;
/// # actix::System::new().block_on(async {
/// assert!(uploader.send(Crash).await.is_err(), "the message that it died of has no answer");
/// assert!(uploader.connected(), "the actor is back, or about to be");
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Crash;

impl Crash {
    #[expect(clippy::panic, reason = "this is what the message is for")]
    pub(crate) fn now(self) {
        panic!("a crash was asked for");
    }
}
