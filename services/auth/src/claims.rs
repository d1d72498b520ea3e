//! The JWTs of NATS (version 2), as far as they are needed: operator, accounts, users.
//!
//! A JWT is `base64url(header).base64url(claims).base64url(signature)`, signed with Ed25519 over the text before the last dot
//! (github.com/nats-io/jwt, `v2/claims.go`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleetcast_core::digest;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::permissions::Permissions;

/// Revoked for good: whatever was or will be issued for that key. A server compares this with when a JWT was issued, seconds.
const FOR_GOOD: i64 = 253_402_300_799;

/// The claims of a user, as far as they are read back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserClaims {
    /// The user's public key.
    pub sub: String,
    /// The public key that signed it.
    pub iss: String,
    /// The token of the user's name.
    pub name: String,
    /// When it was issued, Unix seconds.
    pub iat: i64,
    /// When it ends, Unix seconds; 0 for never.
    #[serde(default)]
    pub exp: i64,
    /// What NATS adds.
    pub nats: UserFields,
}

/// What NATS adds to the claims of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFields {
    /// The public key of the account.
    #[serde(default)]
    pub issuer_account: String,
    /// What a template of permissions reads, `<name>:<value>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A key of a role: who signs with it gives what the template allows, and nothing else.
pub(crate) struct Scope {
    pub(crate) key: String,
    pub(crate) role: &'static str,
    pub(crate) permissions: Permissions,
}

/// An operator, who names the system account.
pub(crate) fn operator(operator: &KeyPair, name: &str, system: &str, now: i64) -> String {
    let fields = json!({"type": "operator", "version": 2, "system_account": system});
    sign(operator, &operator.public_key(), name, now, 0, fields)
}

/// An account without limits; the system account where it has no scopes.
pub(crate) fn account(
    operator: &KeyPair,
    account: &str,
    name: &str,
    scopes: &[Scope],
    revoked: &[String],
    now: i64,
) -> String {
    let unlimited = -1;
    let mut limits = json!({
        "subs": unlimited, "data": unlimited, "payload": unlimited, "imports": unlimited, "exports": unlimited,
        "wildcards": true, "conn": unlimited, "leaf": unlimited,
    });
    if !scopes.is_empty() {
        for field in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[field] = json!(unlimited);
        }
    }
    let scopes: Vec<Value> = scopes
        .iter()
        .map(|scope| {
            json!({
                "kind": "user_scope", "key": scope.key, "role": scope.role,
                "template": {
                    "pub": {"allow": scope.permissions.publish},
                    "sub": {"allow": scope.permissions.subscribe},
                    "subs": unlimited, "data": unlimited, "payload": unlimited,
                },
            })
        })
        .collect();
    let revocations: BTreeMap<&str, i64> = revoked
        .iter()
        .map(|user| (user.as_str(), FOR_GOOD))
        .collect();
    let fields = json!({
        "type": "account", "version": 2, "limits": limits, "signing_keys": scopes, "revocations": revocations,
        "default_permissions": {"pub": {}, "sub": {}},
    });
    sign(operator, account, name, now, 0, fields)
}

/// A user of a role, signed with the role's key: the template says what he may do.
pub(crate) fn user(
    signer: &KeyPair,
    user: &str,
    name: &str,
    fields: &UserFields,
    now: i64,
    ends: i64,
) -> String {
    let mut all = json!({"type": "user", "version": 2, "pub": {}, "sub": {}});
    all["issuer_account"] = json!(fields.issuer_account);
    if !fields.tags.is_empty() {
        all["tags"] = json!(fields.tags);
    }
    sign(signer, user, name, now, ends, all)
}

/// A user of the system account, signed with its own key.
pub(crate) fn system_user(
    account: &KeyPair,
    user: &str,
    name: &str,
    may: &Permissions,
    now: i64,
) -> String {
    let fields = json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
        "pub": {"allow": may.publish}, "sub": {"allow": may.subscribe},
    });
    sign(account, user, name, now, 0, fields)
}

fn sign(signer: &KeyPair, subject: &str, name: &str, now: i64, ends: i64, nats: Value) -> String {
    let mut claims = json!({
        "iat": now, "iss": signer.public_key(), "name": name, "sub": subject, "nats": nats,
    });
    if ends != 0 {
        claims["exp"] = json!(ends);
    }
    claims["jti"] = json!(digest::of_bytes(claims.to_string().as_bytes()));
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let signature = signer
        .sign(text.as_bytes())
        .expect("a pair made from a seed can sign");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Reads the claims of a user's JWT without asking who signed it.
///
/// # Errors
/// Where it is no JWT of a user.
pub fn read_user(jwt: &str) -> Result<UserClaims, Error> {
    let wrong = || Error::Malformed("the JWT of the user cannot be read".to_owned());
    let claims = jwt.split('.').nth(1).ok_or_else(wrong)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| wrong())?;
    serde_json::from_slice(&claims).map_err(|_| wrong())
}

/// Reads the claims of a user's JWT that `signer` signed.
///
/// # Errors
/// Where it is no JWT of a user, or another one signed it.
pub fn verify_user(jwt: &str, signer: &KeyPair) -> Result<UserClaims, Error> {
    let claims = read_user(jwt)?;
    let wrong = || Error::Refused("the JWT was not signed with the key of its role".to_owned());
    let (text, signature) = jwt.rsplit_once('.').ok_or_else(wrong)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong())?;
    if claims.iss != signer.public_key() {
        return Err(wrong());
    }
    signer
        .verify(text.as_bytes(), &signature)
        .map_err(|_| wrong())?;
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signed_is_known() {
        let (signer, other) = (KeyPair::new_account(), KeyPair::new_account());
        let someone = KeyPair::new_user();
        let fields = UserFields {
            issuer_account: other.public_key(),
            tags: vec!["p:p00".to_owned()],
        };
        let jwt = user(&signer, &someone.public_key(), "eu", &fields, 7, 9);
        let claims = verify_user(&jwt, &signer).expect("signed");
        assert_eq!((claims.iat, claims.exp, &claims.nats), (7, 9, &fields));
        assert!(verify_user(&jwt, &other).is_err());
        let forged = user(&other, &someone.public_key(), "us", &fields, 7, 9);
        let parts: Vec<&str> = jwt.split('.').collect();
        let body = forged.split('.').nth(1).expect("claims");
        let mixed = format!("{}.{body}.{}", parts[0], parts[2]);
        assert!(verify_user(&mixed, &signer).is_err());
        for text in ["", "a", "a.b.c", "a.e30.c"] {
            assert!(read_user(text).is_err(), "{text}");
        }
    }
}
