//! Which state of a hub's object a change was made of, as the change's origin says it.

use crate::change::Origin;

/// Before a hub's id in a source.
const PREFIX: &str = "kubernetes/";

/// Which state of which object of which hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOrigin {
    /// The hub's id: the uid of its namespace `kube-system`, which is never made anew.
    pub hub: String,
    /// The object's uid.
    pub uid: String,
    /// The object's resource version, a number that grows over all objects of a hub (KEP-5504).
    pub version: u64,
}

impl HubOrigin {
    /// Reads `kubernetes/<hub>` and `<uid>/<resource version>[/…]`; none where somebody else is the publisher.
    pub fn of(origin: &Origin) -> Option<Self> {
        let hub = origin.source.strip_prefix(PREFIX)?;
        let mut parts = origin.id.split('/');
        Some(Self {
            hub: hub.to_owned(),
            uid: parts.next()?.to_owned(),
            version: parts.next()?.parse().ok()?,
        })
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
        let Self { hub, uid, version } = self;
        Origin {
            source: source(hub),
            id: format!("{uid}/{version}{rest}"),
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
        };
        for origin in [state.declared(), state.withdrawn(), state.settled("once")] {
            assert_eq!(HubOrigin::of(&origin), Some(state.clone()), "{origin:?}");
        }
        for (source, id) in [
            ("fleetcast/cli", "u/12"),
            ("kubernetes/h", "u"),
            ("kubernetes/h", "u/x"),
        ] {
            let origin = Origin {
                source: source.into(),
                id: id.into(),
            };
            assert_eq!(HubOrigin::of(&origin), None, "{origin:?}");
        }
    }
}
