//! The core decides and does nothing: no clock, no order of chance, no IO in its code.
//!
//! What it may not name in its `Cargo.toml` is in `arrows`. Clippy knows most of this too (`services/core/clippy.toml`); this holds
//! where clippy is not installed, and sees what an `#[allow]` would hide.

use super::rust_code::{self, Module, TestCode};
use super::tree::Tree;

/// Paths with `::` between their parts, and why they are no part of a decision.
const FORBIDDEN: [(&str, &str); 14] = [
    ("HashMap", "its order is chance; take BTreeMap"),
    ("HashSet", "its order is chance; take BTreeSet"),
    ("Instant", "time comes in as a value"),
    ("SystemTime", "time comes in as a value"),
    ("Utc::now", "time comes in as a value"),
    ("Local::now", "time comes in as a value"),
    ("RandomState", "chance is no part of a decision"),
    ("std::fs", "the core does no IO"),
    ("std::env", "the core does no IO"),
    ("std::net", "the core does no IO"),
    ("std::process", "the core does no IO"),
    ("std::thread", "the core does not wait"),
    ("println", "the edge logs"),
    ("await", "the core does not wait"),
];

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    // Its tests may read golden files, so code under test is left out.
    for module in rust_code::modules(tree, "services/core/src/lib.rs", TestCode::LeftOut) {
        for (path, reason) in FORBIDDEN {
            violations.extend(
                lines_with(&module, path)
                    .map(|line| format!("{}:{line}: {path}: {reason}", module.file)),
            );
        }
    }
    violations
}

/// The lines where these words follow each other, with `::` between them.
fn lines_with<'module>(
    module: &'module Module,
    path: &'static str,
) -> impl Iterator<Item = usize> + 'module {
    let wanted: Vec<&str> = path
        .split("::")
        .flat_map(|word| ["::", word])
        .skip(1)
        .collect();
    module
        .tokens
        .windows(wanted.len())
        .filter(move |window| {
            window
                .iter()
                .map(|token| token.text.as_str())
                .eq(wanted.iter().copied())
        })
        .map(|window| window[0].line)
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn the_core_is_pure() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that each of them is reported, in a `use` and in passing.
    #[test]
    fn each_impurity_is_seen_to_fail() {
        for (code, path) in [
            ("use std::collections::{BTreeMap, HashMap};", "HashMap"),
            ("let seen: std::collections::HashSet<u8>;", "HashSet"),
            ("use std::time::Instant;", "Instant"),
            ("use std::time::SystemTime;", "SystemTime"),
            ("let now = chrono::Utc::now();", "Utc::now"),
            ("let now = Local :: now();", "Local::now"),
            ("use std::hash::RandomState;", "RandomState"),
            ("let text = std::fs::read(path);", "std::fs"),
            ("use std::env;", "std::env"),
            ("use std::net::IpAddr;", "std::net"),
            ("use std::process;", "std::process"),
            ("std::thread::yield_now();", "std::thread"),
            ("println!();", "println"),
            ("answer.await", "await"),
        ] {
            let tree = Tree::of([
                ("services/core/src/lib.rs", "mod intake;".to_owned()),
                ("services/core/src/intake.rs", format!("\n{code}\n")),
            ]);
            expect_one(&violations(&tree), &["services/core/src/intake.rs:2", path]);
        }
    }

    /// Shows that a word in a comment, a text, or a test is not reported, nor is a longer word.
    #[test]
    fn what_is_no_impurity_is_not_reported() {
        let code = "// HashMap\nlet text = \"HashMap\"; struct Instantly; #[cfg(test)] mod tests { use std::fs; }";
        expect_none(&violations(&Tree::of([("services/core/src/lib.rs", code)])));
    }
}
