//! JetStream made safe to use: the only user of the NATS client.
//!
//! | what | file |
//! |---|---|
//! | connecting, subscribing, publishing without storage | [`connect`](Bus) |
//! | TLS: its files, and why it does not come about | [`tls`] |
//! | who we are, with the keys of our own | [`credentials`] |
//! | credentials that are replaced, and what ends soon | `identity` |
//! | the keyed digest of work | [`work_key`] |
//! | the streams as data, and the one function that makes them so | [`streams`] |
//! | storing with an expected sequence | [`append`] |
//! | reading from a sequence, reading the newest | [`read`] |
//! | the folded truth at a retention cut, and the cut | [`base`] |
//! | the truth as portable files, and back | [`backup`], [`restore`] |
//! | the truth copied to another region, and that made a hub | [`mirror`] |
//! | reading a part that has an end | [`range`] |
//! | bodies over the message limit, by digest | [`bodies`] |
//! | requests and answers over the message limit, in parts | [`parts`] |
//! | handing in, until somebody answers | [`submit`](Bus::submit) |
//! | who leads | [`lease`] |
//! | fold positions on disk | [`checkpoint`] |
//! | a NATS server as a child process | [`server`] |
//! | a line that can be cut | [`relay`] |

pub mod append;
pub mod backup;
pub mod base;
pub mod bodies;
pub mod checkpoint;
mod connect;
pub mod credentials;
mod error;
mod identity;
pub mod lease;
pub mod mirror;
pub mod parts;
pub mod range;
pub mod read;
pub mod relay;
pub mod restore;
pub mod server;
pub mod streams;
mod submit;
pub mod tls;
pub mod work_key;

pub use connect::{Bus, Connect, Credentials, Delivery, Subscription};
pub use error::Error;

use fleetcast_core::time::Time;

/// The time now: the one place where services read the clock for events.
pub fn now() -> Time {
    Time(chrono::Utc::now().timestamp_millis())
}
