//! Whose history the log tells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The beginning of a hub's history; the body of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Beginning {
    /// Whose history begins.
    pub epoch: Epoch,
    /// Over how many partitions work and acknowledgements are spread; changing it is a rebuild.
    pub partitions: u16,
}

/// Whose history the log tells: (number, hub id), raised at first start, restore and promotion.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Epoch {
    /// 1 at first start, one more with each restore or promotion.
    pub number: u64,
    /// Random, so that two hubs restored from one backup differ.
    pub hub: String,
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.number, self.hub)
    }
}

impl TryFrom<String> for Epoch {
    type Error = crate::Refusal;
    fn try_from(text: String) -> Result<Self, crate::Refusal> {
        text.split_once('.')
            .and_then(|(number, hub)| Some((number.parse().ok()?, hub)))
            .filter(|(_, hub)| {
                !hub.is_empty()
                    && hub.len() <= 64
                    && hub.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            })
            .map(|(number, hub)| Self {
                number,
                hub: hub.to_owned(),
            })
            .ok_or_else(|| {
                crate::Refusal::new("", format!("{text:?} is no epoch: <number>.<hub id>"))
            })
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_round_trips_and_anything_else_is_refused() {
        let epoch = Epoch::try_from("2.a1-b2".to_owned()).expect("valid");
        assert_eq!(
            (epoch.number, epoch.hub.as_str(), epoch.to_string()),
            (2, "a1-b2", "2.a1-b2".to_owned())
        );
        for text in ["", "2", ".a", "x.a", "2.", "2.a b", "-1.a"] {
            assert!(Epoch::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
