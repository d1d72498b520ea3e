//! `fleetcast cluster join`: a cluster is registered, its agent gets credentials, and what runs it is printed or applied.

use std::path::PathBuf;
use std::time::Duration;

use fleetcast_auth::authority::{Authority, Issue, Standing};
use fleetcast_bus::{Bus, Connect, Credentials, tls};
use fleetcast_core::model::{Cluster, ClusterName};
use fleetcast_core::readiness::Readiness;
use fleetcast_schemas::role::Role;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::certificate::Source;
use super::kinds::Kinds;
use super::manifest::{self, Agent, Certificate};
use super::{hand_in, member, summary};
use crate::args::auth::AuthFolder;
use crate::args::{BusArgs, JoinArgs, Manifests};
use crate::command::auth;
use crate::connection::{self, Running};
use crate::failure::Failure;
use crate::local_auth::now;
use crate::output;

/// Between two looks at whether the agent is heard.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(arguments: &BusArgs, args: &JoinArgs) -> Result<(), Failure> {
    let kinds = Kinds::read(&args.kinds)?;
    let client = member::client(&args.member).await?;
    let connect = connection::options(arguments, "fleetcast");
    let namespace = member::namespace(client.as_ref(), &args.member).await?;
    let source = Source::of(&connect, args).await?;
    if args.certificate.only_certificate {
        return renew(&connect, args, client.as_ref(), &namespace, &source).await;
    }
    let mut authority = match operator(&args.folder, arguments, &connect)? {
        Some(folder) => Some((Authority::open(&folder)?, folder)),
        None => None,
    };
    let bus = match (&authority, args.dry_run) {
        (Some(_), true) => None,
        _ => Some(connection::connect(arguments).await?),
    };
    let partitions = match (&authority, &bus) {
        (Some((authority, _)), _) => authority.partitions(),
        (None, Some(bus)) => bus.beginning().await?.map_or(1, |found| found.partitions),
        (None, None) => 1,
    };
    let nats = args.agent_nats.as_deref().unwrap_or(&connect.url);
    let pem = authority_of(&connect)?;
    let agent = Agent {
        cluster: &args.name,
        namespace: &namespace,
        nats,
        authority: pem.as_deref(),
        certificate: match source {
            Source::None => Certificate::None,
            Source::Files { .. } | Source::Authority(_) => Certificate::Later,
        },
        plain_text: connect.plain_text,
        partitions,
        image: &args.image,
        replicas: args.replicas,
        kinds: &kinds,
        credentials: match authority {
            Some(_) => manifest::Credentials::Later,
            None => manifest::Credentials::None,
        },
    };
    let Some(bus) = bus.filter(|_| !args.dry_run) else {
        print(&manifest::objects(&agent)?, args.output)?;
        eprintln!("dry run: nothing is registered, issued or applied");
        return Ok(());
    };
    // What may be refused comes first: nothing is registered or revoked then.
    let pair = source.pair(&connect, args).await?;
    let (mut cluster, known) = registration(&bus, args).await?;
    let text = match &mut authority {
        Some((authority, folder)) => {
            let text = issue(arguments, authority, folder, args).await?;
            // What is sealed for it from now on it opens with the key that stands in its credentials.
            let issued = authority.issued().last();
            cluster.sealing_key = issued.and_then(|issued| issued.sealing_key.clone());
            Some(text)
        }
        None => {
            eprintln!("this bus asks nobody for credentials; `fleetcast auth init` begins to");
            None
        }
    };
    let sequence = hand_in(&bus, &cluster).await?;
    match known {
        true => eprintln!("{} is registered already, and stays as it is", args.name),
        false => eprintln!("{} is registered (log {sequence})", args.name),
    }
    let objects = manifest::objects(&Agent {
        certificate: pair.as_ref().map_or(Certificate::None, Certificate::Issued),
        credentials: text
            .as_deref()
            .map_or(manifest::Credentials::None, manifest::Credentials::Issued),
        ..agent
    })?;
    if tls::is_local(nats) {
        eprintln!(
            "its agent is told to find the bus at {nats}, which is this machine only; elsewhere: --agent-nats URL"
        );
    }
    let Some(client) = client else {
        print(&objects, args.output)?;
        eprintln!(
            "next: kubectl apply -f - in {} takes this, then: fleetcast cluster list",
            args.name
        );
        return Ok(());
    };
    let applied = apply(&client, &objects, "its credentials are issued").await?;
    let mut told = json!({"cluster": args.name, "sequence": sequence});
    tell(&mut told, &applied, args.output)?;
    if args.wait {
        until_heard(&bus, args, &namespace).await?;
        eprintln!("{} is heard", args.name);
    }
    eprintln!(
        "next: fleetcast cluster list, then: fleetcast apply -f FILE --clusters {}",
        args.name
    );
    Ok(())
}

/// A new certificate in its Secret, and nothing else: a pod sees it where it is mounted, and connects anew with it.
async fn renew(
    connect: &Connect,
    args: &JoinArgs,
    client: Option<&Client>,
    namespace: &str,
    source: &Source,
) -> Result<(), Failure> {
    let pem = authority_of(connect)?;
    let pair = match args.dry_run {
        true => None,
        false => source.pair(connect, args).await?,
    };
    let secret = manifest::tls_secret(&Agent {
        cluster: &args.name,
        namespace,
        nats: &connect.url,
        authority: pem.as_deref(),
        certificate: pair
            .as_ref()
            .map_or(Certificate::Later, Certificate::Issued),
        plain_text: connect.plain_text,
        partitions: 1,
        image: &args.image,
        replicas: args.replicas,
        kinds: &Kinds::Usual,
        credentials: manifest::Credentials::None,
    });
    let Some(client) = client.filter(|_| !args.dry_run) else {
        print(&secret, args.output)?;
        eprintln!("next: kubectl apply -f - in {} takes this", args.name);
        return Ok(());
    };
    let applied = apply(client, &secret, "its certificate is issued").await?;
    tell(&mut json!({"cluster": args.name}), &applied, args.output)
}

/// Applies objects in the cluster; `done` is what has happened by then.
async fn apply(client: &Client, objects: &[Value], done: &str) -> Result<Vec<String>, Failure> {
    let applied = member::apply(client, objects).await;
    applied.map_err(|failure| match failure {
        Failure::Refused(why) => Failure::Refused(format!(
            "{why}\n{done}; next, when that is mended: the same command again"
        )),
        other => other,
    })
}

/// Says what was applied, as JSON beside what is in `told`.
fn tell(told: &mut Value, applied: &[String], format: Manifests) -> Result<(), Failure> {
    match format {
        Manifests::Json => {
            told["applied"] = json!(applied);
            output::print_json(told)
        }
        Manifests::Yaml => {
            for what in applied {
                output::print(&format!("{what} applied\n"))?;
            }
            Ok(())
        }
    }
}

/// The authority that this command trusts the NATS servers by, and so its agent.
fn authority_of(connect: &Connect) -> Result<Option<String>, Failure> {
    let Some(path) = &connect.tls.ca else {
        return Ok(None);
    };
    match std::fs::read_to_string(path) {
        Ok(pem) => Ok(Some(pem)),
        Err(error) => Err(Failure::Refused(format!("{}: {error}", path.display()))),
    }
}

/// The folder of the bus's operator; none where the bus asks nobody for credentials, as far as this command's own tell.
pub(super) fn operator(
    folder: &AuthFolder,
    arguments: &BusArgs,
    connect: &Connect,
) -> Result<Option<PathBuf>, Failure> {
    if Authority::is_there(&folder.dir) {
        return Ok(Some(folder.dir.clone()));
    }
    let here = Running::here().filter(|_| arguments.nats.is_none());
    if let Some(auth) = here.and_then(|here| here.auth) {
        return Ok(Some(auth));
    }
    match connect.credentials {
        Credentials::None => Ok(None),
        Credentials::File(_) | Credentials::Password(..) => Err(Failure::Refused(format!(
            "there is no operator in {}, and so nobody who issues and revokes credentials; next: name its folder with --dir",
            folder.dir.display()
        ))),
    }
}

/// The cluster as it is to be registered, and whether it is so already: who says nothing about it leaves it as it is.
async fn registration(bus: &Bus, args: &JoinArgs) -> Result<(Cluster, bool), Failure> {
    if args.registration.is_empty()
        && let Some(known) = summary(bus, &args.name).await?
        && known.registered
    {
        return Ok((Cluster::from(known), true));
    }
    Ok((args.registration.of(&args.name), false))
}

/// New credentials; those from before are revoked.
async fn issue(
    arguments: &BusArgs,
    authority: &mut Authority,
    folder: &std::path::Path,
    args: &JoinArgs,
) -> Result<String, Failure> {
    let name = args.name.as_str();
    let revoked = revoke(authority, &args.name)?;
    let issue = Issue {
        role: Role::Agent,
        name: name.to_owned(),
        ttl_s: auth::ttl_s(Role::Agent, args.ttl),
        kinds: Vec::new(),
        namespaces: Vec::new(),
    };
    let credentials = authority.issue(&issue, now())?;
    eprintln!(
        "its credentials {}, and are in the manifest only",
        auth::life(&issue)
    );
    if revoked > 0 {
        auth::tell_servers(arguments, folder, authority).await?;
        eprintln!("those issued before ({revoked}) are revoked");
    }
    Ok(credentials.text())
}

/// Revokes what the agent of a cluster has: how many credentials.
pub(super) fn revoke(authority: &mut Authority, cluster: &ClusterName) -> Result<usize, Failure> {
    let is_living = |standing| matches!(standing, Standing::Valid | Standing::Renewed);
    let counts = authority.issued().iter().any(|issued| {
        issued.role == Role::Agent.word()
            && issued.name == cluster.as_str()
            && is_living(issued.standing(now()))
    });
    match counts {
        true => Ok(authority.revoke(cluster.as_str(), Some(Role::Agent), now())?),
        false => Ok(0),
    }
}

fn print(objects: &[Value], format: Manifests) -> Result<(), Failure> {
    match format {
        Manifests::Json => {
            output::print_json(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))
        }
        Manifests::Yaml => {
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    output::print("---\n")?;
                }
                output::print_yaml(object)?;
            }
            Ok(())
        }
    }
}

async fn until_heard(bus: &Bus, args: &JoinArgs, namespace: &str) -> Result<(), Failure> {
    let name = &args.name;
    let deadline = Instant::now() + args.timeout;
    loop {
        let known = summary(bus, name).await?;
        let trouble = match known {
            Some(known) if known.readiness == Readiness::Ready => return Ok(()),
            Some(known) => known
                .trouble
                .unwrap_or_else(|| "it is not heard".to_owned()),
            None => "it is not heard".to_owned(),
        };
        if Instant::now() > deadline {
            return Err(Failure::Refused(format!(
                "{name}: {trouble}\nnext: kubectl -n {namespace} logs deployment/fleetcast-agent"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
