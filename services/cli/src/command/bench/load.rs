//! Handing documents in, many at a time.

use std::time::{Duration, Instant};

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
    sent: impl FnMut(usize, Instant),
) -> anyhow::Result<()> {
    hand_in_at(bus, documents, at_once, None, sent).await
}

/// As [`hand_in`], each no earlier than `pace` after the one before it.
pub(super) async fn hand_in_at(
    bus: &Bus,
    documents: Vec<Document>,
    at_once: usize,
    pace: Option<Duration>,
    mut sent: impl FnMut(usize, Instant),
) -> anyhow::Result<()> {
    let start = Instant::now();
    let submit = |(index, (key, document)): (usize, Document)| async move {
        if let Some(pace) = pace {
            let due = start + pace * u32::try_from(index).unwrap_or(u32::MAX);
            tokio::time::sleep_until(due.into()).await;
        }
        let begin = Instant::now();
        let answer = submit::apply(bus, &key, &document).await;
        (index, begin, key, answer)
    };
    let submissions = documents.into_iter().enumerate().map(submit);
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
