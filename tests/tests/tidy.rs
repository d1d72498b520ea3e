//! What keeps the source in shape, as tests: who may use whom, what the core may not touch, how files are laid out.
//!
//! Each check is one file with `violations(&Tree) -> Vec<String>`. Two tests stand under it: the workspace has none, and a made-up
//! tree with one planted in it is seen to fail. A new check is such a file plus its line below. `cargo xtask test tidy` runs them all.

// The folder's name in the tests' names lets `tidy` select them.
mod tidy {
    // What the checks look at.
    mod rust_code;
    mod tree;

    // The checks.
    mod arrows;
    mod core_purity;
    mod decisions;
    mod entry_points;
    mod final_newlines;
    mod import_circles;
    mod long_files;
    mod machine_paths;
    mod openings;
    mod orphans;
    mod threats;
    mod unfinished;
}
