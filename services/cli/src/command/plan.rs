//! `fleetcast plan`: what would land where, and why; offline over cluster documents, or against the live fleet.

pub(super) mod compare;
pub(super) mod fields;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use fleetcast_core::dialect::{Submitted, karmada};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::planning::{Document, Fleet, Planning};
use fleetcast_core::report::{ExcludedCluster, ObjectPlan, Observed, RefusedDocument, Report};
use fleetcast_ingest::documents;
use serde_json::Value;

use crate::args::{BusArgs, Document as Format, PlanArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, Table};
use crate::submit;

use compare::{Live, Totals};
use fields::Held;
use values::Uncompared;

/// Where documents come from that no file holds.
const THE_LOG: &str = "the log";
/// How many clusters of one object a person is shown.
const SHOWN: usize = 20;

pub(crate) async fn run(bus: &BusArgs, args: &PlanArgs) -> Result<(), Failure> {
    let mut documents = submit::read_raw(&args.filename)?;
    for document in &mut documents {
        if let Ok(value) = &mut document.value {
            match submit::wrap(value.take(), &args.clusters) {
                Ok(wrapped) => *value = wrapped,
                Err(refusal) => document.value = Err(refusal),
            }
        }
    }
    let mut observed = match &args.observed {
        Some(path) => read_observed(path)?,
        None => Vec::new(),
    };
    let mut uncompared = Uncompared::default();
    let (fleet, live, refused) = if args.fleet.is_empty() {
        let bus = service::bus(bus).await?;
        let live = Live::read(&bus).await?;
        if args.observed.is_none() {
            observed = live.observed();
        }
        let keys: BTreeSet<ObjectKey> = documents
            .iter()
            .filter_map(|document| Some(Submitted::read(document.value.as_ref().ok()?).ok()?.key()))
            .collect();
        let objects = keys.iter().filter(|key| live.holds(key)).cloned().collect();
        let held = Held::read(&bus, objects).await?;
        let keys_of_hub = args.sealing_keys.as_deref();
        uncompared = values::seal(&mut documents, &bus, keys_of_hub, &held).await?;
        let policies = held.policies(|key| keys.contains(key)).cloned();
        documents.extend(policies.enumerate().map(|(index, policy)| Document {
            file: THE_LOG.to_owned(),
            index,
            value: Ok(policy),
        }));
        (live.fleet(), Some((live, held)), Vec::new())
    } else {
        let (fleet, refused) = read_fleet(&args.fleet)?;
        (fleet, None, refused)
    };
    let policies = karmada::Set::with_yaml(documents::yaml_in_text);
    let planning = Planning::new(&documents, fleet, &observed, policies);
    print(&planning, refused, live.as_ref(), &uncompared, args.output)
}

fn read_fleet(paths: &[std::path::PathBuf]) -> Result<(Fleet, Vec<RefusedDocument>), Failure> {
    let mut fleet = Fleet::default();
    let mut refused = Vec::new();
    for Document { file, index, value } in submit::read_raw(paths)? {
        let added = value.and_then(|value| {
            fleet.add(&value).unwrap_or_else(|| {
                Err(fleetcast_core::Refusal::new(
                    "kind",
                    "is none of MemberCluster, KubeFedCluster, Cluster (Karmada)",
                ))
            })
        });
        if let Err(refusal) = added {
            refused.push(RefusedDocument {
                file,
                document: index,
                field: refusal.field,
                message: refusal.message,
            });
        }
    }
    Ok((fleet, refused))
}

fn read_observed(path: &Path) -> Result<Vec<Observed>, Failure> {
    let refuse = |reason: String| Failure::Refused(format!("{}: {reason}", path.display()));
    let text = std::fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| refuse(format!("is no list of observations: {error}")))
}

/// Prints the rows as they come: a thousand objects in a thousand clusters are never held at once, except as YAML.
fn print(
    planning: &Planning<'_>,
    mut refused: Vec<RefusedDocument>,
    live: Option<&(Live, Held)>,
    uncompared: &Uncompared,
    format: Format,
) -> Result<(), Failure> {
    // A policy in the log that has nothing to do here is none of the files' faults.
    let of_files = planning.refusals().iter().filter(|one| one.file != THE_LOG);
    refused.extend(of_files.cloned());
    let mut any_refused = !refused.is_empty();
    let mut note = |row: &ObjectPlan| {
        let refuses = |excluded: &ExcludedCluster| excluded.reason == Exclusion::Refused;
        any_refused |= row.refusal.is_some() || row.excluded.iter().any(refuses);
    };
    match format {
        Format::Json => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            out.write_all(b"{\"objects\": [")?;
            for (index, row) in planning.rows().enumerate() {
                note(&row);
                out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
                let row = serde_json::to_string(&row).map_err(std::io::Error::from)?;
                out.write_all(uncompared.shown(&row).as_bytes())?;
            }
            out.write_all(b"\n], \"refusals\": ")?;
            serde_json::to_writer(&mut out, &refused).map_err(std::io::Error::from)?;
            out.write_all(b"}\n")?;
            out.flush()?;
        }
        Format::Yaml => {
            let report = Report {
                objects: planning.rows().inspect(note).collect(),
                refusals: refused,
            };
            // By way of a value: the manifests' own order of keys is that of the document.
            let value: Value = serde_json::to_value(&report).map_err(anyhow::Error::from)?;
            let shown = serde_json::from_str(&uncompared.shown(&value.to_string()));
            let shown: Value = shown.map_err(anyhow::Error::from)?;
            output::print_yaml(&shown)?;
        }
        Format::Table => {
            let mut totals = Totals::default();
            for row in planning.rows() {
                note(&row);
                output::print(&describe(&row, live, &mut totals))?;
            }
            output::print(&describe_refused(&refused))?;
            output::print(&totals.text(live.is_some(), refused.len()))?;
        }
    }
    if let Some(told) = uncompared.told() {
        eprint!("{told}");
    }
    if any_refused {
        Err(Failure::Said)
    } else {
        Ok(())
    }
}

fn describe(row: &ObjectPlan, live: Option<&(Live, Held)>, totals: &mut Totals) -> String {
    let paint = Paint::stdout();
    let name = compare::name(&row.object);
    let dialect = format!("{:?}", row.dialect).to_lowercase();
    if let Some(refusal) = &row.refusal {
        totals.refused += 1;
        return format!(
            "{} {} {refusal}\n",
            paint.bold(&name),
            paint.bad("refused:")
        );
    }
    let changes = live.map(|(live, _)| live.compare(row));
    totals.add(row, changes.as_ref());
    let replicas: Vec<i64> = row
        .clusters
        .iter()
        .filter_map(|planned| planned.replicas)
        .collect();
    let mut text = format!("{} in {}", paint.bold(&name), clusters(row.clusters.len()));
    if !replicas.is_empty() {
        text += &format!(", {} replicas", replicas.iter().sum::<i64>());
    }
    text += &format!(" {}\n", paint.dim(&format!("({dialect})")));
    let mut table = Table::new(&["CLUSTER", "REPLICAS", "CHANGE", "WHY"]);
    for planned in row.clusters.iter().take(SHOWN) {
        table.row(vec![
            planned.cluster.to_string(),
            planned
                .replicas
                .map_or_else(|| "-".to_owned(), |replicas| replicas.to_string()),
            changes.as_ref().map_or_else(
                || paint.good("lands"),
                |changes| changes.word(&planned.cluster, paint),
            ),
            planned.reasons.join("; "),
        ]);
    }
    if !table.is_empty() {
        text += &table.text("  ");
    }
    if row.clusters.len() > SHOWN {
        text += &format!(
            "  … and {} more (-o json has all)\n",
            row.clusters.len() - SHOWN
        );
    }
    for (cluster, what) in changes
        .iter()
        .flat_map(|changes| changes.lost())
        .take(SHOWN)
    {
        text += &format!("  {cluster} {} {what}\n", paint.bad("loses it:"));
    }
    if let Some((live, held)) = live {
        text += &held.describe(row, live, paint);
    }
    text += &describe_excluded(&row.excluded, paint);
    if row.unplaced_replicas > 0 {
        let unplaced = format!("{} replicas find no place", row.unplaced_replicas);
        text += &format!("  {}\n", paint.waiting(&unplaced));
    }
    text
}

fn clusters(count: usize) -> String {
    match count {
        0 => "no cluster".to_owned(),
        1 => "1 cluster".to_owned(),
        count => format!("{count} clusters"),
    }
}

/// Clusters that are left out for the same reason in one line, those that nobody meant only counted.
fn describe_excluded(excluded: &[ExcludedCluster], paint: Paint) -> String {
    let mut groups: BTreeMap<(String, String), Vec<&ClusterName>> = BTreeMap::new();
    let mut not_selected = 0;
    for one in excluded {
        if one.reason == Exclusion::NotSelected {
            not_selected += 1;
            continue;
        }
        let message = match &one.field {
            Some(field) => format!("{field}: {}", one.message),
            None => one.message.clone(),
        };
        let group = groups.entry((format!("{:?}", one.reason), message));
        group.or_default().push(&one.cluster);
    }
    let mut text = String::new();
    for ((reason, message), names) in groups {
        let shown: Vec<&str> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = if reason == "Refused" {
            paint.bad(&reason)
        } else {
            paint.waiting(&reason)
        };
        text += &format!("  not in {}{more}: {reason}: {message}\n", shown.join(", "));
    }
    if not_selected > 0 {
        let rest = format!("not meant for {}", clusters(not_selected));
        text += &format!("  {}\n", paint.dim(&rest));
    }
    text
}

fn describe_refused(refused: &[RefusedDocument]) -> String {
    let paint = Paint::stdout();
    let mut text = String::new();
    for one in refused {
        let RefusedDocument {
            file,
            document,
            field,
            message,
        } = one;
        let field = if field.is_empty() {
            String::new()
        } else {
            format!("{field}: ")
        };
        text += &format!(
            "{} {file} document {document}: {field}{message}\n",
            paint.bad("refused")
        );
    }
    text
}
