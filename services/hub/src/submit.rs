//! Handing in, at the door that every publisher uses.

use std::time::Duration;

use fleetcast_bus::{Bus, Error};
use fleetcast_core::change::Origin;
use fleetcast_core::document::Document;
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::envelope::{ANEW, DATACONTENTTYPE, Headers, ID, SOURCE};
use fleetcast_schemas::request::{Answer, Withdrawal};
use fleetcast_schemas::{Message, codec, subject};

/// For how long a submission is repeated before the caller looks whether it may still hand in.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something to be handed in.
#[derive(Debug, Clone)]
pub struct Submission(Message);

impl Submission {
    /// Declares what `document` says about `target`.
    pub fn declare(target: &ObjectKey, origin: &Origin, document: &Document) -> Self {
        let payload = document.as_bytes().to_vec();
        Self::new(subject::apply(target), origin, payload)
    }

    /// Withdraws `target`.
    pub fn withdraw(target: &ObjectKey, origin: &Origin) -> Self {
        let withdrawal = Withdrawal::default();
        let payload = serde_json::to_vec(&withdrawal);
        let payload = payload.expect("a withdrawal has only string keys");
        Self::new(subject::delete(target), origin, payload)
    }

    fn new(subject: String, origin: &Origin, payload: Vec<u8>) -> Self {
        let mut headers = Headers::default()
            .with(ID, origin.id.clone())
            .with(SOURCE, origin.source.clone())
            .with(DATACONTENTTYPE, codec::JSON);
        let payload = codec::compress(payload, &mut headers);
        Self(Message {
            subject,
            headers,
            payload,
        })
    }

    /// The same as a change although the newest revision says the same, or was made of a newer state.
    #[must_use]
    pub fn anew(mut self) -> Self {
        self.0.headers.set(ANEW, "yes");
        self
    }

    /// Sends it, for a few seconds again and again.
    ///
    /// # Errors
    /// Where nobody answers: the same may be sent again, its id makes a repeat harmless.
    pub async fn send(&self, bus: &Bus) -> Result<Answer, Error> {
        bus.submit(self.0.clone(), PATIENCE).await
    }
}
