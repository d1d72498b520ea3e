//! Shows which tokens are known, and what is said of a line that is wrong.

use super::*;

const NOW: Time = Time(1_793_541_780_000);

fn line(name: &str, role: &str, token: &str) -> String {
    format!(
        "{name} {role} sha256:{}\n",
        digest::of_bytes(token.as_bytes())
    )
}

#[test]
fn a_token_is_known_by_its_hash_and_a_name_may_have_two() {
    let text = format!(
        "# who may do what\n\n{}{}{}",
        line("ci", "publisher", "old"),
        line("ci", "publisher", "new"),
        line("eye", "reader", "look")
            .to_uppercase()
            .replace("READER", "reader")
            .replace("SHA256", "sha256"),
    );
    let tokens = Tokens::read(&text).expect("valid");
    for (token, name) in [
        ("old", Some(("ci", Role::Publisher))),
        ("new", Some(("ci", Role::Publisher))),
        ("look", Some(("EYE", Role::Reader))),
        ("", None),
        ("olD", None),
        (&digest::of_bytes(b"old"), None),
        ("old ", None),
    ] {
        let found = tokens.whose(token, NOW);
        let found = found.map(|caller| (caller.name.as_str(), caller.role));
        assert_eq!(found, name, "{token:?}");
    }
    assert_eq!(tokens.whose(&"x".repeat(TOKEN_LIMIT + 1), NOW), None);
}

#[test]
fn a_line_that_is_wrong_is_named() {
    let hash = digest::of_bytes(b"x");
    let limited = |limits: &str| format!("ci publisher sha256:{hash} {limits}");
    for (text, part) in [
        ("\nci publisher".to_owned(), "line 2: is not"),
        ("ci admin sha256:00".to_owned(), "\"admin\" is no role"),
        ("ci agent sha256:00".to_owned(), "fleetcast auth issue"),
        ("c/i reader sha256:00".to_owned(), "is no name"),
        ("ci reader sha256:00".to_owned(), "64 hexadecimal digits"),
        ("ci reader md5:00".to_owned(), "64 hexadecimal digits"),
        (limited("kind=ConfigMap"), "none of kinds="),
        (limited("kinds=configmap"), "is no kind"),
        (limited("kinds="), "is no kind"),
        (limited("namespaces=A"), "is no namespace"),
        (limited("until=tomorrow"), "no time in RFC 3339"),
        (
            format!("ci reader sha256:{hash} namespaces=shop"),
            "reader is none",
        ),
    ] {
        let why = Tokens::read(&text).expect_err("refused");
        assert!(why.contains(part), "{text}: {why}");
    }
}

/// Shows that a line says all that is in it, and is read back the same; and that a time that is over ends a token.
#[test]
fn limits_and_an_end_are_kept() {
    let hash = digest::of_bytes(b"x");
    let text = format!(
        "ci publisher sha256:{hash} kinds=ConfigMap,Deployment.apps namespaces=shop,_ until=2026-11-01T14:03:00Z"
    );
    let tokens = Tokens::read(&text).expect("valid");
    let token = tokens.iter().next().expect("one");
    let again = Tokens::read(&token.to_string()).expect("valid");
    assert_eq!(again, tokens);
    let until = token.until.expect("an end");
    assert!(tokens.whose("x", until.plus_ms(-1)).is_some());
    assert!(tokens.whose("x", until).is_none());
    let caller = tokens.whose("x", until.plus_ms(-1)).expect("known");
    for (subject, may) in [
        ("fc.in.apply.ConfigMap._.shop.a", true),
        ("fc.in.delete.Deployment.apps._.a", true),
        ("fc.in.apply.Secret._.shop.a", false),
        ("fc.in.apply.ConfigMap._.bank.a", false),
        ("fc.query.objects._._._._", false),
        ("fc.log.change.ConfigMap._.shop.a", false),
    ] {
        assert_eq!(caller.may(subject), may, "{subject}");
    }
}

#[test]
fn what_is_minted_is_long_and_never_the_same() {
    let (token, hash) = mint().expect("chance");
    assert_eq!(hash, digest::of_bytes(token.as_bytes()));
    assert_eq!(token.len(), PREFIX.len() + 2 * CHANCE);
    assert_ne!(mint().expect("chance").0, token);
    let tokens = Tokens::read(&format!("ci reader sha256:{hash}")).expect("valid");
    assert!(tokens.whose(&token, NOW).is_some());
}
