//! The certificate that an agent shows to NATS servers which let nobody in without one (docs/decisions/0050-an-agents-certificate-comes-with-its-manifest.md).

use std::path::PathBuf;

use fleetcast_auth::certificates::Certificates;
use fleetcast_bus::Connect;
use fleetcast_bus::credentials::{Readers, read_secret};
use fleetcast_bus::tls::Tls;
use fleetcast_core::digest;
use fleetcast_core::model::ClusterName;

use crate::args::{AgentCertificateArgs, JoinArgs};
use crate::failure::Failure;
use crate::local_auth::now;

/// The longest name of a certificate, bytes: RFC 5280 allows 64 in its subject.
const NAME_LIMIT: usize = 64;
const DAY_S: u64 = 24 * 60 * 60;

/// Where an agent's certificate comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Nobody asks for one.
    None,
    /// From files that were named.
    Files {
        /// The certificate, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
    /// It is issued by the authority in this folder.
    Authority(PathBuf),
}

/// A certificate and its key, PEM.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Source {
    /// Looks whether the NATS servers ask for a certificate: where they let this command in without one they do not.
    pub(super) async fn of(connect: &Connect, args: &JoinArgs) -> Result<Self, Failure> {
        let AgentCertificateArgs {
            tls_dir,
            tls_ttl: _,
            agent_tls_cert,
            agent_tls_key,
            only_certificate,
        } = &args.certificate;
        if let (Some(cert), Some(key)) = (agent_tls_cert, agent_tls_key) {
            return Ok(Self::Files {
                cert: cert.clone(),
                key: key.clone(),
            });
        }
        let shows_one = connect.tls.cert.is_some();
        // Where nobody answers, this command has a certificate for a reason.
        let asks = shows_one && connect.asks_for_certificate().await?.unwrap_or(true);
        if !asks && !only_certificate {
            return Ok(Self::None);
        }
        if Certificates::is_there(tls_dir) {
            return Ok(Self::Authority(tls_dir.clone()));
        }
        let why = match asks {
            true => {
                "the NATS servers let nobody in without a certificate, and nobody issues one for its agent"
            }
            false => "nobody issues a certificate for its agent",
        };
        Err(Failure::Refused(format!(
            "{why}: there is no certificate authority in {}\nnext: name its folder with --tls-dir, or a certificate with --agent-tls-cert FILE --agent-tls-key FILE",
            tls_dir.display()
        )))
    }

    /// The certificate, issued where that is asked for, after the NATS servers have been shown it; none where none is wanted.
    pub(super) async fn pair(
        &self,
        connect: &Connect,
        args: &JoinArgs,
    ) -> Result<Option<Pair>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Files { cert, key } => Ok(Some(read(connect, cert, key).await?)),
            Self::Authority(folder) => {
                let name = name(&args.name);
                let ttl_s = args.certificate.tls_ttl.as_secs().max(1);
                let mut authority = Certificates::open(folder)?;
                authority.issue_apart(&name, ttl_s, now())?;
                let (cert, key) = (authority.certificate(&name), authority.key(&name));
                let pair = read(connect, &cert, &key).await;
                // The agent's own from here on.
                authority.forget_key(&name)?;
                eprintln!(
                    "its certificate for the NATS servers ends in {}; before that: fleetcast cluster join {} --only-certificate",
                    lasts(ttl_s),
                    args.name
                );
                pair.map(Some)
            }
        }
    }
}

/// What the certificate of a cluster's agent is called among those of the authority: no server's.
fn name(cluster: &ClusterName) -> String {
    let name = format!("agent-{cluster}");
    match name.len() <= NAME_LIMIT {
        true => name,
        false => format!("agent-{}", digest::short(cluster.as_str().as_bytes())),
    }
}

/// Reads a pair that the NATS servers take, as far as they answer.
async fn read(
    connect: &Connect,
    cert: &std::path::Path,
    key: &std::path::Path,
) -> Result<Pair, Failure> {
    let trial = Connect {
        tls: Tls {
            cert: Some(cert.to_owned()),
            key: Some(key.to_owned()),
            ..connect.tls.clone()
        },
        ..connect.clone()
    };
    if let Some(why) = trial.trial().await? {
        return Err(Failure::Refused(format!(
            "with the certificate of its agent: {why}\nnext: name the folder of the right authority with --tls-dir, or a certificate with --agent-tls-cert FILE --agent-tls-key FILE"
        )));
    }
    let text = std::fs::read_to_string(cert);
    Ok(Pair {
        cert: text.map_err(|error| Failure::Refused(format!("{}: {error}", cert.display())))?,
        key: read_secret(key, Readers::Group).map_err(anyhow::Error::from)?,
    })
}

fn lasts(ttl_s: u64) -> String {
    match ttl_s {
        ttl if ttl < 2 * DAY_S => format!("{} hours", (ttl + 1_800) / 3_600),
        ttl => format!("{} days", ttl / DAY_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_an_agent_is_called_as_no_servers_is() {
        let named = |text: &str| name(&ClusterName::parse(text).expect("valid"));
        assert_eq!(named("nats"), "agent-nats");
        let long = named(&["a".repeat(60), "b".repeat(60)].join("."));
        assert!(
            long.len() <= NAME_LIMIT && long.starts_with("agent-"),
            "{long}"
        );
    }
}
