//! What an agent that lacks something is answered, from the work stream alone: whoever answers, the answer is the same.

use crate::Refusal;
use crate::placer::Fence;
use crate::reconcile::SyncRequest;

/// What is to be read for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The newest work about every object.
    Whole,
    /// The newest work about every object that has any behind this sequence.
    Behind(u64),
}

/// What an answer amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Whether it is everything.
    pub whole: bool,
    /// The count up to which it is complete.
    pub upto: u64,
    /// The stream sequence that stands for `upto`.
    pub sequence: u64,
}

/// Decides what to read for `ask`, where the newest fence of the stream is `fence`.
///
/// # Errors
/// A refusal while there is no complete work to answer from; the agent asks again.
pub fn reading(fence: Option<&Fence>, ask: &SyncRequest) -> Result<Reading, Refusal> {
    let fence = fence.ok_or_else(|| Refusal::new("", "no work was written yet"))?;
    if !fence.complete {
        return Err(Refusal::new("", "the work is being written anew"));
    }
    let same = ask.incarnation == fence.incarnation && ask.epoch.as_ref() == Some(&fence.epoch);
    Ok(if same {
        Reading::Behind(ask.sequence)
    } else {
        Reading::Whole
    })
}

/// Ends an answer for which the server read up to `upto` and found work with the counts `found`.
///
/// # Errors
/// A refusal where the server that answered is behind what the agent has met; the agent asks again.
pub fn end(
    reading: Reading,
    ask: &SyncRequest,
    upto: u64,
    found: impl Iterator<Item = u64>,
) -> Result<End, Refusal> {
    let (whole, known) = match reading {
        Reading::Whole => (true, 0),
        Reading::Behind(sequence) if upto < sequence => {
            return Err(Refusal::new(
                "",
                "the server that answered is behind; ask again",
            ));
        }
        Reading::Behind(_) => (false, ask.n),
    };
    Ok(End {
        whole,
        upto: found.fold(known, u64::max),
        sequence: upto,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Epoch;

    fn epoch(hub: &str) -> Epoch {
        Epoch {
            number: 1,
            hub: hub.to_owned(),
        }
    }

    fn fence(complete: bool) -> Fence {
        Fence {
            epoch: epoch("a"),
            term: 1,
            incarnation: "i".to_owned(),
            complete,
        }
    }

    fn ask(hub: &str, incarnation: &str) -> SyncRequest {
        SyncRequest {
            epoch: Some(epoch(hub)),
            incarnation: incarnation.to_owned(),
            n: 5,
            sequence: 50,
        }
    }

    #[test]
    fn what_is_read_depends_on_what_the_agent_has() {
        for (fence, ask, expected) in [
            (None, ask("a", "i"), Err("no work was written yet")),
            (
                Some(fence(false)),
                ask("a", "i"),
                Err("the work is being written anew"),
            ),
            (Some(fence(true)), ask("a", "i"), Ok(Reading::Behind(50))),
            (Some(fence(true)), ask("a", "j"), Ok(Reading::Whole)),
            (Some(fence(true)), ask("b", "i"), Ok(Reading::Whole)),
        ] {
            let found = reading(fence.as_ref(), &ask).map_err(|refusal| refusal.message);
            assert_eq!(found, expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn an_answer_is_complete_up_to_the_greatest_count() {
        let ask = ask("a", "i");
        let ended = |reading, upto, found: &[u64]| {
            end(reading, &ask, upto, found.iter().copied()).map(|end| (end.whole, end.upto))
        };
        assert_eq!(ended(Reading::Behind(50), 60, &[]), Ok((false, 5)));
        assert_eq!(ended(Reading::Behind(50), 60, &[7, 6]), Ok((false, 7)));
        assert_eq!(ended(Reading::Whole, 60, &[3]), Ok((true, 3)));
        assert!(ended(Reading::Behind(50), 49, &[]).is_err());
    }
}
