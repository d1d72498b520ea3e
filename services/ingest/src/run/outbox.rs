//! What waits to be stored in one stream: one group is under way at a time, and what comes meanwhile forms the next.
//!
//! So a write that fails is never followed by one that was sent behind it, and a burst costs few round trips (docs/decisions/0010-one-group-of-writes-is-under-way-per-stream.md).

use std::collections::VecDeque;

use fleetcast_bus::append::BATCH_MESSAGES;
use fleetcast_schemas::Message;

/// How many bytes of bodies one group may have: the server keeps a group until it is whole.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Up to so many that wait are stored one after the other, not as a batch: a server that syncs each write takes 0.4 ms for one message and 7 ms for a batch of
/// ten (`fleetcast bench fanout`, `limits.publish_in_batches_of_per_s`).
const ONE_BY_ONE: usize = 8;

/// What waits to be stored, in order; each message with what is to be done when it is.
pub(super) struct Outbox<T> {
    waiting: VecDeque<Letter<T>>,
    under_way: bool,
}

/// A message that waits.
pub(super) struct Letter<T> {
    pub(super) message: Message,
    /// Whether it goes in a group of its own.
    pub(super) alone: bool,
    pub(super) then: T,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            under_way: false,
        }
    }
}

impl<T> Outbox<T> {
    pub(super) fn push(&mut self, letter: Letter<T>) {
        self.waiting.push_back(letter);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next group, if none is under way: [`Outbox::settled`] ends it.
    pub(super) fn begin(&mut self) -> Option<Vec<Letter<T>>> {
        if self.under_way {
            return None;
        }
        let is_few = self.waiting.len() <= ONE_BY_ONE;
        let mut group = vec![self.waiting.pop_front()?];
        let mut bytes = group[0].message.payload.len();
        while let Some(next) = self.waiting.front()
            && !is_few
            && !group[0].alone
            && !next.alone
            && group.len() < BATCH_MESSAGES
            && bytes + next.message.payload.len() <= GROUP_BYTES
        {
            bytes += next.message.payload.len();
            group.extend(self.waiting.pop_front());
        }
        self.under_way = true;
        Some(group)
    }

    /// The group that was under way is stored or not.
    pub(super) fn settled(&mut self) {
        self.under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(then: u8, alone: bool, bytes: usize) -> Letter<u8> {
        let message = Message {
            subject: "s".to_owned(),
            headers: fleetcast_schemas::Headers::default(),
            payload: vec![0; bytes],
        };
        Letter {
            message,
            alone,
            then,
        }
    }

    fn begun(outbox: &mut Outbox<u8>) -> Option<Vec<u8>> {
        let group = outbox.begin()?;
        Some(group.into_iter().map(|letter| letter.then).collect())
    }

    fn groups(outbox: &mut Outbox<u8>) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| {
            outbox.settled();
            begun(outbox)
        })
        .collect()
    }

    #[test]
    fn one_group_is_under_way_and_what_comes_meanwhile_is_the_next() {
        let mut outbox = Outbox::default();
        assert_eq!(begun(&mut outbox), None);
        outbox.push(letter(1, false, 1));
        assert_eq!(begun(&mut outbox), Some(vec![1]));
        for then in 2..12 {
            outbox.push(letter(then, false, 1));
        }
        assert_eq!(begun(&mut outbox), None, "one is under way");
        outbox.settled();
        assert_eq!(begun(&mut outbox), Some((2..12).collect()));
    }

    #[test]
    fn few_go_one_after_the_other() {
        let mut outbox = Outbox::default();
        for then in 1..4 {
            outbox.push(letter(then, false, 1));
        }
        assert_eq!(groups(&mut outbox), [[1], [2], [3]]);
    }

    #[test]
    fn a_group_ends_at_what_goes_alone_and_at_its_limits() {
        let mut outbox = Outbox::default();
        for (then, alone, bytes) in [
            (1, false, 1),
            (2, true, 1),
            (3, false, GROUP_BYTES - 1),
            (4, false, 1),
            (5, false, 2 * GROUP_BYTES),
        ] {
            outbox.push(letter(then, alone, bytes));
        }
        for _ in 0..ONE_BY_ONE {
            outbox.push(letter(0, true, 1));
        }
        let groups = groups(&mut outbox);
        assert_eq!(groups[..4], [vec![1], vec![2], vec![3, 4], vec![5]]);
        for _ in 0..=BATCH_MESSAGES {
            outbox.push(letter(0, false, 1));
        }
        outbox.settled();
        assert_eq!(
            begun(&mut outbox).map(|group| group.len()),
            Some(BATCH_MESSAGES)
        );
    }
}
