//! Decides everything that Fleetcast does, without doing any of it.
//!
//! Facts come in, effects go out, and time is a value: nothing here awaits, logs, reads a clock, draws a random number or iterates a
//! hash map. The services carry out what these modules decide, and the simulation runs a thousand fleets of them by seed.
//!
//! | machine | facts in | effects out |
//! |---|---|---|
//! | [`intake`] | submissions, changes found in the log | a change to append, an answer |
//! | [`placer`] | log events, work found or stored, removals acknowledged | decisions to append, work to write |
//! | [`reconcile`] | work, sync answers, outcomes, ticks | applies, removals, acknowledgements, sync requests |
//! | [`fold`] | log events, acknowledgements | the view, and what an agent is told was seen |
//!
//! The nouns are in [`model`] (what users write) and in [`change`], [`decision`], [`work`], [`ack`] (what travels). What is seen of an applied object is judged in [`health`] and
//! [`drift`].

pub mod ack;
pub mod ahead;
pub mod audit;
pub mod capacity;
pub mod change;
pub mod confirmation;
pub mod decision;
pub mod dependencies;
pub mod dialect;
pub mod diff;
pub mod digest;
pub mod document;
pub mod drift;
pub mod epoch;
pub mod expiry;
pub mod field;
pub mod fold;
pub mod health;
pub mod history;
pub mod hub;
pub mod intake;
pub mod log;
pub mod model;
pub mod overrides;
pub mod placement;
pub mod placer;
pub mod plan;
pub mod planning;
pub mod readiness;
pub mod reconcile;
pub mod refusal;
pub mod replicas;
pub mod report;
pub mod sealed;
pub mod stated;
pub mod status;
pub mod sync;
pub mod time;
pub mod work;

pub use refusal::Refusal;
