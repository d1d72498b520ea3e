//! `fleetcast auth`: the operator of the bus, and the credentials that it issues.

mod rotate;
mod token;

use std::path::Path;
use std::time::Duration;

use fleetcast_auth::authority::{Authority, Issue, Issued, PUSH, Standing};
use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_core::time::Time;
use fleetcast_schemas::role::Role;
use fleetcast_schemas::{Headers, Message};
use serde_json::{Value, json};

use crate::args::auth::{AuthCommand, AuthInitArgs, AuthIssueArgs};
use crate::args::limits::PublisherLimits;
use crate::args::ttl::Ttl;
use crate::args::{BusArgs, Document};
use crate::connection;
use crate::failure::Failure;
use crate::local_auth::now;
use crate::output::{self, Paint, Table, age};

const DAY_S: u64 = 24 * 60 * 60;
/// How long an agent's credentials count: it renews them when half of that is over.
const AGENT_TTL_S: u64 = 30 * DAY_S;
/// How long others count, which nobody renews by himself.
const TTL_S: u64 = 365 * DAY_S;
/// How long the servers may take to say that they have the account.
const PUSHING: Duration = Duration::from_secs(5);

pub(crate) async fn run(bus: &BusArgs, command: &AuthCommand) -> Result<(), Failure> {
    match command {
        AuthCommand::Init(args) => init(args),
        AuthCommand::Issue(args) => issue(args),
        AuthCommand::List { folder, output } => list(&folder.dir, *output),
        AuthCommand::Revoke { folder, name, role } => {
            let mut authority = Authority::open(&folder.dir)?;
            let revoked = authority.revoke(name, *role, now())?;
            let many = if revoked == 1 {
                "credential"
            } else {
                "credentials"
            };
            output::print(&format!("{revoked} {many} of {name} revoked\n"))?;
            push(bus, &folder.dir, &authority).await
        }
        AuthCommand::Renew(args) => rotate::renew(args),
        AuthCommand::Rotate(args) => rotate::rotate(bus, args).await,
        AuthCommand::Keys { folder, output } => rotate::keys(&folder.dir, *output),
        AuthCommand::Retire(args) => rotate::retire(bus, args).await,
        AuthCommand::Token(command) => token::run(command),
        AuthCommand::Push { folder } => {
            let authority = Authority::open(&folder.dir)?;
            push(bus, &folder.dir, &authority).await
        }
    }
}

fn init(args: &AuthInitArgs) -> Result<(), Failure> {
    let AuthInitArgs {
        folder,
        name,
        partitions,
    } = args;
    let dir = &folder.dir;
    let authority = Authority::init(dir, name, *partitions, now())?;
    output::print(&format!(
        "operator {name} is in {}: keep it where nobody else reads it\n\
         the NATS servers need {}; include it in their configuration, and nats-tls.conf of `fleetcast tls` beside it (docs/operating.md)\n\
         next:\n  fleetcast auth issue ingest a --dir {dir}\n  fleetcast auth issue aggregator a --dir {dir}\n  fleetcast auth issue operator me --dir {dir}\n",
        dir.display(),
        authority.server_configuration().display(),
        dir = dir.display(),
    ))
}

fn issue(args: &AuthIssueArgs) -> Result<(), Failure> {
    let AuthIssueArgs {
        folder,
        role,
        name,
        ttl,
        limits,
        out,
    } = args;
    let PublisherLimits { kinds, namespaces } = limits;
    let mut authority = Authority::open(&folder.dir)?;
    let issue = Issue {
        role: *role,
        name: name.clone(),
        ttl_s: ttl_s(*role, *ttl),
        kinds: kinds.clone(),
        namespaces: namespaces.clone(),
    };
    let path = out
        .clone()
        .unwrap_or_else(|| authority.credentials_path(*role, name));
    if path.exists() {
        return Err(Failure::Refused(format!(
            "{} is there already; name another file with --out, or take it away",
            path.display()
        )));
    }
    let credentials = authority.issue(&issue, now())?;
    credentials.write(&path).map_err(anyhow::Error::from)?;
    output::print(&format!(
        "{} {name}: {} ({})\nnext: {}\n",
        role.word(),
        path.display(),
        life(&issue),
        next(*role, name, &path, authority.issued().last()),
    ))
}

/// When credentials end, and who renews them.
pub(crate) fn life(issue: &Issue) -> String {
    let ends = match issue.ttl_s {
        None => "never".to_owned(),
        Some(ttl) if ttl < 7_200 => format!("in {ttl} s"),
        Some(ttl) if ttl < 2 * DAY_S => format!("in {} hours", ttl / 3_600),
        Some(ttl) => format!("in {} days", ttl / DAY_S),
    };
    match issue.role {
        Role::Agent if issue.ttl_s.is_some() => format!("end {ends}, renewed by the agent"),
        _ => format!("end {ends}"),
    }
}

pub(crate) fn ttl_s(role: Role, ttl: Option<Ttl>) -> Option<u64> {
    match ttl {
        Some(Ttl::For(ttl)) => Some(ttl.as_secs().max(1)),
        Some(Ttl::Never) => None,
        None if role == Role::Agent => Some(AGENT_TTL_S),
        None => Some(TTL_S),
    }
}

fn next(role: Role, name: &str, path: &Path, issued: Option<&Issued>) -> String {
    let path = path.display();
    match role {
        Role::Agent => {
            let key = issued.and_then(|issued| issued.sealing_key.as_deref());
            format!(
                "fleetcast cluster register {name} --sealing-key {}\n      fleetcast agent --cluster {name} --creds {path}",
                key.unwrap_or_default()
            )
        }
        Role::Ingest => format!("fleetcast ingest --creds {path}"),
        Role::Aggregator => format!("fleetcast aggregator --creds {path}"),
        Role::Publisher => format!("fleetcast apply -f FILE --creds {path}"),
        Role::Reader => format!("fleetcast get --creds {path}"),
        Role::Operator => format!("fleetcast events --creds {path}"),
    }
}

fn list(dir: &Path, document: Document) -> Result<(), Failure> {
    let authority = Authority::open(dir)?;
    let now = now();
    let all: Vec<Value> = authority
        .issued()
        .iter()
        .map(|issued| row(issued, now))
        .collect();
    match document {
        Document::Json => output::print_json(&json!({"credentials": all})),
        Document::Yaml => output::print_yaml(&json!({"credentials": all})),
        Document::Table if all.is_empty() => {
            output::print("nothing was issued yet; next: fleetcast auth issue ROLE NAME\n")
        }
        Document::Table => output::print(&table(authority.issued(), now)),
    }
}

fn row(issued: &Issued, now: i64) -> Value {
    let mut row = json!(issued);
    row["standing"] = json!(issued.standing(now).word());
    row["ends_soon"] = json!(issued.ends_soon(now));
    row
}

fn table(issued: &[Issued], now: i64) -> String {
    let paint = Paint::stdout();
    let mut table = Table::new(&["ROLE", "NAME", "STANDING", "ISSUED", "ENDS", "LIMITED TO"]);
    for issued in issued {
        let standing = issued.standing(now);
        let standing = match standing {
            Standing::Valid => paint.good(standing.word()),
            Standing::Revoked | Standing::Ended => paint.bad(standing.word()),
            Standing::Renewed => paint.dim(standing.word()),
        };
        let ends = match issued.ends_at {
            None => "never".to_owned(),
            Some(ends) if ends <= now => age(Time(ends * 1_000)) + " ago",
            Some(ends) => {
                let ends = within(ends - now);
                match issued.ends_soon(now) {
                    true => paint.bad(&format!("{ends}, soon")),
                    false => ends,
                }
            }
        };
        let limits = [issued.kinds.join(","), issued.namespaces.join(",")];
        table.row(vec![
            issued.role.clone(),
            issued.name.clone(),
            standing,
            age(Time(issued.issued_at * 1_000)) + " ago",
            ends,
            limits.join(" ").trim().to_owned(),
        ]);
    }
    table.text("")
}

/// So many seconds from now, in words.
pub(crate) fn within(seconds: i64) -> String {
    match seconds {
        less if less < 120 => format!("in {less} s"),
        less if less < 2 * 3_600 => format!("in {} minutes", less / 60),
        less if less < 2 * 86_400 => format!("in {} hours", less / 3_600),
        more => format!("in {} days", more / 86_400),
    }
}

/// Tells the servers what counts now, and says so.
async fn push(bus: &BusArgs, dir: &Path, authority: &Authority) -> Result<(), Failure> {
    tell_servers(bus, dir, authority).await?;
    output::print("the NATS servers know it\n")
}

/// Tells the servers what counts now.
pub(crate) async fn tell_servers(
    bus: &BusArgs,
    dir: &Path,
    authority: &Authority,
) -> Result<(), Failure> {
    let told = push_to(connection::options(bus, "auth"), authority).await;
    match told {
        Ok(()) => Ok(()),
        Err(Failure::Unreachable(why)) => Err(Failure::Unreachable(format!(
            "{why}\nit is written down; next, when the servers can be reached: fleetcast auth push --dir {} --nats URL",
            dir.display()
        ))),
        Err(failure) => Err(failure),
    }
}

async fn push_to(connect: Connect, authority: &Authority) -> Result<(), Failure> {
    let connect = Connect {
        credentials: Credentials::File(authority.system_credentials()),
        timeout: PUSHING,
        ..connect
    };
    let bus = Bus::connect(&connect).await?;
    let message = Message {
        subject: PUSH.to_owned(),
        headers: Headers::default(),
        payload: authority.account_jwt(now())?.into_bytes(),
    };
    let answer = bus.request(message, 64 * 1024, PUSHING).await?;
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    match answer["data"]["code"].as_i64() {
        Some(200) => Ok(()),
        _ => Err(Failure::Refused(format!(
            "the NATS server does not take the account: {answer}"
        ))),
    }
}

impl From<fleetcast_auth::Error> for Failure {
    fn from(error: fleetcast_auth::Error) -> Self {
        Self::Refused(error.to_string())
    }
}
