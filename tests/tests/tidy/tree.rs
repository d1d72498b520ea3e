//! The workspace's text files in memory, or a few made-up ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Text files by their path from the workspace's root, with `/` between the parts.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

/// One crate of ours.
pub(crate) struct Crate<'tree> {
    /// From the workspace's root: `services/core`.
    pub(crate) folder: &'tree str,
    /// The text of its `Cargo.toml`.
    pub(crate) manifest: &'tree str,
}

/// The hidden folders that are source; the others are git's, an editor's, or what a running fleet leaves.
const HIDDEN_SOURCE: [&str; 3] = [".cargo", ".ci", ".github"];

impl Tree {
    /// Reads every text file of this workspace.
    pub(crate) fn of_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the tests are a folder of the workspace");
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files);
        Self { files }
    }

    /// A made-up one.
    pub(crate) fn of<Text: Into<String>>(
        files: impl IntoIterator<Item = (&'static str, Text)>,
    ) -> Self {
        Self {
            files: files
                .into_iter()
                .map(|(path, text)| (path.to_owned(), text.into()))
                .collect(),
        }
    }

    /// Path and text of every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Path and text of every Rust file.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The crates, by folder.
    pub(crate) fn crates(&self) -> impl Iterator<Item = Crate<'_>> {
        self.files().filter_map(|(path, manifest)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            Some(Crate { folder, manifest })
        })
    }
}

impl<'tree> Crate<'tree> {
    /// The last part of its folder, by which we call it: `core`.
    pub(crate) fn name(&self) -> &'tree str {
        self.folder.rsplit('/').next().unwrap_or(self.folder)
    }

    /// The path of one of its files from its own folder, or nothing if the file is not its.
    pub(crate) fn own<'path>(&self, path: &'path str) -> Option<&'path str> {
        path.strip_prefix(self.folder)?.strip_prefix('/')
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the source can be read") {
        let entry = entry.expect("the source can be read");
        let name = entry
            .file_name()
            .into_string()
            .expect("the names of our files are UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the source can be read");
        if path == "target" || (name.starts_with('.') && !HIDDEN_SOURCE.contains(&name.as_str())) {
            continue;
        }
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() {
            // A file may go away between the listing and the reading (an editor's), and a binary one is not text.
            if let Some(text) = fs::read(entry.path())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
            {
                files.insert(path, text);
            }
        }
    }
}

/// Fails with every violation on a line of its own.
#[track_caller]
pub(crate) fn expect_none(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n  {}",
        violations.len(),
        violations.join("\n  ")
    );
}

/// Fails unless there is exactly one violation, and it has all of these parts.
#[track_caller]
pub(crate) fn expect_one(violations: &[String], parts: &[&str]) {
    let [violation] = violations else {
        panic!(
            "one violation was planted, {} are reported: {violations:#?}",
            violations.len()
        )
    };
    for part in parts {
        assert!(violation.contains(part), "{violation:?} lacks {part:?}");
    }
}
