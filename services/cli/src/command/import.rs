//! `fleetcast import`: a rehearsal of taking another controller's fleet over. Reads the hub, plans as the placer does, and asks each member for dry runs.
//!
//! | what | file |
//! |---|---|
//! | the answer, as it is printed | `import/report.rs` |
//! | the answer for people | `import/text.rs` |
//! | how members are reached | `import/members.rs` |

mod members;
mod report;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleetcast_agent::cluster::{Cluster, Reporting};
use fleetcast_core::dialect::karmada;
use fleetcast_core::model::federated::Predecessor;
use fleetcast_core::model::{ApplyPolicy, ClusterName, ObjectKey};
use fleetcast_core::planning::{Document, Fleet, Planning};
use fleetcast_core::report::ObjectPlan;
use fleetcast_hub::{Api, inventory};
use fleetcast_ingest::documents;
use fleetcast_kubernetes::brief;
use futures::StreamExt;

use crate::args::{Document as Format, ImportArgs, ImportCommand};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

use report::{Member, Object, Report, Row, Unread, Untaken};

/// How many objects are asked about at once, over all members.
const AT_ONCE: usize = 32;

pub(crate) async fn run(command: &ImportCommand) -> Result<(), Failure> {
    let (dialect, args) = match command {
        ImportCommand::Kubefed(args) => (Predecessor::Kubefed, args),
        ImportCommand::Karmada(args) => (Predecessor::Karmada, args),
    };
    let unreachable = |why: String| {
        Failure::Unreachable(format!(
            "the hub {} does not answer: {why}\nis it the kubeconfig of the API server that holds {}'s objects?",
            args.hub,
            report::name(dialect)
        ))
    };
    let client = args.hub.client().await;
    let client = client.map_err(|error| Failure::Usage(error.to_string()))?;
    let api = Api::new(client);
    let inventory = inventory::read(&api, dialect).await;
    let inventory = inventory.map_err(|error| unreachable(brief(&error)))?;
    let mut report = Report::new(dialect, args.hub.to_string(), &inventory);
    let documents: Vec<Document> = ordered(&inventory.documents)
        .map(|(place, value)| Document {
            file: place.for_people(),
            index: 0,
            value: Ok(value.clone()),
        })
        .collect();
    let set = karmada::Set::with_yaml(documents::yaml_in_text);
    let planning = Planning::new(&documents, Fleet::default(), &[], set);
    for refused in planning.refusals() {
        report.unread.push(Unread {
            document: refused.file.clone(),
            field: refused.field.clone(),
            message: refused.message.clone(),
        });
    }
    let planned: Vec<(ObjectPlan, Vec<ApplyPolicy>)> = planning.applied().collect();
    let names: BTreeSet<ClusterName> = clusters_of(&planned);
    let ways = members::reach(&api, args, &inventory.clusters, &names).await?;
    for (cluster, way) in &ways {
        report.members.push(Member {
            cluster: cluster.clone(),
            asked: way.is_ok(),
            message: way.as_ref().err().cloned().unwrap_or_default(),
        });
    }
    let members: BTreeMap<ClusterName, Arc<Cluster>> = ways
        .into_iter()
        .filter_map(|(name, way)| {
            let cluster = Cluster::new(way.ok()?, Reporting::default());
            Some((name, Arc::new(cluster)))
        })
        .collect();
    report.objects = ask(planned, &members, args.no_members).await;
    report.untaken = untaken(dialect, &report.objects, &members, &mut report.members).await;
    print(&report, args)
}

/// Clusters come first, then what places, then objects: a message about one that is declared twice names the one that counts.
fn ordered(
    documents: &BTreeMap<ObjectKey, serde_json::Value>,
) -> impl Iterator<Item = (&ObjectKey, &serde_json::Value)> {
    let rank = |place: &ObjectKey| match place.group() {
        "core.kubefed.io" | "cluster.karmada.io" => 0,
        "policy.karmada.io" | "scheduling.kubefed.io" => 1,
        _ => 2,
    };
    let mut ordered: Vec<_> = documents.iter().collect();
    ordered.sort_by_key(|(place, _)| rank(place));
    ordered.into_iter()
}

fn clusters_of(planned: &[(ObjectPlan, Vec<ApplyPolicy>)]) -> BTreeSet<ClusterName> {
    planned
        .iter()
        .flat_map(|(plan, _)| &plan.clusters)
        .map(|planned| planned.cluster.clone())
        .collect()
}

/// What each object would come to in each cluster that it lands in.
async fn ask(
    planned: Vec<(ObjectPlan, Vec<ApplyPolicy>)>,
    members: &BTreeMap<ClusterName, Arc<Cluster>>,
    no_members: bool,
) -> Vec<Object> {
    let total: usize = planned.iter().map(|(plan, _)| plan.clusters.len()).sum();
    let mut progress = Progress::new("asking members", total as u64);
    let mut objects: Vec<Object> = planned.iter().map(|(plan, _)| Object::of(plan)).collect();
    let questions = planned
        .iter()
        .enumerate()
        .flat_map(|(index, (plan, policies))| {
            let clusters = plan.clusters.iter().zip(policies);
            clusters.map(move |(planned, policy)| (index, plan, planned, policy))
        });
    let questions: Vec<_> = questions.collect();
    let mut answers = futures::stream::iter(questions.into_iter().map(
        |(index, plan, planned, policy)| async move {
            let member = members.get(&planned.cluster);
            let answer = match (member, plan.object.key()) {
                (Some(member), Some(key)) => {
                    Some(member.rehearse(&key, &planned.manifest, policy).await)
                }
                _ => None,
            };
            (index, Row::of(planned, answer, no_members))
        },
    ))
    .buffered(AT_ONCE);
    while let Some((index, row)) = answers.next().await {
        objects[index].clusters.push(row);
        progress.step();
    }
    drop(answers);
    progress.end();
    objects
}

/// What the controller keeps on members and would not be taken over: it stays as it is.
async fn untaken(
    dialect: Predecessor,
    objects: &[Object],
    members: &BTreeMap<ClusterName, Arc<Cluster>>,
    told: &mut [Member],
) -> Vec<Untaken> {
    let kinds: BTreeSet<(&str, &str)> = objects
        .iter()
        .map(|object| {
            let target = &object.object;
            (target.api_version.as_str(), target.kind.as_str())
        })
        .collect();
    let mut taken: BTreeSet<(&ClusterName, ObjectKey)> = BTreeSet::new();
    for object in objects {
        let key = object.object.key();
        let rows = object.clusters.iter().map(|row| &row.cluster);
        taken.extend(rows.filter_map(|cluster| Some((cluster, key.clone()?))));
    }
    let mut left = Vec::new();
    for (name, member) in members {
        for (api_version, kind) in &kinds {
            match member.kept_by(dialect, api_version, kind).await {
                Ok(kept) => {
                    let others = kept
                        .into_iter()
                        .filter(|key| !taken.contains(&(name, key.clone())));
                    left.extend(others.map(|object| Untaken {
                        cluster: name.clone(),
                        object: object.for_people(),
                    }));
                }
                Err(why) => {
                    let member = told.iter_mut().find(|one| one.cluster == *name);
                    if let Some(member) = member.filter(|member| member.message.is_empty()) {
                        member.message = format!("{kind} cannot be listed: {why}");
                    }
                }
            }
        }
    }
    left
}

fn print(report: &Report, args: &ImportArgs) -> Result<(), Failure> {
    match args.output {
        Format::Json => output::print_json(report)?,
        Format::Yaml => {
            // By way of a value: the manifests' own order of keys is that of the document.
            let value = serde_json::to_value(report).map_err(anyhow::Error::from)?;
            output::print_yaml(&value)?;
        }
        Format::Table => output::print(&text::of(report, args))?,
    }
    match report.is_silent() {
        true => Ok(()),
        false => Err(Failure::Said),
    }
}
