//! rustfmt and clippy: parts of a Rust toolchain that a machine may have left out.

use crate::command_line::first_line;
use crate::workspace::Workspace;

/// A part of the toolchain that is a subcommand of cargo.
pub(crate) struct Component {
    /// Its name for `rustup component add`.
    pub(crate) name: &'static str,
    subcommand: &'static str,
}

/// `cargo fmt`.
pub(crate) const RUSTFMT: Component = Component {
    name: "rustfmt",
    subcommand: "fmt",
};
/// `cargo clippy`.
pub(crate) const CLIPPY: Component = Component {
    name: "clippy",
    subcommand: "clippy",
};

impl Component {
    /// Says why it cannot be used and what to do, or nothing if it is there.
    pub(crate) fn missing(&self, workspace: &Workspace) -> Option<String> {
        let found = first_line(workspace.cargo().args([self.subcommand, "--version"]));
        found.is_none().then(|| {
            format!(
                "{name} is not installed (`rustup component add {name}` brings it)",
                name = self.name
            )
        })
    }
}
