//! A credential that is made, and one that is renewed, with a signing key alone.

use fleetcast_schemas::subject::{self, Lane};
use nkeys::KeyPair;

use crate::Error;
use crate::claims::{self, UserFields};

/// The tag that names the partition of an agent's cluster.
pub(crate) const PARTITION: &str = "p";

/// A new user.
pub(crate) struct Minted {
    pub(crate) public_key: String,
    pub(crate) seed: String,
    pub(crate) jwt: String,
}

/// Makes a user with keys of his own. `ends` is in Unix seconds, 0 for never.
pub(crate) fn mint(
    signer: &KeyPair,
    name: &str,
    fields: &UserFields,
    now: i64,
    ends: i64,
) -> Minted {
    let user = KeyPair::new_user();
    let public_key = user.public_key();
    Minted {
        jwt: claims::user(signer, &public_key, name, fields, now, ends),
        seed: user.seed().expect("a new pair has a seed"),
        public_key,
    }
}

/// Reads a seed of whatever kind.
///
/// # Errors
/// Where it is none; never with the text.
pub fn pair(seed: &str) -> Result<KeyPair, Error> {
    KeyPair::from_seed(seed.trim())
        .map_err(|_| Error::Malformed("the seed cannot be read".to_owned()))
}

/// Renews what the agent of a cluster has: the same user under the same key, as long again from `now` (Unix seconds) on, or without an end. That it is the agent who asks must be
/// known from where the request came; that the credential was not revoked, from his being connected. `seed` signs; `earlier` are the public keys of those that did
/// before, whose credentials are renewed, too.
///
/// # Errors
/// Where the credential was signed with none of them, has ended, or is another cluster's.
pub fn renew(
    seed: &str,
    earlier: &[&str],
    jwt: &str,
    lane: &Lane,
    now: i64,
) -> Result<String, Error> {
    let signer = pair(seed)?;
    let earlier = earlier
        .iter()
        .filter_map(|key| KeyPair::from_public_key(key).ok());
    let claims = earlier.fold(claims::verify_user(jwt, &signer), |found, earlier| {
        found.or_else(|error| claims::verify_user(jwt, &earlier).map_err(|_| error))
    })?;
    let partition = format!("{PARTITION}:{}", subject::partition_token(lane.partition));
    if claims.name != subject::token(lane.cluster.as_str())
        || !claims.nats.tags.contains(&partition)
    {
        return Err(Error::Refused(format!(
            "the credential is not that of {}",
            lane.cluster
        )));
    }
    let ends = match claims.exp {
        0 => 0,
        exp if exp <= now || exp <= claims.iat => {
            return Err(Error::Refused("the credential has ended".to_owned()));
        }
        exp => now.saturating_add(exp - claims.iat),
    };
    Ok(claims::user(
        &signer,
        &claims.sub,
        &claims.name,
        &claims.nats,
        now,
        ends,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_core::model::ClusterName;

    #[test]
    fn only_a_living_credential_of_that_cluster_is_renewed() {
        let signer = KeyPair::new_account();
        let seed = signer.seed().expect("a seed");
        let fields = UserFields {
            issuer_account: "A".to_owned(),
            tags: vec!["p:p00".to_owned()],
        };
        let lane = |name: &str| Lane::new(ClusterName::parse(name).expect("valid"), 1);
        let minted = mint(&signer, "eu=2E1", &fields, 100, 200);
        let renewed = renew(&seed, &[], &minted.jwt, &lane("eu.1"), 180).expect("renewed");
        let claims = claims::verify_user(&renewed, &signer).expect("signed");
        assert_eq!((claims.iat, claims.exp), (180, 280), "as long again");
        assert_eq!(
            (claims.sub, claims.nats),
            (minted.public_key, fields.clone())
        );
        let never = mint(&signer, "eu=2E1", &fields, 100, 0);
        let foreign = mint(&KeyPair::new_account(), "eu=2E1", &fields, 100, 200);
        for (what, jwt, cluster, now) in [
            ("ended", &minted.jwt, "eu.1", 200),
            ("another cluster", &minted.jwt, "us", 180),
            ("another signer", &foreign.jwt, "eu.1", 180),
            ("no JWT", &"x".to_owned(), "eu.1", 180),
        ] {
            assert!(
                renew(&seed, &[], jwt, &lane(cluster), now).is_err(),
                "{what}"
            );
        }
        let never = renew(&seed, &[], &never.jwt, &lane("eu.1"), 180).expect("renewed");
        let claims = claims::verify_user(&never, &signer).expect("signed");
        assert_eq!(
            (claims.iat, claims.exp),
            (180, 0),
            "without an end, as before"
        );
        // After a rotation the new key signs what the earlier one signed.
        let next = KeyPair::new_account();
        let (next_seed, before) = (next.seed().expect("a seed"), signer.public_key());
        let followed = renew(&next_seed, &[&before], &minted.jwt, &lane("eu.1"), 180);
        let followed = claims::verify_user(&followed.expect("renewed"), &next).expect("signed");
        assert_eq!((followed.iat, followed.exp), (180, 280));
        assert!(renew(&next_seed, &[], &minted.jwt, &lane("eu.1"), 180).is_err());
        assert!(renew(&next_seed, &[&before], &foreign.jwt, &lane("eu.1"), 180).is_err());
    }
}
