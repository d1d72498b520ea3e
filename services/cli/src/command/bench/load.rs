//! Handing documents in, many at a time.

use std::time::Instant;

use anyhow::bail;
use fleetcast_bus::Bus;
use fleetcast_schemas::request::Answer;
use futures::StreamExt;

use super::documents::Document;
use crate::submit;

/// Hands all documents in, `at_once` at a time; tells each one's place and when it was sent.
pub(super) async fn hand_in(
    bus: &Bus,
    documents: Vec<Document>,
    at_once: usize,
    mut sent: impl FnMut(usize, Instant),
) -> anyhow::Result<()> {
    let submissions =
        documents
            .into_iter()
            .enumerate()
            .map(|(index, (key, document))| async move {
                let begin = Instant::now();
                let answer = submit::apply(bus, &key, &document).await;
                (index, begin, key, answer)
            });
    let mut submissions = futures::stream::iter(submissions).buffer_unordered(at_once);
    while let Some((index, begin, key, answer)) = submissions.next().await {
        sent(index, begin);
        if let Answer::Refused { refusal } = answer? {
            bail!(
                "{} is refused: {}: {}",
                key.for_people(),
                refusal.field,
                refusal.message
            );
        }
    }
    Ok(())
}
