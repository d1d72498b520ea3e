//! No Rust file grows past what one reads in a sitting: beauty is lost where one file takes every next thing.

use super::tree::Tree;

/// Good projects have files of 106 to 379 lines at their median; one of twice that much hides a noun.
const MOST_LINES: usize = 700;

fn violations(tree: &Tree) -> Vec<String> {
    let counted = tree
        .rust_files()
        .map(|(path, text)| (path, text.lines().count()));
    let long = counted.filter(|(_, lines)| *lines > MOST_LINES);
    long.map(|(path, lines)| {
        format!("{path}: {lines} lines, {MOST_LINES} at most: look for the noun that wants out")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn no_file_is_too_long() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that the first line too many is reported, and the last that is allowed is not.
    #[test]
    fn a_file_too_long_is_seen_to_fail() {
        let tree = |lines| Tree::of([("services/core/src/lib.rs", "//\n".repeat(lines))]);
        expect_none(&violations(&tree(700)));
        expect_one(
            &violations(&tree(701)),
            &["services/core/src/lib.rs", "701 lines"],
        );
    }
}
