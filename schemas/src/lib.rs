//! Everything that travels: subjects, envelope, codec, and each event with its version.
//!
//! | what | file |
//! |---|---|
//! | subjects, built and parsed | [`subject`] |
//! | who may use which of them, as data | [`role`] |
//! | headers (CloudEvents in binary mode, and ours) | [`envelope`] |
//! | bodies: MessagePack with field names or JSON, compressed over 1 KB | [`codec`] |
//! | events to and from messages | [`event`] |
//! | whether ids fit the content | [`evidence`] |
//! | the list of events with their JSON Schemas | [`catalog`] |
//! | requests and their answers | [`request`] |
//! | the same over HTTP, as an OpenAPI document | [`http`] |
//!
//! A new event is a function pair in [`event`], a line in [`catalog`] and a frozen sample; a changed one is a new version beside the old,
//! with an upcaster. No sample that was ever written may stop being readable.

pub mod catalog;
pub mod codec;
pub mod envelope;
pub mod event;
pub mod evidence;
pub mod http;
pub mod request;
pub mod role;
pub mod subject;

pub use envelope::{DecodeError, Headers, Message};
