//! Every Rust file opens with `//!`: a reader knows in ten seconds what it is for.

use super::tree::Tree;

fn violations(tree: &Tree) -> Vec<String> {
    let said = |text: &str| {
        text.lines()
            .next()
            .and_then(|line| line.strip_prefix("//!"))
            .is_some_and(|words| !words.trim().is_empty())
    };
    tree.rust_files()
        .filter(|(_, text)| !said(text))
        .map(|(path, _)| format!("{path}: the first line must be `//!` and what the file is for"))
        .collect()
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
        expect_none(&violations(&Tree::of([(
            "services/core/src/lib.rs",
            "//! Decides.\n",
        )])));
    }
}
