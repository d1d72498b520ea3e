//! The harness, and every test that crosses a crate.
//!
//! | what | where |
//! |---|---|
//! | a whole fleet on a real NATS server, on free ports, cleaned up on drop | [`harness`] |
//! | a whole fleet in one deterministic process, driven by a seed | the crate in `tests/world` |

pub mod harness;
