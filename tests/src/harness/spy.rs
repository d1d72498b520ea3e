//! Whoever reads along on the bus.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use fleetcast_bus::Bus;
use fleetcast_schemas::codec;
use tokio::task::JoinHandle;

/// A subject, and what travelled on it.
type Seen = (String, Vec<u8>);

/// Keeps everything that travels on `fc.>`, opened where it is compressed.
pub struct Spy {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Spy {
    /// Reads along from now on.
    pub async fn on(bus: &Bus) -> Self {
        let mut all = bus.subscribe("fc.>").await.expect("subscribed");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(delivery) = all.next().await {
                let message = delivery.message;
                let body = codec::decompress(&message.payload, &message.headers, codec::BODY_LIMIT);
                let body = body.map_or_else(|_| message.payload.clone(), Cow::into_owned);
                let entry = (message.subject.clone(), body);
                kept.lock().expect("whole").push(entry);
            }
        });
        Self { seen, task }
    }

    /// Subjects and bodies so far.
    pub fn seen(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().expect("whole").clone()
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
