//! `fleetcast cluster remove`: a cluster is let go.
//!
//! In this order, and each step may be done already: where that is asked for, its copies are taken out of it; it is no longer registered (copies that are there stay, its work is
//! withdrawn by whoever leads), its agent's credentials are revoked, and its agent is taken out of it where its kubeconfig is at hand (docs/decisions/0042-a-cluster-that-is-let-go-keeps-its-copies.md).

use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::held::Held;
use fleetcast_aggregator::answer::{ClusterSummary, Request};
use fleetcast_aggregator::client;
use fleetcast_auth::authority::Authority;
use fleetcast_bus::Bus;
use fleetcast_core::model::{Cluster, ObjectKey, Taint};
use fleetcast_schemas::request::Answer;
use serde_json::json;

use super::join::{operator, revoke};
use super::kinds::Kinds;
use super::manifest::{self, Agent, NAME};
use super::{hand_in, member, summary, summary_with};
use crate::args::{BusArgs, Lines, RemoveArgs};
use crate::command::auth;
use crate::connection;
use crate::failure::Failure;
use crate::output;
use crate::submit;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(arguments: &BusArgs, bus: &Bus, args: &RemoveArgs) -> Result<(), Failure> {
    let name = &args.name;
    let client = member::client(&args.member).await?;
    let namespace = member::namespace(client.as_ref(), &args.member).await?;
    let connect = connection::options(arguments, "fleetcast");
    let folder = operator(&args.folder, arguments, &connect)?;
    let mut authority = folder.as_deref().map(Authority::open).transpose()?;
    let known = summary(bus, name).await?;
    let registered = known.as_ref().is_some_and(|known| known.registered);
    let known = known.filter(|_| registered);
    let copies = known.as_ref().map_or(0, |known| known.objects);
    if args.dry_run {
        return match args.output {
            Lines::Json => output::print_json_line(&json!({
                "cluster": name, "registered": registered, "copies": copies, "copies_stay": !args.with_copies, "dry_run": true,
            })),
            Lines::Table => output::print(&preview(args, registered, copies, authority.is_some())),
        };
    }
    if let Some(known) = known.filter(|_| args.with_copies) {
        emptied(bus, args, known).await?;
    }
    let removed = match submit::delete(bus, &ObjectKey::of_cluster(name), true).await? {
        Answer::Accepted(accepted) => Some(accepted.sequence),
        // Where it left before, what is left to do is done.
        Answer::Refused { .. } if !registered => None,
        Answer::Refused { refusal } => return Err(Failure::Refused(refusal.message)),
    };
    let mut revoked = 0;
    if let (Some(authority), Some(folder)) = (&mut authority, &folder) {
        revoked = revoke(authority, name)?;
        if revoked > 0 {
            auth::tell_servers(arguments, folder, authority).await?;
        }
    }
    let deleted = match &client {
        Some(client) => {
            Some(member::delete(client, &namespace, &objects(args, &namespace)?).await?)
        }
        None => None,
    };
    if removed.is_none() && revoked == 0 && deleted.as_ref().is_none_or(Vec::is_empty) {
        return Err(Failure::Refused(format!(
            "{name} is not registered; `fleetcast cluster list` lists what there is"
        )));
    }
    if args.output == Lines::Json {
        return output::print_json_line(&json!({
            "cluster": name, "sequence": removed, "copies": copies, "copies_stay": !args.with_copies, "revoked": revoked, "deleted": deleted,
        }));
    }
    if let Some(sequence) = removed {
        output::print(&format!(
            "{name} left the fleet (log {sequence}); the copies in it {} ({copies}), and its work is withdrawn\n",
            if args.with_copies { "are gone" } else { "stay" },
        ))?;
    }
    if revoked > 0 {
        output::print(&format!("{revoked} of its agent's credentials revoked\n"))?;
    }
    for what in deleted.iter().flatten() {
        output::print(&format!("{what} deleted\n"))?;
    }
    if deleted.is_none() {
        output::print(&format!(
            "next, in {name}, where its agent goes on healing what it was told last: kubectl -n {namespace} delete deployment,secret,configmap,lease {NAME}\n"
        ))?;
    }
    Ok(())
}

/// Has the copies taken out of a cluster, and waits until its agent said that they are gone.
async fn emptied(bus: &Bus, args: &RemoveArgs, known: ClusterSummary) -> Result<(), Failure> {
    let name = &args.name;
    let mut cluster = Cluster::from(known);
    if !cluster.is_leaving() {
        cluster.taints.push(Taint::leaving());
    }
    let request = Request {
        min_log: Some(hand_in(bus, &cluster).await?),
        wait_ms: Some(5_000),
        ..Request::default()
    };
    let deadline = Instant::now() + args.timeout;
    let mut told = None;
    loop {
        let now = summary_with(bus, name, &request).await?;
        let left = now.map_or((0, 0), |now| (now.objects, now.behind));
        if left == (0, 0) {
            return Ok(());
        }
        if told != Some(left) {
            told = Some(left);
            let held: Held = client::query(bus, "held", None, &request).await?;
            let mut waiting = held.removals.iter();
            let hint = match waiting.find(|held| held.clusters.contains_key(name)) {
                Some(held) => format!("; next: fleetcast confirm {}", held.id),
                None => String::new(),
            };
            eprintln!(
                "{} copies are to go from {name}, {} are going{hint}",
                left.0, left.1
            );
        }
        if Instant::now() >= deadline {
            return Err(Failure::Refused(format!(
                "not all copies are gone from {name}, which stays registered and gets nothing new: type it again, or leave out --with-copies; \
                 `fleetcast cluster register {name}` without taints keeps it"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What would happen.
fn preview(args: &RemoveArgs, registered: bool, copies: u64, issues: bool) -> String {
    let name = &args.name;
    let mut text = match registered {
        true => format!(
            "{name} would leave the fleet:\n  {}\n  its work on the bus is withdrawn\n",
            match args.with_copies {
                true => format!(
                    "copies that are taken out of it first: {copies}; where these are many, that waits for `fleetcast confirm`"
                ),
                false => format!(
                    "copies that stay in it: {copies}, with Fleetcast's marks; where it joins again they are ours again"
                ),
            }
        ),
        false => format!("{name} is not registered:\n"),
    };
    if issues {
        text += "  the credentials of its agent are revoked\n";
    }
    text += match args.member.kubeconfig {
        Some(_) => "  its agent is taken out of it\n",
        None => {
            "  its agent stays where it is, and heals what it was told last, until somebody takes it out (--kubeconfig)\n"
        }
    };
    text
}

/// What may be there of an agent.
fn objects(args: &RemoveArgs, namespace: &str) -> Result<Vec<serde_json::Value>, Failure> {
    manifest::objects(&Agent {
        cluster: &args.name,
        namespace,
        nats: "",
        authority: Some(""),
        certificate: manifest::Certificate::None,
        plain_text: false,
        partitions: 1,
        image: "",
        replicas: 1,
        kinds: &Kinds::Usual,
        credentials: manifest::Credentials::Later,
    })
}
