//! Which state of a hub's object a change was made of, as the change's origin says it.

use serde::{Deserialize, Serialize};

use crate::change::Origin;

/// Before a hub's id in a source.
const PREFIX: &str = "kubernetes/";

/// Which state of which object of which hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubOrigin {
    /// The hub's id: the uid of its namespace `kube-system`, which is never made anew.
    pub hub: String,
    /// The object's uid.
    pub uid: String,
    /// The object's resource version, a number that grows over all objects of a hub (KEP-5504).
    pub version: u64,
    /// The object's generation, which only what is wanted of it raises; 0 for kinds that count none.
    pub generation: u64,
}

impl HubOrigin {
    /// Reads `kubernetes/<hub>` and `<uid>/<resource version>/<generation>[/…]`; none where somebody else is the publisher.
    pub fn of(origin: &Origin) -> Option<Self> {
        let hub = origin.source.strip_prefix(PREFIX)?;
        let mut parts = origin.id.split('/');
        Some(Self {
            hub: hub.to_owned(),
            uid: parts.next()?.to_owned(),
            version: parts.next()?.parse().ok()?,
            generation: parts.next()?.parse().ok()?,
        })
    }

    /// Whether this is an older state than `other` of the same hub. Versions order all objects of a hub; but whatever writes to a hub that was restored
    /// raises them again, and only what is wanted of an object raises its generation.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let is_same = self.uid == other.uid;
        self.hub == other.hub
            && (self.version < other.version || (is_same && self.generation < other.generation))
    }

    /// The origin of what was declared in this state.
    pub fn declared(&self) -> Origin {
        self.origin("")
    }

    /// The origin of the withdrawal that this state asks for.
    pub fn withdrawn(&self) -> Origin {
        self.origin("/withdrawn")
    }

    /// The origin of what a person settles about this state, which may have been a change before: `once` tells the settlements apart.
    pub fn settled(&self, once: &str) -> Origin {
        self.origin(&format!("/{once}"))
    }

    fn origin(&self, rest: &str) -> Origin {
        let Self {
            hub,
            uid,
            version,
            generation,
        } = self;
        Origin {
            source: source(hub),
            id: format!("{uid}/{version}/{generation}{rest}"),
        }
    }
}

/// The `ce-source` of a hub's changes.
pub fn source(hub: &str) -> String {
    format!("{PREFIX}{hub}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_says_which_state_it_was() {
        let state = HubOrigin {
            hub: "h".into(),
            uid: "u".into(),
            version: 12,
            generation: 3,
        };
        for origin in [state.declared(), state.withdrawn(), state.settled("once")] {
            assert_eq!(HubOrigin::of(&origin), Some(state.clone()), "{origin:?}");
        }
        for (source, id) in [
            ("fleetcast/cli", "u/12/3"),
            ("kubernetes/h", "u/12"),
            ("kubernetes/h", "u/x/3"),
        ] {
            let origin = Origin {
                source: source.into(),
                id: id.into(),
            };
            assert_eq!(HubOrigin::of(&origin), None, "{origin:?}");
        }
    }

    #[test]
    fn a_state_is_older_by_its_version_or_by_its_generation() {
        let state = |hub: &str, uid: &str, version, generation| HubOrigin {
            hub: hub.into(),
            uid: uid.into(),
            version,
            generation,
        };
        let newest = state("h", "u", 10, 2);
        for (one, expected) in [
            (state("h", "u", 9, 2), true),
            (state("h", "v", 9, 1), true),
            (state("h", "u", 11, 1), true),
            (state("h", "u", 11, 2), false),
            (state("h", "v", 11, 1), false),
            (state("i", "u", 9, 1), false),
            (newest.clone(), false),
        ] {
            assert_eq!(one.is_older_than(&newest), expected, "{one:?}");
        }
    }
}
