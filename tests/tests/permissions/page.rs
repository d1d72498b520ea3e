//! `docs/permissions.md` says what the roles' rows say.

use std::path::Path;

use fleetcast_auth::permissions::Permissions;
use fleetcast_schemas::role::GRANTS;

fn page() -> String {
    let mut page = "# Who may do what on the bus\n\n\
        What each role may publish and subscribe to, as `fleetcast auth` gives it to the NATS servers, here for one partition. Everything else is denied; the test\n\
        `tests/tests/permissions/table.rs` tries it. Generated from `schemas/src/role.rs`: `FLEETCAST_RENEW=1 cargo test --test permissions page`.\n\n\
        | in a subject | stands |\n|---|---|\n\
        | `{{name()}}` | the user's own name, an agent's cluster |\n| `{{tag(p)}}` | the partition of an agent's cluster |\n\
        | `{{tag(kind)}}`, `{{tag(ns)}}` | the kinds and namespaces that a publisher is limited to, or `*.*` and `*` |\n"
        .to_owned();
    for grant in GRANTS {
        let Permissions { publish, subscribe } = Permissions::template(grant.role, 1);
        page += &format!("\n## {}\n\n{}.\n", grant.word, capital(grant.about));
        for (what, subjects) in [("publishes", publish), ("subscribes", subscribe)] {
            page += &format!("\n{what}\n\n```\n{}\n```\n", subjects.join("\n"));
        }
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

#[test]
fn the_page_says_what_the_rows_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/permissions.md");
    if std::env::var_os("FLEETCAST_RENEW").is_some() {
        std::fs::write(&path, page()).expect("written");
    }
    let there = std::fs::read_to_string(&path).expect("docs/permissions.md");
    assert_eq!(there, page(), "renew it with FLEETCAST_RENEW=1");
}
