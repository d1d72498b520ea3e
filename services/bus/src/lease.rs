//! Who leads: a key that vanishes unless it is renewed.

use async_nats::jetstream::kv;

use crate::streams::LEADER;
use crate::{Bus, Error};

/// A lease that is held.
#[derive(Debug, Clone)]
pub struct Lease {
    store: kv::Store,
    key: String,
    holder: String,
    revision: u64,
}

impl Bus {
    /// Takes the lease `key` for `holder`: none where somebody else holds it. A holder gets its own lease back at once.
    ///
    /// # Errors
    /// Where the bus does not answer.
    pub async fn take_lease(&self, key: &str, holder: &str) -> Result<Option<Lease>, Error> {
        let store = self
            .jetstream
            .get_key_value(LEADER)
            .await
            .map_err(Error::unavailable)?;
        let value = bytes::Bytes::from(holder.to_owned());
        let revision = match store.entry(key).await.map_err(Error::unavailable)? {
            Some(entry) if entry.operation == kv::Operation::Put && entry.value == value => {
                store.update(key, value, entry.revision).await.ok()
            }
            Some(entry) if entry.operation == kv::Operation::Put => None,
            Some(_) | None => store.create(key, value).await.ok(),
        };
        Ok(revision.map(|revision| Lease {
            store,
            key: key.to_owned(),
            holder: holder.to_owned(),
            revision,
        }))
    }
}

impl Lease {
    /// Keeps the lease.
    ///
    /// # Errors
    /// Where somebody else took it or the bus does not answer: stop leading.
    pub async fn renew(&mut self) -> Result<(), Error> {
        let value = bytes::Bytes::from(self.holder.clone());
        self.revision = self
            .store
            .update(&self.key, value, self.revision)
            .await
            .map_err(Error::unavailable)?;
        Ok(())
    }

    /// Gives the lease up, so that the next one need not wait.
    pub async fn release(self) {
        if let Err(error) = self
            .store
            .delete_expect_revision(&self.key, Some(self.revision))
            .await
        {
            tracing::debug!(%error, "the lease could not be given up; it ends by itself");
        }
    }
}

impl Bus {
    /// Who holds the lease `key` now: none where nobody does.
    ///
    /// # Errors
    /// Where the bus does not answer.
    pub async fn lease_holder(&self, key: &str) -> Result<Option<String>, Error> {
        let store = self
            .jetstream
            .get_key_value(LEADER)
            .await
            .map_err(Error::unavailable)?;
        let value = store.get(key).await.map_err(Error::unavailable)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Takes the lease `key` away from whoever holds it: the holder stops, and whoever is first takes it anew.
    ///
    /// # Errors
    /// Where the bus does not answer.
    pub async fn break_lease(&self, key: &str) -> Result<(), Error> {
        let store = self
            .jetstream
            .get_key_value(LEADER)
            .await
            .map_err(Error::unavailable)?;
        store.delete(key).await.map_err(Error::unavailable)
    }
}
