//! The answer of `fleetcast import` for people.

use std::collections::BTreeMap;

use fleetcast_core::model::ClusterName;
use fleetcast_core::model::federated::Predecessor;

use crate::args::ImportArgs;
use crate::command::plan::compare;
use crate::output::{self, Paint, Table};

use super::report::{Object, Outcome, Report, Row, is_refusal, name};

/// How many lines of a kind a person is shown.
const SHOWN: usize = 30;

pub(super) fn of(report: &Report, args: &ImportArgs) -> String {
    let paint = Paint::stdout();
    let who = name(report.dialect);
    let mut text = format!(
        "A rehearsal of taking {who}'s fleet over from {}: nothing is written anywhere.\n\n",
        report.hub
    );
    text += &taken(report, who);
    text += &members(report, paint);
    text += &changes(report, paint);
    text += &unread(report, paint);
    text += &untaken(report, who);
    text += &verdict(report, args, who, paint);
    text
}

fn taken(report: &Report, who: &str) -> String {
    if report.taken.is_empty() {
        return format!("The hub holds nothing of {who}'s that can be taken over.\n\n");
    }
    let mut table = Table::new(&["TO BE TAKEN OVER", "COUNT"]);
    for one in &report.taken {
        table.row(vec![one.kind.clone(), one.count.to_string()]);
    }
    table.text("") + "\n"
}

/// A line for each member: how many copies would become of what.
fn members(report: &Report, paint: Paint) -> String {
    if report.members.is_empty() {
        return String::new();
    }
    let mut counts: BTreeMap<&ClusterName, BTreeMap<Outcome, usize>> = BTreeMap::new();
    let rows = report.objects.iter().flat_map(|object| &object.clusters);
    for row in rows {
        let of_cluster = counts.entry(&row.cluster).or_default();
        *of_cluster.entry(row.outcome).or_default() += 1;
    }
    let columns = [
        (Outcome::Same, "AS THEY ARE"),
        (Outcome::Held, "OURS"),
        (Outcome::Changes, "CHANGED"),
        (Outcome::Creates, "CREATED"),
        (Outcome::Waits, "WAIT"),
        (Outcome::Refused, "REFUSED"),
        (Outcome::Unknown, "NOT KNOWN"),
        (Outcome::Rendered, "RENDERED"),
    ];
    let is_shown = |outcome: &Outcome| {
        *outcome == Outcome::Same || counts.values().any(|of| of.contains_key(outcome))
    };
    let columns: Vec<_> = columns
        .into_iter()
        .filter(|(one, _)| is_shown(one))
        .collect();
    let header: Vec<&str> = std::iter::once("MEMBER")
        .chain(columns.iter().map(|(_, title)| *title))
        .chain(["NOTE"])
        .collect();
    let mut table = Table::new(&header);
    for member in &report.members {
        let of_cluster = counts.get(&member.cluster);
        let count = |outcome: &Outcome| {
            let count = of_cluster.and_then(|of| of.get(outcome)).copied();
            let text = count.unwrap_or(0).to_string();
            match outcome {
                _ if count.is_none() => text,
                Outcome::Same | Outcome::Held | Outcome::Rendered => paint.good(&text),
                Outcome::Refused => paint.bad(&text),
                Outcome::Changes | Outcome::Creates | Outcome::Waits | Outcome::Unknown => {
                    paint.waiting(&text)
                }
            }
        };
        let cells = std::iter::once(member.cluster.to_string())
            .chain(columns.iter().map(|(outcome, _)| count(outcome)))
            .chain([member.message.clone()]);
        table.row(cells.collect());
    }
    table.text("") + "\n"
}

/// What would not stay as it is, field by field, clusters with the same together.
fn changes(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for object in &report.objects {
        let mut lines = String::new();
        if let Some(refusal) = &object.refusal {
            lines += &format!("  {} {refusal}\n", paint.bad("refused:"));
        }
        for (what, clusters) in groups(object, paint) {
            lines += &format!("  in {}: {}\n", names(&clusters), what.join("\n    "));
        }
        for one in object.excluded.iter().filter(|one| is_refusal(one)) {
            let field = one.field.as_deref().unwrap_or_default();
            lines += &format!(
                "  in {}: {} {field}: {}\n",
                one.cluster,
                paint.bad("refused:"),
                one.message
            );
        }
        if !lines.is_empty() {
            text += &format!("{}\n{lines}", paint.bold(&compare::name(&object.object)));
        }
    }
    match text.is_empty() {
        true => text,
        false => text + "\n",
    }
}

fn groups(object: &Object, paint: Paint) -> BTreeMap<Vec<String>, Vec<&ClusterName>> {
    let mut groups: BTreeMap<Vec<String>, Vec<&ClusterName>> = BTreeMap::new();
    for row in &object.clusters {
        if let Some(what) = what(row, paint) {
            groups.entry(what).or_default().push(&row.cluster);
        }
    }
    groups
}

/// What is to be said of a row; none where it stays as it is.
fn what(row: &Row, paint: Paint) -> Option<Vec<String>> {
    let replicas = row
        .replicas
        .map(|replicas| format!(", {replicas} replicas"));
    let replicas = replicas.unwrap_or_default();
    Some(match row.outcome {
        Outcome::Held | Outcome::Same => return None,
        Outcome::Changes => {
            let mut lines = vec![paint.waiting("changes")];
            let fields = row.fields.iter().take(SHOWN).map(|one| {
                output::difference(&one.field, one.from.as_ref(), one.to.as_ref(), paint)
            });
            lines.extend(fields);
            if row.fields.len() > SHOWN {
                lines.push(format!("… and {} more fields", row.fields.len() - SHOWN));
            }
            lines
        }
        Outcome::Creates => vec![paint.waiting("is not there, and would be created")],
        Outcome::Waits => vec![format!("{} {}", paint.waiting("waits:"), row.message)],
        Outcome::Refused => vec![format!("{} {}", paint.bad("refused:"), row.message)],
        Outcome::Unknown if row.message.is_empty() => {
            vec![format!(
                "would be written{replicas}; the member was not asked"
            )]
        }
        Outcome::Unknown => vec![format!("{} {}", paint.waiting("not known:"), row.message)],
        Outcome::Rendered => vec![format!("would be written{replicas}")],
    })
}

fn unread(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for one in &report.unread {
        let field = match one.field.is_empty() {
            true => String::new(),
            false => format!("{}: ", one.field),
        };
        let why = paint.bad("cannot be read:");
        text += &format!("{} {why} {field}{}\n", one.document, one.message);
    }
    for place in &report.deleting {
        text += &format!("{place} is being deleted on the hub, and is not taken\n");
    }
    for one in &report.resting {
        text += &format!("{} is not taken: it {}\n", one.document, one.message);
    }
    match text.is_empty() {
        true => text,
        false => text + "\n",
    }
}

fn untaken(report: &Report, who: &str) -> String {
    if report.untaken.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{who} keeps these on members, and nothing on the hub places them there: they stay as they are, and nobody's\n"
    );
    for one in report.untaken.iter().take(SHOWN) {
        text += &format!("  {} in {}\n", one.object, one.cluster);
    }
    if report.untaken.len() > SHOWN {
        text += &format!(
            "  … and {} more (-o json has all)\n",
            report.untaken.len() - SHOWN
        );
    }
    text + "\n"
}

fn verdict(report: &Report, args: &ImportArgs, who: &str, paint: Paint) -> String {
    let rows = || report.objects.iter().flat_map(|object| &object.clusters);
    let count = |outcome: Outcome| rows().filter(|row| row.outcome == outcome).count();
    let writes: u64 = rows().map(|row| u64::from(row.writes)).sum();
    let page = match report.dialect {
        Predecessor::Kubefed => "docs/migrating-from-kubefed.md",
        Predecessor::Karmada => "docs/migrating-from-karmada.md",
    };
    let mut text = match (args.no_members, report.is_silent()) {
        (true, _) => format!(
            "{} copies would be rendered; no member was asked whether it holds them so (-o yaml shows the manifests)\n",
            rows().count()
        ),
        (false, true) => format!(
            "{}\n",
            paint.good(&format!(
                "{} copies would be taken over as they are: only marks change",
                count(Outcome::Same)
            ))
        ),
        (false, false) => format!(
            "{} copies would be taken over as they are; the rest is told above\n",
            count(Outcome::Same)
        ),
    };
    if writes > 0 {
        text += &format!(
            "{writes} writes to members: of a copy of {who}'s two, which release its fields and change marks; one of any other; none deletes\n"
        );
    }
    let unasked = report.members.iter().any(|member| !member.asked);
    if unasked && !args.no_members {
        text += "next: --member NAME=KUBECONFIG for members that could not be asked\n";
    } else {
        text += &format!("next: {page}\n");
    }
    text
}

fn names(clusters: &[&ClusterName]) -> String {
    let shown: Vec<&str> = clusters
        .iter()
        .take(SHOWN)
        .map(|name| name.as_str())
        .collect();
    match clusters.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
