//! Times as RFC 3339 in JSON: `#[serde(with = "moment")]`.

use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::{format_time, parse_time};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 9999-12-31T23:59:59.999Z: what RFC 3339 can say last. Agents' clocks are not to be trusted, and what is written must be read.
const LAST: Time = Time(253_402_300_799_999);
/// 0000-01-01T00:00:00Z.
const FIRST: Time = Time(-62_167_219_200_000);

pub(crate) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    format_time((*time).clamp(FIRST, LAST)).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_time(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time")))
}

/// Times that may be absent: `null`.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Time};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Moment(#[serde(with = "super")] Time);

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Time>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Moment).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Time>, D::Error> {
        Ok(Option::<Moment>::deserialize(deserializer)?.map(|Moment(time)| time))
    }
}
