//! What the clones, clients and HTTP servers of one cluster share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use tokio::sync::watch;

use crate::orders::Orders;
use crate::requests::Counters;
use crate::store::{Moment, Store};

/// The content of a cluster with everything that is kept beside it.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    name: Box<str>,
    store: Mutex<Store>,
    /// The version of the content, for those who wait for changes.
    version: watch::Sender<u64>,
    orders: Orders,
    counters: Counters,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server of a new cluster.
    pub(crate) fn new(name: String) -> Self {
        let moment = Moment {
            now: Utc::now(),
            new_uid: &new_uid,
        };
        Server::of(name, Store::new(&moment))
    }

    /// A server of this content.
    pub(crate) fn of(name: String, store: Store) -> Self {
        let (version, _) = watch::channel(store.version());
        let shared = Shared {
            name: name.into(),
            store: Mutex::new(store),
            version,
            orders: Orders::default(),
            counters: Counters::default(),
        };
        Server {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.shared.orders
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Tells when the content changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The content, to look at.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the store do something, and tells those who wait if it changed.
    pub(crate) fn with_store<T>(&self, act: impl FnOnce(&mut Store, &Moment<'_>) -> T) -> T {
        let moment = Moment {
            now: Utc::now(),
            new_uid: &new_uid,
        };
        let mut store = self.store();
        let before = store.version();
        let result = act(&mut store, &moment);
        let after = store.version();
        drop(store);
        if after != before {
            self.shared.version.send_if_modified(|version| {
                let newer = after > *version;
                *version = after.max(*version);
                newer
            });
        }
        result
    }
}

fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}
