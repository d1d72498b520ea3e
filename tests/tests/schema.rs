//! `fleetcast schema` prints what stands in `schemas/`.
//!
//! `FLEETCAST_RENEW=1` writes the files under `schemas/crds` and `schemas/http` anew.

use std::path::{Path, PathBuf};

use fleetcast_tests::harness::Binary;

/// Shows that the OpenAPI document's file is what the binary prints.
#[test]
fn the_openapi_document_is_that_of_the_binary() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/http/openapi.json");
    let binary = Binary::new(Path::new(env!("CARGO_MANIFEST_DIR")), PathBuf::new());
    let printed = binary.done(&["schema", "openapi"]).out;
    if std::env::var_os("FLEETCAST_RENEW").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, &printed).expect("written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == printed,
        "schemas/http/openapi.json is not what the binary prints; FLEETCAST_RENEW=1 writes it anew"
    );
}

/// Shows that each definition's file is what the binary prints, and that there is no file besides.
#[test]
fn definitions_are_those_of_the_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/crds");
    let binary = Binary::new(Path::new(env!("CARGO_MANIFEST_DIR")), PathBuf::new());
    let all = binary.run(&["schema", "crds", "-o", "json"]);
    let all = all.json();
    let mut expected = Vec::new();
    for definition in all["items"].as_array().expect("a list") {
        let name = definition["metadata"]["name"].as_str().expect("a name");
        let printed = binary.run(&["schema", "crds", name]);
        assert_eq!(printed.status, 0, "{printed:?}");
        let file = format!("{name}.yaml");
        let path = root.join(&file);
        if std::env::var_os("FLEETCAST_RENEW").is_some() {
            std::fs::create_dir_all(&root).expect("a folder");
            std::fs::write(&path, &printed.out).expect("written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == printed.out,
            "schemas/crds/{file} is not what the binary prints; FLEETCAST_RENEW=1 writes it anew"
        );
        expected.push(file);
    }
    expected.sort();
    let mut files: Vec<String> = std::fs::read_dir(&root)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    assert_eq!(files, expected, "each file belongs to a kind");
    let together = binary.run(&["schema", "crds"]).out;
    assert_eq!(together.matches("\n---\n").count(), 2, "three documents");
    for (name, status) in [
        ("fmc", 0),
        ("FederatedObject", 0),
        ("cfo", 0),
        ("nothing", 2),
    ] {
        assert_eq!(
            binary.run(&["schema", "crds", name]).status,
            status,
            "{name}"
        );
    }
}
