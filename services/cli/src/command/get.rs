//! `fleetcast get`: where objects are.

mod strays;

use fleetcast_aggregator::answer::{AsOf, ObjectSummary, Objects, PolicySummary, Request, Row};
use fleetcast_aggregator::client;
use fleetcast_core::health::State;

use crate::args::{BusArgs, Format, GetArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, Table, age};
use crate::select;

pub(crate) async fn run(bus: &BusArgs, args: &GetArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    if args.strays {
        return strays::run(&bus, args).await;
    }
    let request = Request {
        min_log: args.min_seq,
        cluster: args.cluster.clone(),
        at: args.at.clone(),
        ..Request::default()
    };
    let object = match &args.object {
        Some(text) => Some(
            select::one(
                &bus,
                text,
                &Request {
                    cluster: None,
                    ..request.clone()
                },
            )
            .await?,
        ),
        None => None,
    };
    let answer: Objects = client::query(&bus, "objects", object.as_ref(), &request).await?;
    let wide = args.output == Format::Wide;
    if matches!(args.output, Format::Table | Format::Wide) && args.at.is_some() {
        output::print(&then(&answer.as_of))?;
    }
    match args.output {
        Format::Json => output::print_json(&answer),
        Format::Yaml => output::print_yaml(&answer),
        Format::Table | Format::Wide if object.is_some() || args.cluster.is_some() => {
            output::print(&rows(&answer.objects, wide, object.is_none()))
        }
        Format::Table | Format::Wide if answer.objects.is_empty() && answer.policies.is_empty() => {
            output::print(
                "nothing is declared yet; next: fleetcast apply -f FILE --clusters NAME,…\n",
            )
        }
        Format::Table | Format::Wide => {
            let objects = match answer.objects.is_empty() {
                true => "no object is declared yet\n".to_owned(),
                false => table(&answer.objects, wide),
            };
            output::print(&(objects + &policies(&answer.policies)))
        }
    }
}

/// One line a policy; nothing where there is none.
fn policies(policies: &[PolicySummary]) -> String {
    if policies.is_empty() {
        return String::new();
    }
    let paint = Paint::stdout();
    let mut table = Table::new(&["POLICY", "REVISION", "OBJECTS", "AGE"]);
    for policy in policies {
        table.row(vec![
            policy.name.clone(),
            policy.revision.to_string(),
            match policy.objects {
                0 => paint.waiting("selects nothing"),
                objects => objects.to_string(),
            },
            age(policy.time),
        ]);
    }
    format!("\n{}", table.text(""))
}

/// One line that says which moment is shown.
pub(crate) fn then(as_of: &AsOf) -> String {
    let paint = Paint::stdout();
    let moment = match as_of.log {
        0 => "as of log 0: before anything was logged".to_owned(),
        log => format!(
            "as of log {log}, {}",
            fleetcast_schemas::envelope::format_time(as_of.time)
        ),
    };
    let mut text = format!("{}\n", paint.dim(&moment));
    if as_of.acknowledgements_unknown {
        let unknown = "acknowledgements unknown: some of that time are older than what is kept";
        text += &format!("{}\n", paint.waiting(unknown));
    }
    text
}

/// One line an object.
pub(crate) fn table(objects: &[ObjectSummary], wide: bool) -> String {
    let paint = Paint::stdout();
    let mut header = vec!["OBJECT", "REVISION", "APPLIED", "STATUS", "HEALTH", "AGE"];
    if wide {
        header.extend(["DRIFTED", "DIALECT", "DECISION", "CLUSTERS"]);
    }
    let mut table = Table::new(&header);
    for summary in objects {
        let mut cells = vec![
            summary.name.clone(),
            summary.revision.to_string(),
            format!("{}/{}", summary.counts.applied, summary.counts.clusters),
            status(summary, paint),
            health(summary, paint),
            age(summary.time),
        ];
        if wide {
            cells.push(summary.counts.drifted.to_string());
            cells.push(
                summary
                    .dialect
                    .map(|dialect| format!("{dialect:?}").to_lowercase())
                    .unwrap_or_default(),
            );
            cells.push(
                summary
                    .decision
                    .map(|decision| decision.to_string())
                    .unwrap_or_default(),
            );
            let clusters: Vec<String> = summary
                .rows
                .iter()
                .map(|row| format!("{}={}", row.cluster, row.condition.word()))
                .collect();
            cells.push(clusters.join(" "));
        }
        table.row(cells);
    }
    table.text("")
}

fn status(summary: &ObjectSummary, paint: Paint) -> String {
    let counts = &summary.counts;
    let open = [
        (counts.refused, "refused"),
        (counts.ahead, "ahead"),
        (counts.retrying, "retrying"),
        (counts.pending, "pending"),
        (counts.deciding, "deciding"),
        (counts.removing, "removing"),
        (counts.held, "held"),
    ];
    let open: Vec<String> = open
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match open.is_empty() {
        false if counts.refused + counts.ahead > 0 => paint.bad(&open.join(", ")),
        false => paint.waiting(&open.join(", ")),
        true if summary.withdrawn => paint.dim("withdrawn"),
        true if summary.decision.is_none() => paint.waiting("not decided yet"),
        true if counts.clusters == 0 => paint.waiting("nowhere"),
        true => paint.good("applied everywhere"),
    }
}

/// How an object's copies do together: the worst of them, with how many.
fn health(summary: &ObjectSummary, paint: Paint) -> String {
    let counts = &summary.counts;
    let worst = [
        (counts.degraded, State::Degraded),
        (counts.unknown, State::Unknown),
        (counts.progressing, State::Progressing),
    ];
    let worst: Vec<String> = worst
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| paint.health(*state, &format!("{count} {}", state.word())))
        .collect();
    match (worst.is_empty(), counts.healthy) {
        (false, _) => worst.join(", "),
        (true, 0) => "-".to_owned(),
        (true, _) => paint.health(State::Healthy, State::Healthy.word()),
    }
}

/// One line an object and cluster.
pub(crate) fn rows(objects: &[ObjectSummary], wide: bool, with_object: bool) -> String {
    let paint = Paint::stdout();
    let mut header = vec![
        "CLUSTER", "STATUS", "HEALTH", "REVISION", "BEHIND", "REPLICAS", "ANSWERED", "REASON",
    ];
    if with_object {
        header.insert(0, "OBJECT");
    }
    if wide {
        header.extend(["DECISION", "ATTEMPTS", "DIGEST", "DRIFT"]);
    }
    let mut table = Table::new(&header);
    for summary in objects {
        for row in &summary.rows {
            let mut cells = Vec::new();
            if with_object {
                cells.push(summary.name.clone());
            }
            cells.extend([
                row.cluster.to_string(),
                paint.condition(row.condition),
                row.observed.health.as_ref().map_or_else(
                    || "-".to_owned(),
                    |health| paint.health(health.state, health.state.word()),
                ),
                format!("{}/{}", row.applied_revision, row.revision),
                if row.behind == 0 {
                    "-".to_owned()
                } else {
                    paint.waiting(&row.behind.to_string())
                },
                row.replicas
                    .map_or_else(|| "-".to_owned(), |replicas| replicas.to_string()),
                row.answered_at
                    .map_or_else(|| "never".to_owned(), |time| format!("{} ago", age(time))),
                reason(row),
            ]);
            if wide {
                let digest: String = row
                    .digest
                    .iter()
                    .flat_map(|digest| digest.chars().take(12))
                    .collect();
                let drift = row.observed.drift.as_ref();
                cells.extend([
                    row.decision.to_string(),
                    row.attempts.to_string(),
                    digest,
                    drift.map_or_else(|| "-".to_owned(), output::drift),
                ]);
            }
            table.row(cells);
        }
    }
    if table.is_empty() {
        "it is in no cluster\n".to_owned()
    } else {
        table.text("")
    }
}

/// Why a row stands as it does; where all is well with it, why its copy does not do well.
fn reason(row: &Row) -> String {
    let health = row.observed.health.as_ref();
    match health.filter(|health| row.message.is_empty() && health.state != State::Healthy) {
        Some(health) => health.reason.clone(),
        None => row.message.clone(),
    }
}
