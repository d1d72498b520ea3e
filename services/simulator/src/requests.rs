//! Counts requests by verb.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::request::{PatchForm, Request, Verb};

/// How many requests reached the API, by verb: dry runs and refused ones count too; discovery, and what [`Faults`](crate::Faults) kept away, do not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// One object was read.
    pub get: u64,
    /// Objects were listed.
    pub list: u64,
    /// A watch was opened.
    pub watch: u64,
    /// `POST`
    pub create: u64,
    /// Server-side apply.
    pub apply: u64,
    /// Any other patch.
    pub patch: u64,
    /// `PUT`
    pub update: u64,
    /// One object, or many, were deleted.
    pub delete: u64,
}

impl Requests {
    /// The requests that meant to change something.
    pub fn writes(&self) -> u64 {
        self.create + self.apply + self.patch + self.update + self.delete
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    get: AtomicU64,
    list: AtomicU64,
    watch: AtomicU64,
    create: AtomicU64,
    apply: AtomicU64,
    patch: AtomicU64,
    update: AtomicU64,
    delete: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, request: &Request) {
        let Request::Objects(request) = request else {
            return;
        };
        let counter = match &request.verb {
            Verb::Get { .. } => &self.get,
            Verb::List(_) => &self.list,
            Verb::Watch(_) => &self.watch,
            Verb::Create => &self.create,
            Verb::Update { .. } => &self.update,
            Verb::Patch {
                form: PatchForm::Apply,
                ..
            } => &self.apply,
            Verb::Patch { .. } => &self.patch,
            Verb::Delete { .. } | Verb::DeleteCollection { .. } => &self.delete,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Requests {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            get: read(&self.get),
            list: read(&self.list),
            watch: read(&self.watch),
            create: read(&self.create),
            apply: read(&self.apply),
            patch: read(&self.patch),
            update: read(&self.update),
            delete: read(&self.delete),
        }
    }
}
