//! `fleetcast tls`: a certificate authority for a fleet that has none.

use std::path::Path;

use fleetcast_auth::certificates::Certificates;
use fleetcast_bus::tls::ServerTls;
use fleetcast_core::time::Time;
use serde_json::{Value, json};

use crate::args::Document;
use crate::args::tls::{TlsCommand, TlsIssueArgs};
use crate::failure::Failure;
use crate::local_auth::now;
use crate::output::{self, Paint, Table, age};

const DAY_S: i64 = 24 * 60 * 60;

pub(crate) fn run(command: &TlsCommand) -> Result<(), Failure> {
    match command {
        TlsCommand::Init { folder } => init(&folder.dir),
        TlsCommand::Issue(args) => issue(args),
        TlsCommand::List { folder, output } => list(&folder.dir, *output),
        TlsCommand::NatsConf {
            folder,
            name,
            at,
            mutual,
        } => nats_conf(&folder.dir, name, at.as_deref(), *mutual),
    }
}

fn init(dir: &Path) -> Result<(), Failure> {
    let made = Certificates::init(dir, now())?;
    output::print(&format!(
        "the certificate authority is in {dir}: keep ca.key where nobody else reads it\n\
         whoever connects needs {}: --tls-ca\n\
         next:\n  fleetcast tls issue nats --host HOST,… --dir {dir}\n",
        made.authority().display(),
        dir = dir.display(),
    ))
}

fn issue(args: &TlsIssueArgs) -> Result<(), Failure> {
    let TlsIssueArgs {
        folder,
        name,
        hosts,
        ttl,
        init,
    } = args;
    let mut authority = match init {
        true => Certificates::open_or_init(&folder.dir, now())?,
        false => Certificates::open(&folder.dir)?,
    };
    let is_new = !authority.issued().contains_key(name);
    let ttl_s = ttl.as_secs().max(1);
    let issued = authority.issue(name, hosts, ttl_s, now())?.clone();
    let next = match (is_new, issued.hosts.is_empty()) {
        (_, true) => format!(
            "fleetcast get --tls-ca {} --tls-cert {} --tls-key {}",
            authority.authority().display(),
            authority.certificate(name).display(),
            authority.key(name).display()
        ),
        (true, false) => format!(
            "fleetcast tls nats-conf {name} --dir {dir} > nats-tls.conf, or fleetcast ingest --http-tls-cert {dir}/{name}.crt --http-tls-key {dir}/{name}.key …",
            dir = folder.dir.display()
        ),
        (false, false) => {
            "kill -HUP the NATS servers that use it; services of Fleetcast read it by themselves"
                .to_owned()
        }
    };
    output::print(&format!(
        "{name}: {} {} (ends {}{})\nnext: {next}\n",
        authority.certificate(name).display(),
        authority.key(name).display(),
        left(issued.ends_at, now()),
        match issued.hosts.as_slice() {
            [] => String::new(),
            hosts => format!(", for {}", hosts.join(", ")),
        },
    ))
}

/// When something ends, in words.
fn left(ends_at: i64, now: i64) -> String {
    match ends_at - now {
        left if left <= 0 => age(Time(ends_at * 1_000)) + " ago",
        left if left < 2 * DAY_S => format!("in {} hours", (left + 1_800) / 3_600),
        left => format!("in {} days", (left + DAY_S / 2) / DAY_S),
    }
}

fn list(dir: &Path, document: Document) -> Result<(), Failure> {
    let authority = Certificates::open(dir)?;
    let issued = authority.issued();
    let all = || -> Vec<Value> {
        let rows = issued.iter().map(|(name, issued)| {
            let mut row = json!(issued);
            row["name"] = json!(name);
            row["certificate"] = json!(authority.certificate(name));
            row["ends_soon"] = json!(issued.ends_soon(now()));
            row
        });
        rows.collect()
    };
    let of_authority = authority.span(now());
    let whole = || {
        json!({
            "certificates": all(),
            "authority": of_authority.map(|span| json!({
                "certificate": authority.authority(), "ends_at": span.ends_at, "ends_soon": span.ends_soon(now()),
            })),
        })
    };
    match document {
        Document::Json => output::print_json(&whole()),
        Document::Yaml => output::print_yaml(&whole()),
        Document::Table if issued.is_empty() => {
            output::print("nothing was issued yet; next: fleetcast tls issue NAME --host HOST,…\n")
        }
        Document::Table => {
            let (paint, now) = (Paint::stdout(), now());
            let shown = |ends: String, is_soon: bool| match is_soon {
                true => paint.bad(&format!("{ends}, soon")),
                false => ends,
            };
            let mut table = Table::new(&["NAME", "ISSUED", "ENDS", "FOR"]);
            if let Some(span) = of_authority {
                let at = age(Time(span.begins_at * 1_000)) + " ago";
                let ends = shown(left(span.ends_at, now), span.ends_soon(now));
                table.row(vec![
                    "ca".to_owned(),
                    at,
                    ends,
                    "the authority itself".to_owned(),
                ]);
            }
            for (name, issued) in issued {
                let ends = shown(left(issued.ends_at, now), issued.ends_soon(now));
                let at = age(Time(issued.issued_at * 1_000)) + " ago";
                table.row(vec![name.clone(), at, ends, issued.hosts.join(",")]);
            }
            output::print(&table.text(""))
        }
    }
}

fn nats_conf(dir: &Path, name: &str, at: Option<&Path>, mutual: bool) -> Result<(), Failure> {
    let authority = Certificates::open(dir)?;
    if !authority.issued().contains_key(name) {
        return Err(Failure::Refused(format!(
            "{name} was not issued; next: fleetcast tls issue {name} --host HOST,… --dir {}",
            dir.display()
        )));
    }
    let at = match at {
        Some(at) => at.to_owned(),
        None => dir.canonicalize()?,
    };
    let files = ServerTls {
        cert: at.join(format!("{name}.crt")),
        key: at.join(format!("{name}.key")),
        client_ca: mutual.then(|| at.join("ca.crt")),
    };
    output::print(&format!(
        "# TLS from the first byte. Written by `fleetcast tls nats-conf`; in the server's own configuration: include \"nats-tls.conf\"\n{}",
        files.block()
    ))
}
