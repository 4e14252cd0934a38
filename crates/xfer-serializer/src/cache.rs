//! Templates by what they were made from: a bounded map, oldest out first.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::RwLock;
use xfer_core::args::ExtraArgs;

use crate::{Operation, Template};

/// How many templates are kept. A template is about 2 KiB, so 2 MiB at the most; calls whose arguments differ each time pass through
/// without pushing memory up.
const CAPACITY: usize = 1024;

/// What a template is made from: the operation's own arguments only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct MadeFrom {
    pub(crate) operation: Operation,
    pub(crate) bucket: Arc<str>,
    pub(crate) args: ExtraArgs,
}

#[derive(Default)]
pub(crate) struct Templates(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    templates: HashMap<Arc<MadeFrom>, Arc<Template>>,
    order: VecDeque<Arc<MadeFrom>>,
}

impl Templates {
    pub(crate) fn get(&self, from: &MadeFrom) -> Option<Arc<Template>> {
        self.0.read().templates.get(from).cloned()
    }

    pub(crate) fn put(&self, from: MadeFrom, template: Arc<Template>) {
        let from = Arc::new(from);
        let mut kept = self.0.write();
        if kept.templates.insert(Arc::clone(&from), template).is_none() {
            kept.order.push_back(from);
        }
        while kept.templates.len() > CAPACITY {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.templates.remove(&oldest);
        }
    }

    /// Forgets what is known of a bucket.
    pub(crate) fn remove_bucket(&self, bucket: &str) {
        let mut kept = self.0.write();
        kept.templates.retain(|from, _| &*from.bucket != bucket);
        kept.order.retain(|from| &*from.bucket != bucket);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().templates.len()
    }
}
