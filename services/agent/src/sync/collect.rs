//! Collects the messages of a sync answer and checks that they are all there and as they were sent.

use fleetcast_core::digest;
use fleetcast_core::epoch::Epoch;
use fleetcast_schemas::request::{PART, SEQUENCE, SyncEnd};
use fleetcast_schemas::{DecodeError, Message, codec};

/// The value of [`PART`] on the last message.
const END: &str = "end";

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The one who answers says no, and why.
    #[error("refused: {0}")]
    Refused(String),
    /// Something is missing, or not as it was sent.
    #[error("the answer is not whole: {0}")]
    NotWhole(String),
    /// A message of the answer cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collected {
    /// Whose history the stream belongs to.
    pub(super) epoch: Epoch,
    /// What the last message says.
    pub(super) end: SyncEnd,
    /// The items as they are stored, by stream sequence, in the order sent.
    pub(super) items: Vec<(u64, Message)>,
}

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Collector(Vec<(u64, Message)>);

impl Collector {
    /// Takes the next message: the whole answer when it is the last.
    pub(super) fn take(&mut self, mut message: Message) -> Result<Option<Collected>, Error> {
        if message.headers.get(PART) != Some(END) {
            let sequence = message.headers.parsed(SEQUENCE)?;
            message.headers.remove(SEQUENCE);
            self.0.push((sequence, message));
            return Ok(None);
        }
        let end: SyncEnd = codec::decode(&message.payload, &message.headers)?;
        if !end.refused.is_empty() {
            return Err(Error::Refused(end.refused));
        }
        let items = std::mem::take(&mut self.0);
        if u64::try_from(items.len()) != Ok(end.count) {
            return Err(Error::NotWhole(format!(
                "{} of {} items came",
                items.len(),
                end.count
            )));
        }
        if digest_of(&items) != end.digest {
            return Err(Error::NotWhole(
                "the items do not amount to the digest".to_owned(),
            ));
        }
        let epoch = end
            .epoch
            .clone()
            .ok_or_else(|| Error::NotWhole("it names no epoch".to_owned()))?;
        Ok(Some(Collected { epoch, end, items }))
    }
}

/// Over the concatenation of each item's sequence in decimal, a newline, its payload as sent, a newline.
fn digest_of(items: &[(u64, Message)]) -> String {
    let size: usize = items
        .iter()
        .map(|(_, message)| message.payload.len() + 22)
        .sum();
    let mut text = Vec::with_capacity(size);
    for (sequence, message) in items {
        text.extend_from_slice(sequence.to_string().as_bytes());
        text.push(b'\n');
        text.extend_from_slice(&message.payload);
        text.push(b'\n');
    }
    digest::short(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_schemas::Headers;

    fn item(sequence: &str, payload: &[u8]) -> Message {
        Message {
            subject: "_IN.eu.x".to_owned(),
            headers: Headers::default().with(SEQUENCE, sequence),
            payload: payload.to_vec(),
        }
    }

    fn end(change: impl FnOnce(&mut SyncEnd)) -> Message {
        let mut end = SyncEnd {
            refused: String::new(),
            epoch: Epoch::try_from("1.a".to_owned()).ok(),
            incarnation: "i".to_owned(),
            whole: true,
            upto: 2,
            sequence: 9,
            count: 2,
            digest: digest::short(b"7\nseven\n9\n\n"),
            renew: false,
        };
        change(&mut end);
        let mut headers = Headers::default().with(PART, END);
        Message {
            subject: "_IN.eu.x".to_owned(),
            payload: codec::encode(&end, &mut headers),
            headers,
        }
    }

    fn collect(messages: Vec<Message>) -> Result<Option<Collected>, Error> {
        let mut collector = Collector::default();
        let mut last = Ok(None);
        for message in messages {
            last = collector.take(message);
            if last.is_err() {
                break;
            }
        }
        last
    }

    /// An answer is taken as a whole or not at all.
    #[test]
    fn only_a_whole_answer_is_one() {
        let (seven, nine) = (item("7", b"seven"), item("9", b""));
        let whole = collect(vec![seven.clone(), nine.clone(), end(|_| ())]);
        let sequences: Vec<u64> = whole
            .unwrap()
            .unwrap()
            .items
            .iter()
            .map(|(sequence, _)| *sequence)
            .collect();
        assert_eq!(sequences, [7, 9]);

        let text = |error: Error| error.to_string();
        for (messages, expected) in [
            (vec![seven.clone(), nine.clone()], None),
            (
                vec![seven.clone(), end(|_| ())],
                Some("the answer is not whole: 1 of 2 items came"),
            ),
            (
                vec![nine.clone(), seven.clone(), end(|_| ())],
                Some("the answer is not whole: the items do not amount to the digest"),
            ),
            (
                vec![seven.clone(), item("8", b""), end(|_| ())],
                Some("the answer is not whole: the items do not amount to the digest"),
            ),
            (
                vec![seven.clone(), nine.clone(), end(|end| end.epoch = None)],
                Some("the answer is not whole: it names no epoch"),
            ),
            (
                vec![end(|end| end.refused = "rebuilding".to_owned())],
                Some("refused: rebuilding"),
            ),
            (
                vec![item("x", b"")],
                Some("header fleetcast-sequence is malformed: \"x\""),
            ),
            (
                vec![Message {
                    payload: b"\xc1".to_vec(),
                    ..end(|_| ())
                }],
                Some(""),
            ),
        ] {
            match (collect(messages), expected) {
                (Ok(None), None) => {}
                (Err(error), Some(expected)) => {
                    assert!(text(error.clone()).starts_with(expected), "{error}");
                }
                (outcome, expected) => panic!("{outcome:?}, expected {expected:?}"),
            }
        }
    }

    /// An answer without items is whole too.
    #[test]
    fn nothing_new_is_an_answer() {
        let nothing = end(|end| {
            end.count = 0;
            end.digest = digest::short(b"");
        });
        assert!(collect(vec![nothing]).unwrap().is_some());
    }
}
