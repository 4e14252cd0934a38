//! A panic on request, for those who test that what they built on xfer survives one.

use actix::Message;

/// Makes the actor that gets it panic in its handler.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Crash;

impl Crash {
    #[expect(clippy::panic, reason = "this is what the message is for")]
    pub(crate) fn now(self) {
        panic!("a crash was asked for");
    }
}
