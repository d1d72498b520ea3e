//! A whole fleet on a real NATS server, on free ports, cleaned up on drop.
//!
//! [`Bed`] runs the services as tasks of the test, so that a test can stop them, kill them and look at what they did; [`Binary`] runs
//! `fleetcast` itself, as a person would. [`control_plane`] gives real API servers.

mod bed;
mod binary;
pub mod control_plane;
mod docker;
mod http;
mod identities;
mod python;
mod spy;
mod three;

use std::io::Write;
use std::path::PathBuf;

pub use bed::{
    Bed, Service, apply_as, config_map, digest, eventually, held, keys, request, sealing,
};
pub use binary::{Binary, Output, Up, held_at};
pub use control_plane::{
    ControlPlane, bare_control_plane, client_of, control_plane, control_planes, hub_and_members,
    namespace,
};
pub use docker::{Compose, Engine, docker};
pub use http::{Http, door, door_within, listens_at, telling, token_file};
pub use identities::unix_seconds;
pub use python::{Python, python, python_with_nats};
pub use spy::Spy;
pub use three::Three;

/// The NATS server that `cargo xtask` brought; none (said so) where there is none, and the test has nothing to show then.
pub fn nats_server(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os(fleetcast_bus::server::BINARY)
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    if found.is_none() {
        skip(
            test,
            "there is no NATS server: FLEETCAST_NATS_SERVER is not set (`cargo xtask test` brings one)",
        );
    }
    found
}

/// The folder with real manifests; none (said so) in a clone of the project alone.
pub fn corpus(test: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    skip(
        test,
        "the corpus of real manifests is not here: ../shared/corpus",
    );
    None
}

/// Says that a test showed nothing and why; `cargo xtask test` repeats it at its end.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("FLEETCAST_SKIPPED_FILE")
        && let Ok(mut file) = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
    {
        let _ = file.write_all(line.as_bytes());
    }
}
