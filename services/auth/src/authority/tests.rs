//! An operator's folder: what is written into it, and what is refused.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::*;

const NOW: i64 = 1_800_000_000;

fn issue(role: Role, name: &str) -> Issue {
    Issue {
        role,
        name: name.to_owned(),
        ttl_s: Some(3_600),
        kinds: Vec::new(),
        namespaces: Vec::new(),
    }
}

#[test]
fn keys_are_the_owners_alone_and_refused_where_they_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("auth");
    drop(Authority::init(&path, "fleet", 2, NOW).expect("made"));
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut keys = 0;
    for file in std::fs::read_dir(path.join("keys")).expect("read") {
        assert_eq!(mode(&file.expect("a file").path()), 0o600);
        keys += 1;
    }
    assert_eq!(keys, 3 + GRANTS.len() + 2);
    assert_eq!(mode(&path.join("system.creds")), 0o600);
    let again = Authority::init(&path, "fleet", 2, NOW);
    assert!(again.is_err_and(|why| why.to_string().contains("there is an operator")));

    let key = path.join("keys/role-agent.nk");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("set");
    let mut authority = Authority::open(&path).expect("opened");
    let refused = authority
        .issue(&issue(Role::Agent, "eu"), NOW)
        .expect_err("too open");
    let said = refused.to_string();
    assert!(
        said.contains("0640") && said.contains("chmod 600"),
        "{said}"
    );
    let missing = Authority::open(&folder.path().join("nowhere"));
    assert!(missing.is_err_and(|why| why.to_string().contains("next: fleetcast auth init")));
}

#[test]
fn each_role_gets_the_keys_that_it_needs_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::init(folder.path(), "fleet", 16, NOW).expect("made");
    for grant in GRANTS {
        let credentials = authority
            .issue(&issue(grant.role, "eu.1"), NOW)
            .expect("issued");
        let held = (
            credentials.work_keys.len(),
            credentials.master_keys.len(),
            credentials.signing_key.is_some(),
            credentials.sealing_keys.len(),
        );
        let expected = match grant.role {
            Role::Agent => (1, 0, false, 1),
            Role::Ingest => (0, 1, true, 1),
            _ => (0, 0, false, 0),
        };
        assert_eq!(held, expected, "{}", grant.word);
        let claims = claims::read_user(&credentials.jwt).expect("a JWT");
        assert_eq!((claims.name.as_str(), claims.exp), ("eu=2E1", NOW + 3_600));
    }
    let ingest = authority
        .issue(&issue(Role::Ingest, "a"), NOW)
        .expect("issued");
    let agent = authority
        .issue(&issue(Role::Agent, "us"), NOW)
        .expect("issued");
    let derived = ingest.master_keys[0].derive("us", agent.work_keys[0].id());
    assert_eq!(
        derived,
        Some(agent.work_keys[0].clone()),
        "ingest knows the key by its id"
    );
    assert_eq!(authority.issued().len(), GRANTS.len() + 2);
    let another = authority
        .issue(&issue(Role::Ingest, "b"), NOW)
        .expect("issued");
    assert_eq!(
        another.sealing_keys, ingest.sealing_keys,
        "all of them open what one sealed"
    );
    let again = authority
        .issue(&issue(Role::Agent, "us"), NOW)
        .expect("issued");
    assert_ne!(again.sealing_keys, agent.sealing_keys, "each has its own");
    let public = XKey::from_seed(&again.sealing_keys[0]).expect("an xkey");
    let issued = authority.issued().last().expect("it is listed");
    assert_eq!(issued.sealing_key, Some(public.public_key()));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::init(folder.path(), "fleet", 1, NOW).expect("made");
    let limited = |kinds: &[&str], namespaces: &[&str]| Issue {
        kinds: kinds.iter().map(ToString::to_string).collect(),
        namespaces: namespaces.iter().map(ToString::to_string).collect(),
        ..issue(Role::Publisher, "ci")
    };
    for (asked, part) in [
        (issue(Role::Reader, ""), "is no name"),
        (issue(Role::Reader, "a b"), "is no name"),
        (issue(Role::Reader, "a>"), "is no name"),
        (issue(Role::Agent, "EU"), "EU"),
        (
            Issue {
                role: Role::Reader,
                ..limited(&["Secret"], &[])
            },
            "limit a publisher",
        ),
        (limited(&["deployment"], &[]), "--kinds"),
        (limited(&["Deployment.*"], &[]), "--kinds"),
        (limited(&[], &["a.b"]), "--namespaces"),
        (limited(&[], &["*"]), "--namespaces"),
    ] {
        let why = authority.issue(&asked, NOW).expect_err(part).to_string();
        assert!(why.contains(part), "{why}");
    }
    assert!(authority.issued().is_empty());
    assert!(
        authority
            .issue(
                &limited(&["Deployment.apps", "ConfigMap"], &["shop", "_"]),
                NOW
            )
            .is_ok()
    );
}

#[test]
fn what_is_revoked_is_named_in_the_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::init(folder.path(), "fleet", 1, NOW).expect("made");
    for _ in 0..2 {
        authority
            .issue(&issue(Role::Agent, "eu"), NOW)
            .expect("issued");
    }
    authority
        .issue(&issue(Role::Reader, "eu"), NOW)
        .expect("issued");
    assert!(authority.revoke("us", None, NOW).is_err());
    assert_eq!(
        authority
            .revoke("eu", Some(Role::Agent), NOW)
            .expect("revoked"),
        2
    );
    assert_eq!(authority.revoke("eu", None, NOW).expect("the reader"), 1);
    assert!(
        authority.revoke("eu", None, NOW).is_err(),
        "nothing is left"
    );
    drop(authority);
    let authority = Authority::open(folder.path()).expect("opened");
    let standing: Vec<_> = authority
        .issued()
        .iter()
        .map(|issued| issued.standing(NOW))
        .collect();
    assert_eq!(standing, [Standing::Revoked; 3]);
    let jwt = authority.account_jwt(NOW).expect("a JWT");
    use base64::Engine;
    let claims = jwt.split('.').nth(1).expect("claims");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    let revoked = claims["nats"]["revocations"].as_object().expect("a map");
    assert_eq!(revoked.len(), 3);
    // Within the second of the first account: a server that starts takes the later of two for newer.
    assert_eq!(claims["iat"], NOW + 3);
}

#[test]
fn an_earlier_key_counts_until_it_is_retired_or_its_time_has_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::init(folder.path(), "fleet", 1, NOW).expect("made");
    let scopes = |authority: &Authority, role: &str, now: i64| {
        let jwt = authority.account_jwt(now).expect("a JWT");
        use base64::Engine;
        let claims = jwt.split('.').nth(1).expect("claims");
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(claims)
            .expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
        let all = claims["nats"]["signing_keys"]
            .as_array()
            .expect("a list")
            .clone();
        all.iter().filter(|scope| scope["role"] == role).count()
    };
    let ingest = authority
        .issue(&issue(Role::Ingest, "a"), NOW)
        .expect("issued");
    let reader = authority
        .issue(&issue(Role::Reader, "kim"), NOW)
        .expect("issued");
    let agents = BTreeSet::from([Key::Signing(Role::Agent)]);
    let refused = authority.rotate(&agents, NOW + 60, NOW + 60, NOW);
    assert!(refused.is_err_and(|why| why.to_string().contains("--keep")));
    let made = authority
        .rotate(&agents, NOW + 60, NOW + 1_000, NOW)
        .expect("rotated");
    let words: Vec<&str> = made.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(words, ["work", "agent"], "the one takes the other with it");
    assert_eq!(
        [NOW, NOW + 999, NOW + 1_000].map(|now| scopes(&authority, "agent", now)),
        [2, 2, 1]
    );
    assert_eq!(scopes(&authority, "reader", NOW), 1);

    // An ingest has to follow; before that no agent gets a key that it could not sign with.
    for key in [Key::Work, Key::Signing(Role::Agent)] {
        let behind = authority.behind(key, NOW).expect("read");
        let behind: Vec<&str> = behind.iter().map(|one| one.role.as_str()).collect();
        assert_eq!(behind, ["ingest"]);
    }
    let early = authority
        .issue(&issue(Role::Agent, "eu"), NOW)
        .expect("issued");
    assert!(ingest.master_keys[0].made(early.work_keys[0].id()));
    let renewed = authority.renew(&ingest, None, NOW + 5).expect("renewed");
    let claims = renewed.claims().expect("claims");
    assert_eq!((claims.issued_at, claims.ends_at), (NOW + 5, NOW + 3_605));
    assert_eq!(
        (&renewed.seed, renewed.master_keys.len()),
        (&ingest.seed, 2)
    );
    assert_eq!(renewed.sealing_keys, ingest.sealing_keys);
    assert_ne!(renewed.signing_key, ingest.signing_key);
    assert_eq!(renewed.earlier_signers.len(), 1);
    let (newest, before) = (renewed.master_keys[0].id(), ingest.master_keys[0].id());
    assert!(!renewed.is_begun(newest, NOW + 59) && renewed.is_begun(newest, NOW + 60));
    assert!(renewed.counts(before, NOW + 999) && !renewed.counts(before, NOW + 1_000));
    assert!(authority.behind(Key::Work, NOW).expect("read").is_empty());
    let late = authority
        .issue(&issue(Role::Agent, "eu"), NOW + 60)
        .expect("issued");
    assert!(renewed.master_keys[0].made(late.work_keys[0].id()));

    // Over a restart of the command, too.
    drop(authority);
    let mut authority = Authority::open(folder.path()).expect("opened");
    assert_eq!(scopes(&authority, "agent", NOW), 2);
    let retired = authority.retire(&agents, NOW + 70).expect("retired");
    assert_eq!(retired.len(), 1, "the other one stays");
    assert_eq!(scopes(&authority, "agent", NOW + 70), 1);
    assert_eq!(
        authority
            .retire(&BTreeSet::from([Key::Work]), NOW + 70)
            .expect("retired")
            .len(),
        1
    );
    assert!(
        authority.retire(&agents, NOW + 71).is_err(),
        "nothing is left"
    );
    let last = authority.renew(&renewed, None, NOW + 80).expect("renewed");
    assert_eq!((last.master_keys.len(), last.key_times.len()), (1, 0));
    assert!(last.earlier_signers.is_empty());

    // What another key signed, or somebody revoked, is not renewed.
    let readers = BTreeSet::from([Key::Signing(Role::Reader)]);
    authority
        .rotate(&readers, NOW, NOW + 1_000, NOW)
        .expect("rotated");
    let behind = authority
        .behind(Key::Signing(Role::Reader), NOW)
        .expect("read");
    assert_eq!(behind.len(), 1);
    let mut forged = reader.clone();
    forged.jwt = forged.jwt.replacen('.', ".e30", 1);
    assert!(authority.renew(&forged, None, NOW).is_err());
    let forever = authority.renew(&reader, Some(None), NOW).expect("renewed");
    assert_eq!(forever.claims().expect("claims").ends_at, 0);
    assert!(
        authority
            .behind(Key::Signing(Role::Reader), NOW)
            .expect("read")
            .is_empty()
    );
    authority.revoke("kim", None, NOW).expect("revoked");
    let refused = authority.renew(&forever, None, NOW);
    assert!(refused.is_err_and(|why| why.to_string().contains("auth issue reader kim")));
}

#[test]
fn who_hands_in_is_given_the_hubs_public_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::init(folder.path(), "fleet", 1, NOW).expect("made");
    let mut issued = |role| authority.issue(&issue(role, "a"), NOW).expect("issued");
    let ingest = issued(Role::Ingest);
    let hub = XKey::from_seed(&ingest.sealing_keys[0]).expect("an xkey");
    for (role, expected) in [
        (Role::Publisher, vec![hub.public_key()]),
        (Role::Operator, vec![hub.public_key()]),
        (Role::Reader, Vec::new()),
        (Role::Ingest, Vec::new()),
    ] {
        assert_eq!(issued(role).hub_keys, expected, "{}", role.word());
    }
    // Another key of the hub, put in front of the folder's: who is renewed knows it, and an ingest seals with it.
    let publisher = issued(Role::Publisher);
    let (next, before) = (XKey::new(), &ingest.sealing_keys[0]);
    let text = format!("{}\n{before}\n", seed_of(&next));
    authority.keep_sealing_keys(&text).expect("kept");
    assert!(authority.keep_sealing_keys("SXnot\n").is_err());
    let renewed = authority.renew(&publisher, None, NOW).expect("renewed");
    assert_eq!(renewed.hub_keys, [next.public_key(), hub.public_key()]);
    let renewed = authority.renew(&ingest, None, NOW).expect("renewed");
    assert_eq!(renewed.sealing_keys, [seed_of(&next), before.clone()]);
    let mut own = renewed.clone();
    own.sealing_keys.insert(0, seed_of(&XKey::new()));
    let again = authority.renew(&own, None, NOW).expect("renewed");
    assert_eq!(
        again.sealing_keys, own.sealing_keys,
        "what the file has in front of it stays there"
    );
}
