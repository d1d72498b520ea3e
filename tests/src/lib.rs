//! The harness, and every test that crosses a crate.
//!
//! | what | file |
//! |---|---|
//! | a whole fleet on a real NATS server, on free ports, cleaned up on drop | [`harness`] |
//! | a whole fleet in one deterministic process, driven by a seed | [`world`] |

pub mod harness;
pub mod world;
