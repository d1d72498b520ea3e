//! `fleetcast rollback`: what an earlier revision or moment said is handed in again, after a look at what that comes to.

use std::collections::BTreeMap;

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::past::{At, DocumentRow, Documents, History};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::confirmation::Confirmation;
use fleetcast_core::dialect::{Submitted, karmada, policies};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::planning::{Document, Planning};
use fleetcast_ingest::documents;
use serde::Serialize;
use serde_json::Value;

use crate::args::{BusArgs, Lines, RollbackArgs};
use crate::command::appended::Appended;
use crate::command::confirm;
use crate::command::plan::compare::Live;
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, Table};
use crate::select;
use crate::submit::{self, Announcement};

/// How many objects a person is shown.
const SHOWN: usize = 40;

/// What going back comes to.
#[derive(Debug, Serialize)]
struct Preview {
    /// Objects that are handed in again, or withdrawn.
    changes: Vec<Change>,
    /// Objects that are as they were, and go elsewhere because of policies that are handed in again.
    moved: Vec<Change>,
    /// Objects and policies that did not exist then and are left alone, since nothing was said of pruning.
    left: Vec<ObjectKey>,
    /// Objects that already are as they were.
    unchanged: usize,
    /// Copies that go from clusters.
    deletes: usize,
}

/// What going back does to one object.
#[derive(Debug, Serialize)]
struct Change {
    object: ObjectKey,
    /// `apply` or `withdraw`.
    action: &'static str,
    /// Its revision now; 0 for none.
    from_revision: u64,
    /// The revision whose document it gets; none where it is withdrawn.
    to_revision: Option<u64>,
    /// Clusters that gain it, get another manifest, lose it.
    gained: usize,
    changed: usize,
    lost: Vec<ClusterName>,
    #[serde(skip)]
    document: Option<Value>,
}

impl Change {
    fn is_policy(&self) -> bool {
        policies::is_policy(&self.object)
    }
}

pub(crate) async fn run(args: &BusArgs, rollback: &RollbackArgs) -> Result<(), Failure> {
    let bus = service::bus(args).await?;
    let all = documents(&bus, None, None, None).await?;
    let (then, now, prune) = match (&rollback.object, &rollback.at) {
        (Some(text), _) => one(&bus, &all, text, rollback.to.unwrap_or_default()).await?,
        (None, Some(at)) => {
            let namespace = rollback.namespace.as_deref();
            let then = documents(&bus, None, namespace, Some(at.clone())).await?;
            let now = documents(&bus, None, namespace, None).await?;
            (then, now, rollback.prune)
        }
        (None, None) => return Err(Failure::Usage("--at is needed".to_owned())),
    };
    let mut preview = decide(then, &now, prune);
    look_at_clusters(&bus, &mut preview, &all).await?;
    tell(&preview, rollback.output)?;
    if preview.changes.is_empty() {
        return Ok(());
    }
    if !rollback.yes && !confirm::agreed("go back?")? {
        return Err(Failure::Refused(
            "nothing is changed; to go back without being asked, say --yes".to_owned(),
        ));
    }
    refuse_moved(&bus, &preview).await?;
    carry_out(&bus, preview, rollback.output).await
}

async fn documents(
    bus: &Bus,
    object: Option<&ObjectKey>,
    namespace: Option<&str>,
    at: Option<At>,
) -> Result<Documents, Failure> {
    let request = Request {
        at,
        namespace: namespace.map(str::to_owned),
        ..Request::default()
    };
    let mut documents: Documents = client::query(bus, "documents", object, &request).await?;
    // What somebody confirmed has happened: it is neither said again nor taken back.
    documents
        .objects
        .retain(|row| !Confirmation::is_key(&row.object));
    Ok(documents)
}

/// One object as a revision of it said; a revision that withdraws it withdraws it again.
async fn one(
    bus: &Bus,
    all: &Documents,
    text: &str,
    revision: u64,
) -> Result<(Documents, Documents, bool), Failure> {
    // Policies are placed nowhere themselves, and not listed among the objects.
    let query = select::parse(text)?;
    let is_meant =
        |row: &&DocumentRow| policies::is_policy(&row.object) && query.matches(&row.object);
    let object = match all.objects.iter().find(is_meant) {
        Some(policy) => policy.object.clone(),
        None => select::one(bus, text, &Request::default()).await?,
    };
    let request = Request::default();
    let history: History = client::query(bus, "history", Some(&object), &request).await?;
    let found = history
        .revisions
        .iter()
        .find(|one| one.revision == revision);
    let found = found.ok_or_else(|| {
        let (first, last) = (history.revisions.first(), history.revisions.last());
        let number = |one: Option<&fleetcast_aggregator::answer::past::Revision>| {
            one.map_or(0, |one| one.revision)
        };
        let (first, last) = (number(first), number(last));
        Failure::Refused(match history.cut {
            Some(cut) if revision < first => format!(
                "{text}: revision {revision} was cut away with the history before log {cut}; {first} to {last} are known"
            ),
            _ => format!("{text} has no revision {revision}; there are {first} to {last}"),
        })
    })?;
    // What was carried over a cut stood there, too.
    let at = Some(At::Sequence(found.sequence.max(history.cut.unwrap_or(0))));
    let then = documents(bus, Some(&object), None, at).await?;
    let now = documents(bus, Some(&object), None, None).await?;
    Ok((then, now, true))
}

/// What has to be handed in so that everything is declared as it was.
fn decide(then: Documents, now: &Documents, prune: bool) -> Preview {
    let mut was: BTreeMap<ObjectKey, DocumentRow> = then
        .objects
        .into_iter()
        .map(|row| (row.object.clone(), row))
        .collect();
    let mut preview = Preview {
        changes: Vec::new(),
        moved: Vec::new(),
        left: Vec::new(),
        unchanged: 0,
        deletes: 0,
    };
    for row in &now.objects {
        let before = was.remove(&row.object);
        let revision = before.as_ref().map_or(0, |before| before.revision);
        let document = before.and_then(|before| before.document);
        match document {
            Some(document) if Some(&document) == row.document.as_ref() => preview.unchanged += 1,
            Some(document) => preview.changes.push(Change {
                object: row.object.clone(),
                action: "apply",
                from_revision: row.revision,
                to_revision: Some(revision),
                gained: 0,
                changed: 0,
                lost: Vec::new(),
                document: Some(document),
            }),
            None if row.withdrawn => preview.unchanged += 1,
            None if !prune => preview.left.push(row.object.clone()),
            None => {
                preview.deletes += row.clusters.len();
                preview.changes.push(Change {
                    object: row.object.clone(),
                    action: "withdraw",
                    from_revision: row.revision,
                    to_revision: None,
                    gained: 0,
                    changed: 0,
                    lost: row.clusters.clone(),
                    document: None,
                });
            }
        }
    }
    // Policies first: what they place moves once.
    preview.changes.sort_by_key(|change| !change.is_policy());
    preview
}

/// Plans what is handed in against the live fleet, with the policies as they are then, and the plain objects that these place: which clusters
/// gain, change and lose.
async fn look_at_clusters(
    bus: &Bus,
    preview: &mut Preview,
    all: &Documents,
) -> Result<(), Failure> {
    if preview.changes.is_empty() {
        return Ok(());
    }
    let changed: BTreeMap<&ObjectKey, Option<&Value>> = preview
        .changes
        .iter()
        .map(|change| (&change.object, change.document.as_ref()))
        .collect();
    let moves_others = preview.changes.iter().any(Change::is_policy);
    // What stays as it is, where it matters: policies, and what they may move.
    let stays = all.objects.iter().filter(|row| {
        let is_plain = || {
            let document = row.document.as_ref();
            document.is_some_and(|document| {
                matches!(Submitted::read(document), Ok(Submitted::Plain(_)))
            })
        };
        !changed.contains_key(&row.object)
            && (policies::is_policy(&row.object) || (moves_others && is_plain()))
    });
    let stays = stays.filter_map(|row| row.document.as_ref());
    let documents: Vec<Document> = changed
        .values()
        .copied()
        .flatten()
        .chain(stays)
        .enumerate()
        .map(|(index, document)| Document {
            file: "rollback".to_owned(),
            index,
            value: Ok(document.clone()),
        })
        .collect();
    let live = Live::read(bus).await?;
    let observed = live.observed();
    let set = karmada::Set::with_yaml(documents::yaml_in_text);
    let planning = Planning::new(&documents, live.fleet(), &observed, set);
    for row in planning.rows() {
        let Some(key) = row.object.key() else {
            continue;
        };
        let compared = live.compare(&row);
        let lost: Vec<ClusterName> = compared
            .lost()
            .iter()
            .map(|(cluster, _)| cluster.clone())
            .collect();
        let (gained, differs) = compared.counts();
        let change = preview
            .changes
            .iter_mut()
            .find(|change| change.object == key);
        if let Some(change) = change {
            preview.deletes += lost.len();
            (change.gained, change.changed, change.lost) = (gained, differs, lost);
        } else if gained + differs + lost.len() > 0 {
            let revision = all.objects.iter().find(|row| row.object == key);
            let revision = revision.map_or(0, |row| row.revision);
            preview.deletes += lost.len();
            preview.unchanged = preview.unchanged.saturating_sub(1);
            preview.moved.push(Change {
                object: key,
                action: "move",
                from_revision: revision,
                to_revision: Some(revision),
                gained,
                changed: differs,
                lost,
                document: None,
            });
        }
    }
    Ok(())
}

fn tell(preview: &Preview, format: Lines) -> Result<(), Failure> {
    if format == Lines::Json {
        return output::print_json_line(preview);
    }
    let paint = Paint::stdout();
    let mut table = Table::new(&["OBJECT", "REVISION", "GAINS", "CHANGES", "LOSES"]);
    let all = || preview.changes.iter().chain(&preview.moved);
    for change in all().take(SHOWN) {
        let to = match change.to_revision {
            Some(revision) if change.action == "move" => format!("{revision}, by its policy"),
            Some(revision) => format!("{} → as {revision}", change.from_revision),
            None => paint.bad("withdrawn"),
        };
        let lost = match change.lost.as_slice() {
            [] => "-".to_owned(),
            lost => paint.bad(
                &lost
                    .iter()
                    .map(|name| name.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        };
        table.row(vec![
            change.object.for_people(),
            to,
            change.gained.to_string(),
            change.changed.to_string(),
            lost,
        ]);
    }
    let mut text = match table.is_empty() {
        true => String::new(),
        false => table.text(""),
    };
    if all().count() > SHOWN {
        text += &format!("… and {} more (-o json has all)\n", all().count() - SHOWN);
    }
    for object in preview.left.iter().take(SHOWN) {
        let left = format!(
            "{} did not exist then; it stays (--prune withdraws it)",
            object.for_people()
        );
        text += &format!("{}\n", paint.waiting(&left));
    }
    if preview.left.len() > SHOWN {
        text += &format!(
            "… and {} more that did not exist then\n",
            preview.left.len() - SHOWN
        );
    }
    let deletes = match preview.deletes {
        0 => "no copy is deleted".to_owned(),
        count => paint.bad(&format!("{count} copies are deleted")),
    };
    text += &match preview.changes.len() {
        0 => format!(
            "nothing to do: {} objects are as they were\n",
            preview.unchanged
        ),
        _ => {
            let policies = all().filter(|change| change.is_policy()).count();
            let and = match policies {
                0 => String::new(),
                count => format!(" and {count} policies"),
            };
            format!(
                "{} objects{and} change, {} are as they were, {deletes}\n",
                all().count() - policies,
                preview.unchanged
            )
        }
    };
    output::print(&text)
}

/// Refuses where an object was changed since the preview was made.
async fn refuse_moved(bus: &Bus, preview: &Preview) -> Result<(), Failure> {
    let now = documents(bus, None, None, None).await?;
    let revisions: BTreeMap<&ObjectKey, u64> = now
        .objects
        .iter()
        .map(|row| (&row.object, row.revision))
        .collect();
    let moved = preview
        .changes
        .iter()
        .find(|change| revisions.get(&change.object).copied().unwrap_or(0) != change.from_revision);
    match moved {
        None => Ok(()),
        Some(change) => Err(Failure::Refused(format!(
            "{} was changed meanwhile; nothing is changed by this: run it again",
            change.object.for_people()
        ))),
    }
}

async fn carry_out(bus: &Bus, preview: Preview, format: Lines) -> Result<(), Failure> {
    let mut appended = Appended::new(format, false);
    let withdrawn = preview.changes.iter();
    let withdrawn = withdrawn.filter(|change| change.document.is_none());
    let all = Announcement::of(withdrawn.map(|change| &change.object));
    for change in preview.changes {
        let answer = match &change.document {
            Some(document) => submit::apply(bus, &change.object, document).await?,
            None => submit::delete_together(bus, &change.object, &all).await?,
        };
        appended.tell(&change.object, answer, "done:", |revision| {
            let what = match change.to_revision {
                Some(revision) => format!("as revision {revision}"),
                None => "withdrawn".to_owned(),
            };
            format!("{what} is revision {revision}")
        })?;
    }
    appended.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(rows: &[(&str, u64, Option<u64>)]) -> Documents {
        let cluster = ClusterName::parse("c1").expect("valid");
        let row = |(name, revision, text): &(&str, u64, Option<u64>)| {
            let object: ObjectKey = format!("ConfigMap/shop/{name}").parse().expect("valid");
            DocumentRow {
                name: object.for_people(),
                object,
                revision: *revision,
                withdrawn: text.is_none(),
                document: text.map(|text| json!({"text": text})),
                clusters: text.map(|_| cluster.clone()).into_iter().collect(),
            }
        };
        serde_json::from_value(json!({
            "as_of": {"log": 1, "acks": {}, "time": "1970-01-01T00:00:00Z"},
            "objects": rows.iter().map(row).collect::<Vec<_>>(),
        }))
        .expect("documents")
    }

    /// `name action revision`, a line each, then what is left, how many are unchanged, and how many copies go.
    fn story(prune: bool) -> Vec<String> {
        let then = rows(&[
            ("same", 1, Some(1)),
            ("other", 2, Some(1)),
            ("back", 1, Some(1)),
            ("gone", 2, None),
        ]);
        let now = rows(&[
            ("same", 1, Some(1)),
            ("other", 5, Some(2)),
            ("back", 2, None),
            ("gone", 3, Some(1)),
            ("new", 1, Some(1)),
            ("over", 2, None),
        ]);
        let preview = decide(then, &now, prune);
        let mut story: Vec<String> = preview
            .changes
            .iter()
            .map(|change| {
                format!(
                    "{} {} {:?}",
                    change.object.name(),
                    change.action,
                    change.to_revision
                )
            })
            .collect();
        story.extend(
            preview
                .left
                .iter()
                .map(|object| format!("{} left", object.name())),
        );
        story.push(format!(
            "{} unchanged, {} deletes",
            preview.unchanged, preview.deletes
        ));
        story
    }

    #[test]
    fn what_was_declared_otherwise_is_handed_in_again_and_what_was_not_there_goes_only_if_asked() {
        assert_eq!(
            story(false),
            [
                "other apply Some(2)",
                "back apply Some(1)",
                "gone left",
                "new left",
                "2 unchanged, 0 deletes",
            ]
        );
        assert_eq!(
            story(true),
            [
                "other apply Some(2)",
                "back apply Some(1)",
                "gone withdraw None",
                "new withdraw None",
                "2 unchanged, 2 deletes",
            ]
        );
    }
}
