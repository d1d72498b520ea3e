//! Requests and answers over the message limit: sent in parts on the same subject, put together on the other side.
//!
//! Each part carries `fleetcast-part` (`<index>/<count>`), `fleetcast-parts-id` and `fleetcast-digest` of the whole. A message without
//! these headers is whole. An answer of several parts goes to the asker's inbox in order.
//!
//! Parts that are waited for take room, so there are [`AT_ONCE`] places. A message that finds none takes that of another: of the asker who has most of them, the
//! one that got no part for longest (decision 48). So whoever begins messages and never ends them takes the places of his own, and a message whose parts
//! come one after the other is not what waits longest.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use fleetcast_core::digest;
use fleetcast_schemas::envelope::DIGEST;
use fleetcast_schemas::request::PART;
use fleetcast_schemas::{DecodeError, Message};

use crate::{Bus, Delivery, Error};

/// The header that says which parts belong together.
const PARTS_ID: &str = "fleetcast-parts-id";
/// How long the parts of one message may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many messages may be under way in parts at the same time.
const AT_ONCE: usize = 64;

/// Cuts a message into parts of at most `limit` bytes; a short one stays whole.
pub fn split(message: Message, limit: usize, id: &str) -> Vec<Message> {
    if message.payload.len() <= limit {
        return vec![message];
    }
    let digest = digest::of_bytes(&message.payload);
    let chunks: Vec<&[u8]> = message.payload.chunks(limit.max(1)).collect();
    let count = chunks.len();
    chunks
        .into_iter()
        .enumerate()
        .map(|(index, chunk)| Message {
            subject: message.subject.clone(),
            headers: message
                .headers
                .clone()
                .with(PART, format!("{}/{count}", index + 1))
                .with(PARTS_ID, id)
                .with(DIGEST, digest.clone()),
            payload: chunk.to_vec(),
        })
        .collect()
}

/// Puts messages together from their parts.
pub struct Assembler {
    limit: usize,
    open: HashMap<Key, Partial>,
    /// How many parts came so far.
    taken: u64,
}

/// The subject and the id of a message.
type Key = (String, String);

struct Partial {
    /// Whose it is, as he says himself.
    asker: String,
    parts: Vec<Option<Vec<u8>>>,
    size: usize,
    since: Instant,
    /// The count of the part that came last.
    last: u64,
}

impl Assembler {
    /// Takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: HashMap::new(),
            taken: 0,
        }
    }

    /// Takes a message or a part of one, of an asker as he calls himself: the whole message when it is complete.
    ///
    /// # Errors
    /// Where it is larger than the limit, a part is malformed, or the whole is not what its digest says.
    pub fn take(
        &mut self,
        mut message: Message,
        asker: &str,
    ) -> Result<Option<Message>, DecodeError> {
        self.open
            .retain(|_, partial| partial.since.elapsed() < PATIENCE);
        let too_large = DecodeError::TooLarge { limit: self.limit };
        let Some(part) = message.headers.remove(PART) else {
            return if message.payload.len() > self.limit {
                Err(too_large)
            } else {
                Ok(Some(message))
            };
        };
        let malformed = || DecodeError::Malformed {
            header: PART,
            value: part.chars().take(200).collect(),
        };
        let (index, count) = part.split_once('/').ok_or_else(malformed)?;
        let (index, count): (usize, usize) = (
            index.parse().map_err(|_| malformed())?,
            count.parse().map_err(|_| malformed())?,
        );
        if index == 0 || index > count || count > self.limit.div_ceil(1024) {
            return Err(malformed());
        }
        let id = message
            .headers
            .remove(PARTS_ID)
            .ok_or(DecodeError::Missing(PARTS_ID))?;
        let key = (message.subject.clone(), id);
        if !self.open.contains_key(&key) && self.open.len() >= AT_ONCE {
            self.give_one_up();
        }
        self.taken += 1;
        let partial = self.open.entry(key.clone()).or_insert_with(|| Partial {
            asker: asker.to_owned(),
            parts: vec![None; count],
            size: 0,
            since: Instant::now(),
            last: 0,
        });
        partial.last = self.taken;
        if partial.parts.len() != count || partial.size + message.payload.len() > self.limit {
            self.open.remove(&key);
            return Err(too_large);
        }
        if partial.parts[index - 1].is_none() {
            partial.size += message.payload.len();
            partial.parts[index - 1] = Some(std::mem::take(&mut message.payload));
        }
        if partial.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole: Vec<u8> = self
            .open
            .remove(&key)
            .into_iter()
            .flat_map(|partial| partial.parts)
            .flatten()
            .flatten()
            .collect();
        let expected = message
            .headers
            .remove(DIGEST)
            .ok_or(DecodeError::Missing(DIGEST))?;
        if digest::of_bytes(&whole) != expected {
            return Err(DecodeError::Body(
                "the parts do not amount to what their digest says".to_owned(),
            ));
        }
        message.payload = whole;
        Ok(Some(message))
    }

    /// Gives up what the asker with most places waits for longest; who says that he is many has one each, so that all of his are looked at.
    fn give_one_up(&mut self) {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for partial in self.open.values() {
            *places.entry(&partial.asker).or_default() += 1;
        }
        let loser = self
            .open
            .iter()
            .max_by_key(|(_, partial)| (places[partial.asker.as_str()], Reverse(partial.last)));
        if let Some(key) = loser.map(|(key, _)| key.clone()) {
            let (subject, _) = &key;
            tracing::debug!(subject, "a message in parts is given up for another");
            self.open.remove(&key);
        }
    }
}

impl Bus {
    /// Sends a request, in parts where it must be, and waits for the answer, which may come in parts of up to `answer_limit` bytes together.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nobody answers within `timeout`, [`Error::Unreadable`] where the answer cannot be put together.
    pub async fn request(
        &self,
        message: Message,
        answer_limit: usize,
        timeout: Duration,
    ) -> Result<Message, Error> {
        let inbox = self.new_inbox();
        let mut answers = self.subscribe(&inbox).await?;
        let subject = message.subject.clone();
        let limit = self.payload_limit();
        for part in split(message, limit, &inbox) {
            self.publish_with_reply(part, &inbox).await?;
        }
        let mut assembler = Assembler::new(answer_limit);
        let answer = async {
            loop {
                let Some(Delivery {
                    message, is_nobody, ..
                }) = answers.next().await
                else {
                    return Err(Error::Unavailable("the connection was closed".to_owned()));
                };
                if is_nobody {
                    return Err(Error::Unavailable(format!("nobody answers {subject}")));
                }
                if let Some(whole) = assembler.take(message, "")? {
                    return Ok(whole);
                }
            }
        };
        tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or_else(|_| {
                Err(Error::Unavailable(format!(
                    "no answer from {subject} within {timeout:?}"
                )))
            })
    }

    /// Answers a request, in parts where it must be.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn answer(&self, reply: &str, mut message: Message) -> Result<(), Error> {
        reply.clone_into(&mut message.subject);
        for part in split(message, self.payload_limit(), reply) {
            self.publish(part).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_schemas::Headers;

    fn message(payload: &[u8]) -> Message {
        Message {
            subject: "fc.in.apply.a.b.c.d".to_owned(),
            headers: Headers::default().with("ce-id", "1"),
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn parts_come_together_in_any_order() {
        let whole = message(&(0..=255).collect::<Vec<u8>>());
        let mut parts = split(whole.clone(), 100, "x");
        assert_eq!(parts.len(), 3);
        parts.reverse();
        let mut assembler = Assembler::new(1_000_000);
        let mut outcomes: Vec<_> = parts
            .into_iter()
            .map(|part| assembler.take(part, ""))
            .collect();
        assert_eq!(outcomes.pop(), Some(Ok(Some(whole))));
        assert_eq!(outcomes, [Ok(None), Ok(None)]);
    }

    #[test]
    fn hostile_parts_are_refused() {
        let part = |part: &str| Message {
            headers: Headers::default()
                .with(PART, part)
                .with(PARTS_ID, "x")
                .with(DIGEST, "y"),
            ..message(b"abc")
        };
        for hostile in [
            "",
            "1",
            "0/1",
            "2/1",
            "a/b",
            "1/999999999999",
            "1/18446744073709551615",
        ] {
            assert!(
                Assembler::new(10_000).take(part(hostile), "").is_err(),
                "{hostile}"
            );
        }
        assert!(
            Assembler::new(10_000).take(part("1/1"), "").is_err(),
            "the digest is not that of the payload"
        );
        assert!(
            Assembler::new(2).take(message(b"abc"), "").is_err(),
            "too large"
        );
    }

    /// The first of two parts of a message `id`, and the second.
    fn halves(id: &str) -> [Message; 2] {
        let parts = split(message(&[7; 100]), 60, id);
        parts.try_into().expect("two parts")
    }

    #[test]
    fn who_never_ends_what_he_begins_takes_the_places_of_his_own() {
        let mut assembler = Assembler::new(1_000_000);
        let [first, second] = halves("honest");
        assert_eq!(assembler.take(first, "_INBOX.honest"), Ok(None));
        for id in 0..AT_ONCE * 4 {
            let [begun, _] = halves(&id.to_string());
            assert_eq!(assembler.take(begun, "_INBOX.hostile"), Ok(None));
        }
        assert_eq!(assembler.open.len(), AT_ONCE, "room is bounded");
        assert!(matches!(
            assembler.take(second, "_INBOX.honest"),
            Ok(Some(_))
        ));
        // And there is a place for whoever comes.
        let [first, second] = halves("late");
        assert_eq!(assembler.take(first, "_INBOX.late"), Ok(None));
        assert!(matches!(assembler.take(second, "_INBOX.late"), Ok(Some(_))));
    }

    #[test]
    fn who_says_that_he_is_many_gets_no_more_than_the_places_that_wait_longest() {
        let mut assembler = Assembler::new(1_000_000);
        for id in 0..AT_ONCE {
            let [begun, _] = halves(&id.to_string());
            let asker = format!("_INBOX.hostile-{id}");
            assert_eq!(assembler.take(begun, &asker), Ok(None));
        }
        let [first, second] = halves("honest");
        assert_eq!(assembler.take(first, "_INBOX.honest"), Ok(None));
        for id in 1..AT_ONCE {
            let [begun, _] = halves(&format!("more {id}"));
            let asker = format!("_INBOX.another-{id}");
            assert_eq!(assembler.take(begun, &asker), Ok(None));
        }
        assert!(matches!(
            assembler.take(second, "_INBOX.honest"),
            Ok(Some(_))
        ));
    }
}
