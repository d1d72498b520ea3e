//! `fleetcast auth renew | rotate | keys | retire`: keys and credentials that take the place of others while everything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fleetcast_auth::authority::{Authority, Issued, Key, Standing};
use fleetcast_auth::claims;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::{MAC, WORK_KEY};
use fleetcast_schemas::role::Role;
use fleetcast_schemas::subject::{self, Parsed};
use serde_json::{Value, json};

use crate::args::auth::{AuthRenewArgs, AuthRetireArgs, AuthRotateArgs};
use crate::args::ttl::Ttl;
use crate::args::{BusArgs, Document};
use crate::connection;
use crate::failure::Failure;
use crate::local_auth::now;
use crate::output::{self, Paint, Table, age};

/// How many are named at most.
const NAMED: usize = 10;

pub(super) fn renew(args: &AuthRenewArgs) -> Result<(), Failure> {
    let AuthRenewArgs { folder, files, ttl } = args;
    let mut authority = Authority::open(&folder.dir)?;
    let ttl_s = ttl.map(|ttl| match ttl {
        Ttl::For(ttl) => Some(ttl.as_secs().max(1)),
        Ttl::Never => None,
    });
    for file in files {
        let life = renew_file(&mut authority, file, ttl_s)?;
        output::print(&format!("{}: ends {life}\n", file.display()))?;
    }
    output::print("next: put each in its place; the processes that run take it up within seconds\n")
}

/// Renews one file in its place: when it ends.
fn renew_file(
    authority: &mut Authority,
    path: &Path,
    ttl_s: Option<Option<u64>>,
) -> Result<String, Failure> {
    let file = CredentialsFile::read(path).map_err(anyhow::Error::from)?;
    let renewed = authority.renew(&file, ttl_s, now())?;
    renewed.write(path).map_err(anyhow::Error::from)?;
    let ends = renewed.claims().map_or(0, |claims| claims.ends_at);
    Ok(match ends {
        0 => "never".to_owned(),
        ends => super::within(ends - now()),
    })
}

pub(super) async fn rotate(bus: &BusArgs, args: &AuthRotateArgs) -> Result<(), Failure> {
    let AuthRotateArgs {
        folder,
        keys,
        begin_in,
        keep,
    } = args;
    let mut authority = Authority::open(&folder.dir)?;
    let seconds = |time: &std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let now_s = now();
    let (from, until) = (
        now_s.saturating_add(seconds(begin_in)),
        now_s.saturating_add(seconds(keep)),
    );
    let made = authority.rotate(&keys.iter().copied().collect(), from, until, now_s)?;
    for rotation in &made {
        output::print(&format!(
            "{}: the newest is {}; {} counts beside it until it is retired, at most {}\n",
            rotation.key,
            rotation.newest,
            rotation.earlier,
            super::within(until - now_s),
        ))?;
    }
    let made: BTreeSet<Key> = made.iter().filter_map(|one| Key::of(&one.key)).collect();
    if made.iter().any(|key| matches!(key, Key::Signing(_))) {
        // Before anything that is signed with a new key is handed out.
        super::push(bus, &folder.dir, &authority).await?;
    }
    follow(&mut authority, &made)?;
    if made.contains(&Key::Work) {
        output::print(&format!(
            "agents get keys of the newest {}, and follow within minutes then\n",
            super::within(from - now_s)
        ))?;
    }
    output::print(&format!(
        "next: fleetcast auth keys --dir {dir}      who has not followed\n      fleetcast auth retire --dir {dir}    takes the earlier ones away\n",
        dir = folder.dir.display()
    ))
}

/// Renews what is behind in the folder itself, and names the rest.
fn follow(authority: &mut Authority, keys: &BTreeSet<Key>) -> Result<(), Failure> {
    let mut files = BTreeSet::new();
    let mut others = BTreeSet::new();
    for key in keys {
        for issued in authority.behind(*key, now())? {
            match file_of(authority, issued) {
                Some(path) => drop(files.insert(path)),
                None => drop(others.insert(format!("{} {}", issued.role, issued.name))),
            }
        }
    }
    for path in &files {
        renew_file(authority, path, None)?;
        output::print(&format!("renewed: {}\n", path.display()))?;
    }
    if !files.is_empty() {
        output::print("put these in their places, where they are not used as they stand here\n")?;
    }
    if !others.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        output::print(&format!(
            "still to be renewed, with `fleetcast auth renew FILE`: {}\n",
            named(&others)
        ))?;
    }
    Ok(())
}

/// The file in the folder that holds credentials, where it is there.
fn file_of(authority: &Authority, issued: &Issued) -> Option<PathBuf> {
    let path = authority.credentials_path(Role::of(&issued.role)?, &issued.name);
    let file = CredentialsFile::read(&path).ok()?;
    let user = claims::read_user(&file.jwt).ok()?;
    (user.sub == issued.public_key).then_some(path)
}

pub(super) fn keys(dir: &Path, document: Document) -> Result<(), Failure> {
    let authority = Authority::open(dir)?;
    let now = now();
    let mut rows = Vec::new();
    for key in Key::all() {
        let behind: Vec<String> = authority
            .behind(key, now)?
            .iter()
            .map(|issued| format!("{} {}", issued.role, issued.name))
            .collect();
        let rotations = authority.rotations().iter();
        let of_key: Vec<_> = rotations.filter(|one| one.key == key.word()).collect();
        let is_kept = of_key.iter().any(|one| one.counts(now));
        let since = of_key.last().map(|one| one.rotated_at);
        rows.push(json!({
            "key": key.word(), "id": authority.newest(key, now)?, "standing": "newest", "since": since,
            "not_followed": if is_kept { behind } else { Vec::new() },
        }));
        for one in of_key.iter().rev() {
            let standing = match (one.retired_at, one.counts(now)) {
                (Some(_), _) => "retired",
                (None, true) => "counts",
                (None, false) => "ended",
            };
            rows.push(json!({
                "key": key.word(), "id": one.earlier, "standing": standing, "replaced_at": one.rotated_at,
                "until": one.retired_at.unwrap_or(one.until),
            }));
        }
    }
    match document {
        Document::Json => output::print_json(&json!({"keys": rows})),
        Document::Yaml => output::print_yaml(&json!({"keys": rows})),
        Document::Table => output::print(&table(&rows, now)),
    }
}

fn table(rows: &[Value], now: i64) -> String {
    let paint = Paint::stdout();
    let mut table = Table::new(&["KEY", "ID", "STANDING", "SINCE", "NOT FOLLOWED"]);
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let since = row["since"]
            .as_i64()
            .or_else(|| row["replaced_at"].as_i64());
        let since = since.map_or_else(String::new, |at| age(Time(at * 1_000)) + " ago");
        let standing = match (row["standing"].as_str(), row["until"].as_i64()) {
            (Some("newest"), _) => paint.good("newest"),
            (Some("counts"), Some(until)) => format!("ends {}", super::within(until - now)),
            (standing, _) => paint.dim(standing.unwrap_or_default()),
        };
        let behind = row["not_followed"].as_array().into_iter().flatten();
        let behind: Vec<String> = behind
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        table.row(vec![
            text("key"),
            text("id"),
            standing,
            since,
            named(&behind),
        ]);
    }
    table.text("")
}

pub(super) async fn retire(bus: &BusArgs, args: &AuthRetireArgs) -> Result<(), Failure> {
    let AuthRetireArgs {
        folder,
        keys,
        force,
    } = args;
    let mut authority = Authority::open(&folder.dir)?;
    let now_s = now();
    let rotations = authority.rotations().iter();
    let kept = rotations.filter(|one| one.retired_at.is_none());
    let kept: BTreeSet<Key> = kept.filter_map(|one| Key::of(&one.key)).collect();
    let keys: BTreeSet<Key> = match keys.as_slice() {
        [] => kept,
        keys => keys.iter().copied().collect(),
    };
    if !force {
        refuse_before_all_followed(bus, &authority, &keys, now_s).await?;
    }
    let retired = authority.retire(&keys, now_s)?;
    for rotation in &retired {
        output::print(&format!(
            "{}: {} is retired\n",
            rotation.key, rotation.earlier
        ))?;
    }
    let retired: BTreeSet<Key> = retired.iter().filter_map(|one| Key::of(&one.key)).collect();
    // Ingest goes on taking what it holds until it has a file without it.
    for issued in authority.issued().to_vec() {
        let holds_them = issued.role == Role::Ingest.word()
            && (retired.contains(&Key::Work) || retired.contains(&Key::Signing(Role::Agent)));
        let counts = issued.standing(now_s) == Standing::Valid;
        if !(holds_them && counts) {
            continue;
        }
        match file_of(&authority, &issued) {
            Some(path) => {
                renew_file(&mut authority, &path, None)?;
                output::print(&format!("renewed: {}\n", path.display()))?;
            }
            None => output::print(&format!(
                "ingest {} takes the earlier key until its end, or until its file is renewed: fleetcast auth renew FILE\n",
                issued.name
            ))?,
        }
    }
    match retired.iter().any(|key| matches!(key, Key::Signing(_))) {
        true => super::push(bus, &folder.dir, &authority).await,
        false => Ok(()),
    }
}

/// Refuses while somebody would be shut out.
async fn refuse_before_all_followed(
    bus: &BusArgs,
    authority: &Authority,
    keys: &BTreeSet<Key>,
    now: i64,
) -> Result<(), Failure> {
    let mut behind = BTreeSet::new();
    for key in keys {
        for issued in authority.behind(*key, now)? {
            behind.insert(format!("{} {}", issued.role, issued.name));
        }
    }
    if keys.contains(&Key::Work) || keys.contains(&Key::Signing(Role::Agent)) {
        let connected = connection::connect(bus).await.map_err(|failure| match failure {
            Failure::Unreachable(why) => Failure::Unreachable(format!(
                "{why}\nwhich agents have followed is not known without their heartbeats; --force does without"
            )),
            failure => failure,
        })?;
        let newest = authority.newest(Key::Work, now)?;
        let heard = work_keys(&connected).await?;
        let agents = authority.issued().iter();
        let agents = agents.filter(|one| {
            let standing = one.standing(now);
            one.role == Role::Agent.word()
                && matches!(standing, Standing::Valid | Standing::Renewed)
        });
        for agent in agents {
            let has = heard.get(&agent.name);
            let is_newest =
                has.is_some_and(|id| id.split_once('-').map(|(of, _)| of) == Some(&*newest));
            if !is_newest {
                let why = if has.is_some() { "" } else { " (not heard)" };
                behind.insert(format!("agent {}{why}", agent.name));
            }
        }
    }
    if behind.is_empty() && keys.contains(&Key::Work) {
        return refuse_before_work_is_signed_anew(bus, authority, now).await;
    }
    if behind.is_empty() {
        return Ok(());
    }
    let behind: Vec<String> = behind.into_iter().collect();
    Err(Failure::Refused(format!(
        "{} would be shut out, having not followed yet: {}\nagents follow by themselves within minutes, others by `fleetcast auth renew FILE`; --force shuts them out",
        behind.len(),
        named(&behind)
    )))
}

/// Refuses while work stands there that an earlier master key signed: nobody could hold it against anything any more.
async fn refuse_before_work_is_signed_anew(
    bus: &BusArgs,
    authority: &Authority,
    now: i64,
) -> Result<(), Failure> {
    let bus = connection::connect(bus).await?;
    let newest = authority.newest(Key::Work, now)?;
    let mut count = 0_u64;
    for partition in 0..authority.partitions() {
        let part = Part {
            headers_only: true,
            ..Part::default()
        };
        let mut items = bus.range(&streams::work(partition), part).await?;
        while let Some(item) = items.next().await? {
            let mac = item.stored.message.headers.get(MAC);
            let id = mac.and_then(|mac| mac.split_once('-'));
            count += u64::from(id.is_some_and(|(master, _)| master != newest));
        }
    }
    match count {
        0 => Ok(()),
        count => Err(Failure::Refused(format!(
            "{count} items of work are signed with earlier keys, and could not be handed to an agent that asks for all of its work; next: fleetcast replay --rebuild work, then again (no member sees a write)"
        ))),
    }
}

/// Which work key each agent has, as it said last.
async fn work_keys(bus: &Bus) -> Result<BTreeMap<String, String>, Failure> {
    let heartbeats = bus
        .newest_of_all(streams::HEARTBEAT, subject::HEARTBEATS, None, None)
        .await?;
    let told = heartbeats.messages.into_iter().filter_map(|stored| {
        let Some(Parsed::Heartbeat(lane)) = subject::parse(&stored.message.subject) else {
            return None;
        };
        let key = stored.message.headers.get(WORK_KEY)?.to_owned();
        Some((lane.cluster.as_str().to_owned(), key))
    });
    Ok(told.collect())
}

/// `ingest a, ingest b and 3 more`.
fn named(all: &[String]) -> String {
    match all.len().saturating_sub(NAMED) {
        0 => all.join(", "),
        more => format!("{} and {more} more", all[..NAMED].join(", ")),
    }
}
