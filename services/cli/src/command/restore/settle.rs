//! `fleetcast restore --ahead | --take-members | --reapply`: what clusters hold newer than the restored log is listed and settled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::ahead::{Ahead, AheadObject};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::Refusal;
use fleetcast_core::ahead::{self, Manifests};
use fleetcast_core::dialect::karmada;
use fleetcast_core::diff::{self, Difference};
use fleetcast_core::history;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::planning::{Document, Planning};
use fleetcast_ingest::documents;
use serde::Serialize;
use serde_json::Value;

use crate::args::{Lines, RestoreArgs};
use crate::command::appended::Appended;
use crate::command::confirm;
use crate::command::plan::compare::Live;
use crate::command::plan::fields::Held;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::{select, submit};

/// Between two looks at whether the clusters have answered.
const LOOK: Duration = Duration::from_millis(500);
/// How many objects, and fields of one object, a person is shown.
const SHOWN: usize = 40;

/// How what is ahead is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum How {
    /// It is only listed.
    List,
    /// The log takes over what the clusters hold.
    TakeMembers,
    /// What the log says is written over it.
    Reapply,
}

impl How {
    /// What was asked for; none where nothing was.
    pub(super) fn of(args: &RestoreArgs) -> Option<Self> {
        match (args.ahead, args.take_members, args.reapply) {
            (true, _, _) => Some(Self::List),
            (_, true, _) => Some(Self::TakeMembers),
            (_, _, true) => Some(Self::Reapply),
            (false, false, false) => None,
        }
    }
}

/// What settling comes to.
#[derive(Debug, Serialize)]
struct Preview {
    how: How,
    objects: Vec<Settled>,
    /// How many copies of which cluster are not answered for yet.
    open: BTreeMap<ClusterName, u64>,
}

/// What becomes of one object.
#[derive(Debug, Serialize)]
struct Settled {
    object: ObjectKey,
    revision: u64,
    withdrawn: bool,
    clusters: Vec<Copy>,
    /// What changes: of the document where members are taken, of the copies where the log is applied again.
    changes: Vec<Difference>,
    /// Why it cannot be settled so.
    refusal: Option<Refusal>,
    #[serde(skip)]
    orphan: bool,
    #[serde(skip)]
    document: Option<Value>,
}

/// One copy that is ahead.
#[derive(Debug, Serialize)]
struct Copy {
    cluster: ClusterName,
    message: String,
}

/// Lists what is ahead, and settles it as asked.
pub(super) async fn settle(bus: &Bus, how: How, args: &RestoreArgs) -> Result<(), Failure> {
    let ahead = answered(bus, args).await?;
    let mut preview = decide(bus, how, ahead).await?;
    tell(&preview, args.output)?;
    if how == How::List || preview.objects.is_empty() {
        return Ok(());
    }
    if !args.yes && !confirm::agreed("settle it so?")? {
        return Err(Failure::Refused(
            "nothing is changed; to settle it without being asked, say --yes".to_owned(),
        ));
    }
    let left = preview.objects.extract_if(.., |one| one.refusal.is_some());
    let refused = left.count() > 0;
    carry_out(bus, preview, args.output, refused).await
}

/// What is ahead, once the view answers and every cluster has said what it holds, or patience is at an end.
async fn answered(bus: &Bus, args: &RestoreArgs) -> Result<Ahead, Failure> {
    let request = Request {
        cluster: args.cluster.clone(),
        ..Request::default()
    };
    let object = match &args.object {
        Some(text) => Some(select::one(bus, text, &Request::default()).await?),
        None => None,
    };
    let begin = Instant::now();
    // Who restores at the same time has to start everything first.
    let patience = match args.directory {
        Some(_) => args.timeout,
        None => Duration::ZERO,
    };
    let mut told = false;
    loop {
        let answer = client::query::<Ahead>(bus, "ahead", object.as_ref(), &request).await;
        let is_known = answer.as_ref().is_ok_and(|ahead| {
            let untold = |one: &AheadObject| one.clusters.iter().any(|copy| copy.held.is_none());
            ahead.open.is_empty() && !ahead.objects.iter().any(untold)
        });
        if is_known || begin.elapsed() >= patience {
            return Ok(answer?);
        }
        if !told && begin.elapsed() > Duration::from_secs(2) {
            told = true;
            eprintln!(
                "waiting for ingest, aggregator and the agents, {} s at most",
                patience.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn decide(bus: &Bus, how: How, ahead: Ahead) -> Result<Preview, Failure> {
    let live = Live::read(bus).await?;
    let policies = Held::read(bus, Vec::new()).await?;
    let render = |document: &Value| render(document, &live, &policies);
    let objects = ahead.objects.into_iter().map(|one| {
        let mut settled = Settled {
            object: one.object.clone(),
            revision: one.revision,
            withdrawn: one.withdrawn,
            orphan: one.orphan,
            clusters: Vec::new(),
            changes: Vec::new(),
            refusal: None,
            document: None,
        };
        let outcome = match how {
            How::List => Ok(()),
            How::TakeMembers => take(&one, &mut settled, render),
            How::Reapply => reapply(&one, &mut settled, render),
        };
        settled.refusal = outcome.err();
        history::hide_secrets(&one.object, &mut settled.changes);
        let copies = one.clusters.into_iter().map(|copy| Copy {
            cluster: copy.cluster,
            message: copy.message,
        });
        settled.clusters = copies.collect();
        settled
    });
    Ok(Preview {
        how,
        objects: objects.collect(),
        open: ahead.open,
    })
}

/// The document that says what the clusters hold.
fn take(
    one: &AheadObject,
    settled: &mut Settled,
    render: impl Fn(&Value) -> Result<Manifests, Refusal>,
) -> Result<(), Refusal> {
    let document = one
        .document
        .as_ref()
        .ok_or_else(|| Refusal::new("", "the log knows no document of it"))?;
    let mut held = BTreeMap::new();
    for copy in &one.clusters {
        let manifest = copy.held.clone().ok_or_else(|| {
            let why = format!(
                "{} has not told what it holds: its agent is away, or it is over {} KiB",
                copy.cluster,
                fleetcast_core::ack::HELD_LIMIT / 1024
            );
            Refusal::new("", why)
        })?;
        held.insert(copy.cluster.clone(), manifest);
    }
    let taken = ahead::take(document, &held, render)?;
    settled.changes = diff::fields(document, &taken);
    settled.document = Some(taken);
    Ok(())
}

/// The log's own document, with what that overwrites in the first cluster.
fn reapply(
    one: &AheadObject,
    settled: &mut Settled,
    render: impl Fn(&Value) -> Result<Manifests, Refusal>,
) -> Result<(), Refusal> {
    if one.withdrawn {
        return Ok(());
    }
    settled.document = one.document.clone();
    let rendered = match &one.document {
        Some(document) => render(document).unwrap_or_default(),
        None => Manifests::default(),
    };
    let differs = |copy: &fleetcast_aggregator::answer::ahead::AheadCopy| {
        Some(diff::fields(
            copy.held.as_ref()?,
            rendered.get(&copy.cluster)?,
        ))
    };
    settled.changes = one
        .clusters
        .iter()
        .filter_map(differs)
        .find(|changes| !changes.is_empty())
        .unwrap_or_default();
    Ok(())
}

/// What a document comes to in the live fleet, with the policies in the log.
fn render(document: &Value, live: &Live, policies: &Held) -> Result<Manifests, Refusal> {
    let all = std::iter::once(document).chain(policies.policies(|_| false));
    let all: Vec<Document> = all
        .enumerate()
        .map(|(index, value)| Document {
            file: "restore".to_owned(),
            index,
            value: Ok(value.clone()),
        })
        .collect();
    let observed = live.observed();
    let set = karmada::Set::with_yaml(documents::yaml_in_text);
    let planning = Planning::new(&all, live.fleet(), &observed, set);
    if let Some(refused) = planning.refusals().iter().find(|one| one.document == 0) {
        return Err(Refusal::new(refused.field.clone(), refused.message.clone()));
    }
    let Some(row) = planning.rows().next() else {
        return Err(Refusal::new("", "its document declares nothing"));
    };
    match row.refusal {
        Some(refusal) => Err(refusal),
        None => {
            let planned = row.clusters.into_iter();
            Ok(planned.map(|one| (one.cluster, one.manifest)).collect())
        }
    }
}

fn tell(preview: &Preview, format: Lines) -> Result<(), Failure> {
    if format == Lines::Json {
        return output::print_json_line(preview);
    }
    let paint = Paint::stdout();
    let mut text = String::new();
    for one in preview.objects.iter().take(SHOWN) {
        let log = match one.withdrawn {
            true => format!("withdrawn in revision {}", one.revision),
            false => format!("revision {}", one.revision),
        };
        text += &format!(
            "{}   the log has {log}\n",
            paint.bold(&one.object.for_people())
        );
        for copy in &one.clusters {
            let cluster = paint.bad(copy.cluster.as_str());
            text += &format!("  {cluster}: {}\n", copy.message);
        }
        for change in one.changes.iter().take(SHOWN) {
            text += &format!("    {}\n", line(change, paint));
        }
        if one.changes.len() > SHOWN {
            text += &format!("    … and {} more fields\n", one.changes.len() - SHOWN);
        }
        if let Some(refusal) = &one.refusal {
            text += &format!("  {} {}\n", paint.bad("not settled so:"), refusal.message);
        }
    }
    if preview.objects.len() > SHOWN {
        let more = preview.objects.len() - SHOWN;
        text += &format!("… and {more} more (-o json has all)\n");
    }
    text += &match preview.objects.len() {
        0 => "nothing is ahead\n".to_owned(),
        count => format!("{count} objects are ahead of the log\n"),
    };
    for (cluster, open) in preview.open.iter().take(SHOWN) {
        let line = format!(
            "{cluster} has not answered about {open} copies: what it holds is not known yet"
        );
        text += &format!("{}\n", paint.waiting(&line));
    }
    if preview.how == How::List && !preview.objects.is_empty() {
        text += "next: fleetcast restore --take-members to keep what the clusters hold, or --reapply to write what the log says over it\n";
    }
    output::print(&text)
}

fn line(difference: &Difference, paint: Paint) -> String {
    let Difference { field, from, to } = difference;
    output::difference(field, from.as_ref(), to.as_ref(), paint)
}

async fn carry_out(
    bus: &Bus,
    preview: Preview,
    format: Lines,
    refused: bool,
) -> Result<(), Failure> {
    let mut appended = Appended::new(format, refused);
    for one in preview.objects {
        let answer = match &one.document {
            Some(document) => submit::apply_anew(bus, &one.object, document).await?,
            None => submit::delete_anew(bus, &one.object, one.orphan).await?,
        };
        appended.tell(&one.object, answer, "settled:", |revision| {
            format!("revision {revision}")
        })?;
    }
    appended.end()
}
