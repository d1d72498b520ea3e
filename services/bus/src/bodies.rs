//! Bodies over the message limit: kept by digest in `fc_bodies`, named by the message.

use fleetcast_core::digest;
use fleetcast_schemas::codec::BODY_LIMIT;
use fleetcast_schemas::envelope::DATAREF;
use fleetcast_schemas::{DecodeError, Message};
use tokio::io::AsyncReadExt;

use crate::streams::BODIES;
use crate::{Bus, Error};

/// The digest that a message names as its body; none where the body is in the message.
pub fn dataref(message: &Message) -> Option<&str> {
    message
        .headers
        .get(DATAREF)?
        .strip_prefix(BODIES)?
        .strip_prefix('/')
}

impl Bus {
    /// Takes a payload over the limit out of the message and stores it by its digest.
    pub(crate) async fn store_large_body(&self, mut message: Message) -> Result<Message, Error> {
        if message.payload.len() <= self.payload_limit() {
            return Ok(message);
        }
        let digest = digest::of_bytes(&message.payload);
        self.put_body(&digest, &message.payload).await?;
        message.payload.clear();
        message.headers.set(DATAREF, format!("{BODIES}/{digest}"));
        Ok(message)
    }

    /// Stores a body by its digest, where it is not there.
    pub(crate) async fn put_body(&self, digest: &str, mut body: &[u8]) -> Result<(), Error> {
        let store = self
            .jetstream
            .get_object_store(BODIES)
            .await
            .map_err(Error::unavailable)?;
        if store.info(digest).await.is_err() {
            store
                .put(digest, &mut body)
                .await
                .map_err(Error::unavailable)?;
        }
        Ok(())
    }

    /// Puts the body that a message names into it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it cannot be read now, [`Error::Unreadable`] where it is not what its digest says.
    pub async fn load_large_body(&self, mut message: Message) -> Result<Message, Error> {
        if let Some(digest) = dataref(&message).map(str::to_owned) {
            message.payload = self.body(&digest).await?;
            message.headers.remove(DATAREF);
        }
        Ok(message)
    }

    /// The body with `digest`.
    ///
    /// # Errors
    /// As [`Bus::load_large_body`].
    pub async fn body(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let store = self
            .jetstream
            .get_object_store(BODIES)
            .await
            .map_err(Error::unavailable)?;
        let mut object = store.get(digest).await.map_err(Error::unavailable)?;
        if object.info.size > BODY_LIMIT {
            return Err(DecodeError::TooLarge { limit: BODY_LIMIT }.into());
        }
        let mut bytes = Vec::with_capacity(object.info.size);
        object
            .read_to_end(&mut bytes)
            .await
            .map_err(Error::unavailable)?;
        verify(digest, bytes)
    }
}

/// Checks that `bytes` are what `digest` names.
///
/// # Errors
/// Where they are not.
pub fn verify(digest: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if digest::of_bytes(&bytes) == digest {
        Ok(bytes)
    } else {
        Err(DecodeError::Body(format!("the body is not the one with digest {digest}")).into())
    }
}
