//! Nothing is left for later in a file: what is left for later is an issue.

use super::rust_code::{self, TestCode};
use super::tree::Tree;

/// Put together here, so that this file does not have them in it.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Macros for a moment at the desk.
const MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if let Some(note) = words.find(|word| NOTES.contains(word)) {
                violations.push(format!("{path}:{}: {note}", number + 1));
            }
        }
    }
    for (path, text) in tree.rust_files() {
        for pair in rust_code::tokens(text, TestCode::Included).windows(2) {
            if pair[1].text == "!" && MACROS.contains(&pair[0].text.as_str()) {
                violations.push(format!("{path}:{}: {}!", pair[0].line, pair[0].text));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn nothing_is_left_for_later() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a note in a comment or a page, and a macro in code, is reported.
    #[test]
    fn what_is_left_for_later_is_seen_to_fail() {
        for note in NOTES {
            expect_one(
                &violations(&Tree::of([(
                    "docs/recipes.md",
                    format!("first\n{note}: the rest\n"),
                )])),
                &["docs/recipes.md:2", note],
            );
            expect_one(
                &violations(&Tree::of([(
                    "services/core/src/lib.rs",
                    format!("// {note}(someone)\n"),
                )])),
                &["lib.rs:1", note],
            );
        }
        for name in MACROS {
            expect_one(
                &violations(&Tree::of([(
                    "services/core/src/lib.rs",
                    format!("{name}!(a);\n"),
                )])),
                &["lib.rs:1", name],
            );
        }
    }

    /// Shows that a longer word, and a macro's name in a text, is not reported.
    #[test]
    fn what_only_looks_like_it_is_not_reported() {
        let text = format!("fn {}_list() {{ \"dbg!\"; }}\n", NOTES[0]);
        expect_none(&violations(&Tree::of([("services/core/src/lib.rs", text)])));
    }
}
