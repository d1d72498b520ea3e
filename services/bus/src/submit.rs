//! Handing in: a submission to whoever leads, repeated until somebody answers.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use fleetcast_schemas::request::{Answer, SealingAnswer};
use fleetcast_schemas::{Headers, Message, codec, subject};
use serde::de::DeserializeOwned;

use crate::{Bus, Error};

/// How long one attempt may take before the same submission is repeated.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Nobody listens yet, or nobody leads: that is not worth waiting a whole attempt for.
const PAUSE: Duration = Duration::from_millis(300);

impl Bus {
    /// Sends a submission on `fc.in.>`, and the same again where nobody answers, for as long as `patience`: its id makes a repeat harmless.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nobody answers, [`Error::Refused`] where the answer cannot be read.
    pub async fn submit(&self, message: Message, patience: Duration) -> Result<Answer, Error> {
        self.ask_door(message, patience).await
    }

    /// Asks what the hub wants sealed before it is handed in.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nobody answers, [`Error::Refused`] where the answer cannot be read.
    pub async fn ask_sealing(&self, patience: Duration) -> Result<SealingAnswer, Error> {
        let message = Message {
            subject: subject::IN_SEALING.to_owned(),
            headers: Headers::default(),
            payload: Vec::new(),
        };
        self.ask_door(message, patience).await
    }

    async fn ask_door<T: DeserializeOwned>(
        &self,
        message: Message,
        patience: Duration,
    ) -> Result<T, Error> {
        let mut last = "nobody answers".to_owned();
        let answer = (|| self.request(message.clone(), codec::BODY_LIMIT, ATTEMPT))
            .retry(
                ConstantBuilder::default()
                    .with_delay(PAUSE)
                    .without_max_times(),
            )
            .when(Error::is_worth_retrying)
            .notify(|error, _| {
                tracing::debug!(%error, "nobody answered, repeating");
                last = error.to_string();
            });
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or_else(|_| {
            let why = format!("the change was not taken in within {patience:?}: {last}");
            Err(Error::Unavailable(why))
        })?;
        serde_json::from_slice(&answer.payload)
            .map_err(|error| Error::Refused(format!("the answer cannot be read: {error}")))
    }
}
