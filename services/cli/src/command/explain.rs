//! `fleetcast explain`: the causal chain of one object, and the first broken link.

use fleetcast_aggregator::answer::{ClusterLink, Explanation, Request, Standing, Wait};
use fleetcast_aggregator::client;
use fleetcast_core::ack::Observed;
use fleetcast_core::decision::PolicyUsed;

use crate::args::{BusArgs, ExplainArgs, Lines};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, age};
use crate::select;

pub(crate) async fn run(bus: &BusArgs, args: &ExplainArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let then = Request {
        at: args.at.clone(),
        ..Request::default()
    };
    let object = select::one(&bus, &args.object, &then).await?;
    let request = Request {
        cluster: args.cluster.clone(),
        ..then
    };
    let explanation: Explanation = client::query(&bus, "explain", Some(&object), &request).await?;
    match args.output {
        Lines::Json => output::print_json(&explanation),
        Lines::Table => output::print(&describe(&explanation)),
    }
}

fn describe(explanation: &Explanation) -> String {
    let paint = Paint::stdout();
    let Explanation {
        as_of,
        object: _,
        name,
        change,
        decision,
        clusters,
        broken_link,
    } = explanation;
    let what = if change.withdrawn {
        "withdrawn"
    } else {
        "declared"
    };
    let mut text = format!("{}\n", paint.bold(name));
    text += &format!(
        "change     revision {} {what} by {} {} ago  {}\n",
        change.revision,
        change.source,
        age(change.time),
        paint.dim(&format!("log {} id {}", change.sequence, change.id))
    );
    match decision {
        Some(decision) => {
            text += &format!(
                "decision   {} for revision {}, {} ago, knowing the clusters as of log {}  {}\n",
                decision.number,
                decision.revision,
                age(decision.time),
                decision.inputs.cluster_sequence,
                paint.dim(&format!("log {} id {}", decision.sequence, decision.id))
            );
            for PolicyUsed { policy, revision } in &decision.inputs.policies {
                text += &format!("policy     {} revision {revision}\n", policy.for_people());
            }
            let available = decision.inputs.available.iter();
            let room: Vec<String> = available
                .flat_map(|available| available.iter())
                .map(|(cluster, more)| format!("{more} more in {cluster}"))
                .collect();
            if !room.is_empty() {
                text += &format!("observed   room for {}\n", room.join(", "));
            }
        }
        None => text += &format!("decision   {}\n", paint.waiting("none yet")),
    }
    for link in clusters {
        text += &describe_cluster(link, paint);
    }
    match broken_link {
        Some(broken) => text += &format!("first broken link: {}\n", paint.bad(broken)),
        None => text += &format!("{}\n", paint.good("no broken link")),
    }
    if as_of.acknowledgements_unknown {
        let unknown = "acknowledgements unknown: some of that time are older than what is kept";
        text += &format!("{}\n", paint.waiting(unknown));
    }
    text + &paint.dim(&format!("as of log {}", as_of.log)) + "\n"
}

fn describe_cluster(link: &ClusterLink, paint: Paint) -> String {
    let ClusterLink {
        cluster,
        standing,
        work,
        acknowledgement,
        condition,
        broken_link,
    } = link;
    let condition = condition
        .map(|condition| paint.condition(condition))
        .unwrap_or_default();
    let mut text = format!("{} {condition}\n", paint.bold(cluster.as_str()));
    match standing {
        Standing::Assigned {
            digest,
            replicas,
            reasons,
            kept,
            held,
            ..
        } => {
            text += &format!("  placed           {}\n", reasons.join("; "));
            let replicas = replicas
                .map(|replicas| format!(", {replicas} replicas"))
                .unwrap_or_default();
            text += &format!(
                "  manifest         {}{replicas}\n",
                digest.chars().take(12).collect::<String>()
            );
            if let Some(rule) = kept {
                text += &format!(
                    "  not carried out  {:?} {} {}\n",
                    rule.reason, rule.field, rule.message
                );
            }
            if let Some(wait) = held {
                let Wait {
                    id,
                    decision,
                    by,
                    limit,
                    reason,
                } = wait;
                text += &format!(
                    "  to go            {reason} (decision {decision}, caused by {by})\n  held             {limit} would go: {}\n",
                    paint.waiting(&format!("fleetcast confirm {id}"))
                );
            }
        }
        Standing::Removing { reason, mode, .. } => {
            text += &format!("  to go            {reason} ({mode:?})\n")
        }
        Standing::Excluded(rule) => {
            text += &format!(
                "  not placed       {:?} {} {}\n",
                rule.reason, rule.field, rule.message
            )
        }
    }
    if let Some(work) = work {
        text += &format!(
            "  work             of decision {}  {}\n",
            work.decision,
            paint.dim(&format!("id {}", work.id))
        );
    }
    if let Some(ack) = acknowledgement {
        let message = if ack.message.is_empty() {
            String::new()
        } else {
            format!(": {}", ack.message)
        };
        text += &format!(
            "  acknowledgement  {} revision {} (decision {}, attempt {}) {} ago{message}\n",
            ack.outcome.word(),
            ack.revision,
            ack.decision,
            ack.attempts,
            age(ack.time)
        );
        text += &describe_observed(&ack.observed, paint);
    }
    if let Some(broken) = broken_link {
        text += &format!("  {}\n", paint.bad(broken));
    }
    text
}

/// What was seen of a copy: how it does, its status, and what somebody else changed.
fn describe_observed(observed: &Observed, paint: Paint) -> String {
    let Observed {
        health,
        drift,
        status,
    } = observed;
    let mut text = String::new();
    if let Some(health) = health {
        let reason = match health.reason.is_empty() {
            true => String::new(),
            false => format!(": {}", health.reason),
        };
        let word = paint.health(health.state, health.state.word());
        text += &format!("  health           {word}{reason}\n");
    }
    if let Some(Ok(fields)) = status.as_ref().map(|status| status.fields.value()) {
        text += &format!("  status           {}\n", paint.dim(&fields.to_string()));
    }
    if let Some(drift) = drift {
        let word = match drift.healed {
            true => paint.waiting("put right"),
            false => paint.bad("left as it is"),
        };
        let often = match drift.heals {
            0 | 1 => String::new(),
            heals => format!(", {heals} times"),
        };
        text += &format!("  drift            {word}{often}\n");
        if drift.deleted {
            text += "    the object was deleted by somebody else\n";
        }
        for field in &drift.fields {
            let by = field
                .manager
                .as_deref()
                .unwrap_or("somebody, it was removed");
            let when = field.time.as_deref().unwrap_or_default();
            text += &format!("    {} by {by} {}\n", field.path, paint.dim(when));
        }
        if drift.more > 0 {
            text += &format!("    and {} more\n", drift.more);
        }
    }
    text
}
