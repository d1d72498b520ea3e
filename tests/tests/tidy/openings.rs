//! Every Rust file opens with `//!`, every Go file with `//`: a reader knows in ten seconds what it is for.

use super::tree::Tree;

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (path, text) in tree.files() {
        let opening = match path.rsplit_once('.') {
            Some((_, "rs")) => "//!",
            Some((_, "go")) => "// ",
            _ => continue,
        };
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix(opening).unwrap_or_default();
        if words.trim().is_empty() {
            violations.push(format!(
                "{path}: the first line must be `{opening}` and what the file is for"
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn every_file_opens_with_what_it_is_for() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a file that opens with something else, or with nothing, is reported.
    #[test]
    fn a_file_without_an_opening_is_seen_to_fail() {
        for text in [
            "use std::fmt;\n",
            "\n//! Late.\n",
            "//!\n",
            "/// For the next item.\n",
            "",
        ] {
            expect_one(
                &violations(&Tree::of([("services/core/src/lib.rs", text)])),
                &["services/core/src/lib.rs"],
            );
        }
        expect_one(
            &violations(&Tree::of([(
                "tests/control-plane/main.go",
                "package main\n",
            )])),
            &["tests/control-plane/main.go"],
        );
        expect_none(&violations(&Tree::of([
            ("services/core/src/lib.rs", "//! Decides.\n"),
            ("tests/control-plane/main.go", "// Runs.\npackage main\n"),
            ("docs/glossary.md", "# Glossary\n"),
        ])));
    }
}
