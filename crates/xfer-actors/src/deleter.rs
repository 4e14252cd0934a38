//! The Deleter: runs the requests that delete objects.

use actix::{Actor, Context, Handler, Supervised};

use crate::command::{DeleteObject, Launched, ObjectDeleted, launch};
use crate::fault::Crash;
use crate::lane::Lanes;
use crate::uploader::handles;

/// The actor that runs the requests of deletes.
///
/// ```no_run
/// use std::sync::Arc;
/// use actix::Actor;
/// use xfer_actors::{Call, DeleteObject, Deleter, ExtraArgs, Lanes, RequestSerializer};
///
/// # async fn example(lanes: Lanes, serializer: Arc<RequestSerializer>) -> Result<(), Box<dyn std::error::Error>> {
/// let deleter = Deleter::new(lanes).start();
/// let call = Call::delete(&serializer, "bucket", "notes.txt", ExtraArgs::new())?;
/// deleter.send(DeleteObject::new(&call)).await??;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Deleter {
    lanes: Lanes,
}

impl Deleter {
    /// A deleter whose requests run on `lanes`.
    #[must_use]
    pub fn new(lanes: Lanes) -> Deleter {
        Deleter { lanes }
    }
}

impl Actor for Deleter {
    type Context = Context<Self>;
}

/// Stateless, so a restart has nothing to set right.
impl Supervised for Deleter {}

handles!(Deleter: DeleteObject => ObjectDeleted);

impl Handler<Crash> for Deleter {
    type Result = ();

    fn handle(&mut self, crash: Crash, _context: &mut Context<Self>) {
        crash.now();
    }
}
