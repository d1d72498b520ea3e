//! `fleetcast auth token`: who may ask over HTTP.

use std::path::Path;

use fleetcast_core::time::Time;
use fleetcast_endpoint::tokens::{self, Token, Tokens};
use fleetcast_schemas::envelope::format_time;
use serde_json::{Value, json};

use crate::args::Document;
use crate::args::http::{TokenCommand, TokenIssueArgs};
use crate::args::limits::PublisherLimits;
use crate::args::ttl::Ttl;
use crate::failure::Failure;
use crate::output::{self, Paint, Table};

pub(crate) fn run(command: &TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Issue(args) => issue(args),
        TokenCommand::List { file, output } => list(&file.file, *output),
        TokenCommand::Revoke { file, name } => {
            let gone = tokens::remove(&file.file, name).map_err(failed(&file.file))?;
            if gone == 0 {
                return Err(Failure::Refused(format!(
                    "{name} has no token in {}: `fleetcast auth token list` shows who has",
                    file.file.display()
                )));
            }
            let many = if gone == 1 { "token" } else { "tokens" };
            output::print(&format!(
                "{gone} {many} of {name} taken out of {}\n",
                file.file.display()
            ))
        }
    }
}

fn failed(path: &Path) -> impl Fn(String) -> Failure {
    let path = path.display().to_string();
    move |why| Failure::Refused(format!("the tokens in {path}: {why}"))
}

fn issue(args: &TokenIssueArgs) -> Result<(), Failure> {
    let TokenIssueArgs {
        file,
        name,
        role,
        limits,
        ttl,
    } = args;
    let PublisherLimits { kinds, namespaces } = limits;
    let path = &file.file;
    let (secret, hash) = tokens::mint().map_err(Failure::Refused)?;
    let now = fleetcast_bus::now();
    let token = Token {
        name: name.clone(),
        role: *role,
        hash,
        kinds: kinds.clone(),
        namespaces: namespaces.clone(),
        until: match ttl {
            Ttl::For(ttl) => {
                Some(now.plus_ms(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4)))
            }
            Ttl::Never => None,
        },
    };
    tokens::add(path, &token).map_err(failed(path))?;
    let ends = token.until.map_or_else(|| "never".to_owned(), format_time);
    eprintln!(
        "{} {name}: its hash is in {} (ends {ends}); the token is told only here\nnext: fleetcast ingest --http 127.0.0.1:8480 --http-tokens {}",
        role.word(),
        path.display(),
        path.display()
    );
    output::print(&format!("{secret}\n"))
}

fn list(path: &Path, document: Document) -> Result<(), Failure> {
    let tokens = tokens::read(path).map_err(failed(path))?;
    let now = fleetcast_bus::now();
    match document {
        Document::Json => output::print_json(&json!({"tokens": rows(&tokens, now)})),
        Document::Yaml => output::print_yaml(&json!({"tokens": rows(&tokens, now)})),
        Document::Table if tokens.iter().next().is_none() => output::print(&format!(
            "there is no token in {}; next: fleetcast auth token issue NAME\n",
            path.display()
        )),
        Document::Table => output::print(&table(&tokens, now)),
    }
}

fn standing(token: &Token, now: Time) -> &'static str {
    if token.counts(now) { "valid" } else { "ended" }
}

fn rows(tokens: &Tokens, now: Time) -> Vec<Value> {
    let row = |token: &Token| {
        json!({
            "name": token.name, "role": token.role.word(), "standing": standing(token, now), "sha256": token.hash,
            "kinds": token.kinds, "namespaces": token.namespaces, "until": token.until.map(format_time),
        })
    };
    tokens.iter().map(row).collect()
}

fn table(tokens: &Tokens, now: Time) -> String {
    let paint = Paint::stdout();
    let mut table = Table::new(&["NAME", "ROLE", "STANDING", "ENDS", "HASH", "LIMITED TO"]);
    for token in tokens.iter() {
        let standing = standing(token, now);
        let limits = [token.kinds.join(","), token.namespaces.join(",")];
        table.row(vec![
            token.name.clone(),
            token.role.word().to_owned(),
            match token.counts(now) {
                true => paint.good(standing),
                false => paint.bad(standing),
            },
            token.until.map_or_else(|| "never".to_owned(), format_time),
            token.hash.chars().take(12).collect(),
            limits.join(" ").trim().to_owned(),
        ]);
    }
    table.text("")
}
