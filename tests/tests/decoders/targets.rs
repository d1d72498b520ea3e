//! The decoders, each as a function from bytes to whether they were accepted.

use std::borrow::Cow;

use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::parts::Assembler;
use fleetcast_bus::{backup, base, checkpoint};
use fleetcast_core::audit::Audit;
use fleetcast_core::digest;
use fleetcast_core::fold::View;
use fleetcast_core::hub::Logged;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::sealed::Sealed;
use fleetcast_endpoint::tokens::Tokens;
use fleetcast_ingest::{Answered, State};
use fleetcast_schemas::request::{Answer, Renewal, SyncAsk};
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{Headers, Message, codec, event};

use serde_json::json;

use super::seeds::{self, OPENS, SEALED_OWNER, Seeds};

/// A decoder.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it accepts bytes.
    pub(crate) accepts: fn(&[u8]) -> bool,
    /// Inputs that it accepts.
    pub(crate) seeds: Seeds,
    /// How much memory one input may take at once, bytes.
    pub(crate) memory: usize,
}

const MIB: usize = 1024 * 1024;

/// What most may take for 64 KiB of input: what a body may be when it is decompressed, read as a document, a few times over.
const USUAL: usize = 48 * MIB;

const fn target(name: &'static str, accepts: fn(&[u8]) -> bool, seeds: Seeds) -> Target {
    Target {
        name,
        accepts,
        seeds,
        memory: USUAL,
    }
}

/// Every decoder that meets the network, or a file that others write.
pub(crate) const TARGETS: &[Target] = &[
    target("log_events", log_event, seeds::log_events),
    target(
        "acknowledgements",
        acknowledgements,
        seeds::acknowledgements,
    ),
    target("work", work, seeds::work),
    target("fences", fence, seeds::fences),
    target("heartbeats", heartbeat, seeds::heartbeats),
    target("confirmations", confirmation, seeds::confirmations),
    target("replays", replay, seeds::replays),
    target("dead_letters", dead_letter, seeds::dead_letters),
    target("bases", base_head, seeds::bases),
    target("subjects", subject_or_object, seeds::subjects),
    target("parts", parts, seeds::parts),
    target("handed_in", handed_in, seeds::handed_in),
    target("http_json", http_json, seeds::json_documents),
    target("http_yaml", http_yaml, seeds::yaml_documents),
    target("http_cloud_events", http_cloud_event, seeds::cloud_events),
    target("sync_requests", sync_request, seeds::sync_requests),
    target("sync_answers", sync_answer, seeds::sync_answers),
    target("questions", question, seeds::questions),
    target("answers", answer, seeds::answers),
    target("receipts", receipt, seeds::receipts),
    target("renewals", renewal, seeds::renewals),
    target("documents", documents, seeds::files),
    target("tokens", tokens, seeds::tokens),
    target("credentials", credentials, seeds::credentials),
    target("claims", claims, seeds::claims),
    Target {
        // A segment may be as large as 256 MiB when it is decompressed, and its records stand beside that.
        memory: 640 * MIB,
        ..target("backup_segments", segment, seeds::backup_segments)
    },
    target("sealed_texts", sealed_text, seeds::sealed_texts),
    target("sealed_documents", sealed_document, seeds::sealed_documents),
    target("base_sections", base_section, seeds::folded),
    target("checkpoints", checkpoint_file, seeds::kept),
];

/// Subject, headers, an empty line, payload.
pub(crate) fn message(bytes: &[u8]) -> Message {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, payload) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &b""[..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split('\n');
    let subject = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .fold(Headers::default(), |headers, (name, value)| {
            headers.with(name, value)
        });
    Message {
        subject,
        headers,
        payload: payload.to_vec(),
    }
}

/// The other way round.
pub(crate) fn bytes(message: &Message) -> Vec<u8> {
    let mut text = message.subject.clone();
    for (name, value) in message.headers.iter() {
        text.push_str(&format!("\n{name}: {value}"));
    }
    text.push_str("\n\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&message.payload);
    bytes
}

/// What stands between several messages.
pub(crate) const BETWEEN: &[u8] = b"\x1e\x1e";

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(BETWEEN.len()).position(|two| two == BETWEEN) {
        messages.push(message(&rest[..end]));
        rest = &rest[end + BETWEEN.len()..];
    }
    messages.push(message(rest));
    messages
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn log_event(bytes: &[u8]) -> bool {
    event::log_entry(&message(bytes), 1).is_ok()
}

fn acknowledgements(bytes: &[u8]) -> bool {
    event::read_acks(&message(bytes)).is_ok()
}

fn work(bytes: &[u8]) -> bool {
    let message = message(bytes);
    let cluster = match subject::parse(&message.subject) {
        Some(Parsed::Work(lane, _)) => lane.cluster,
        _ => ClusterName::parse("eu-1").expect("valid"),
    };
    event::read_work(&cluster, &message.headers, &message.payload).is_ok()
}

fn fence(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_fence(&message.headers, &message.payload).is_ok()
}

fn heartbeat(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_heartbeat(&message.headers, &message.payload).is_ok()
}

fn confirmation(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_seen(&message.headers, &message.payload).is_ok()
}

fn replay(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_replay(&message.headers, &message.payload).is_ok()
}

fn dead_letter(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_dead(&message.headers, &message.payload).is_ok()
}

fn base_head(bytes: &[u8]) -> bool {
    let message = message(bytes);
    event::read_base(&message.headers, &message.payload).is_ok()
}

fn subject_or_object(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else {
        return false;
    };
    if let Some(object) = subject::parse_object(text) {
        assert_eq!(subject::object_tokens(&object), text, "it comes back");
    }
    subject::parse(text).is_some()
}

fn parts(bytes: &[u8]) -> bool {
    let mut assembler = Assembler::new(MIB);
    let wholes = messages(bytes)
        .into_iter()
        .map(|part| assembler.take(part, ""));
    wholes.fold(false, |any, whole| any | matches!(whole, Ok(Some(_))))
}

fn handed_in(bytes: &[u8]) -> bool {
    fleetcast_ingest::untrusted::handed_in(&message(bytes))
}

fn http_json(bytes: &[u8]) -> bool {
    fleetcast_ingest::untrusted::http_body("application/json", bytes)
}

fn http_yaml(bytes: &[u8]) -> bool {
    fleetcast_ingest::untrusted::http_body("application/yaml", bytes)
}

fn http_cloud_event(bytes: &[u8]) -> bool {
    fleetcast_ingest::untrusted::http_body("application/cloudevents+json", bytes)
}

fn sync_request(bytes: &[u8]) -> bool {
    let message = message(bytes);
    codec::decode::<SyncAsk>(&message.payload, &message.headers).is_ok()
}

fn sync_answer(bytes: &[u8]) -> bool {
    fleetcast_agent::untrusted::sync_answer(messages(bytes))
}

fn question(bytes: &[u8]) -> bool {
    let message = message(bytes);
    fleetcast_aggregator::untrusted::question(&message.subject, &message.payload)
}

fn answer(bytes: &[u8]) -> bool {
    fleetcast_aggregator::untrusted::answer(bytes)
}

fn receipt(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Answer>(bytes).is_ok()
}

fn renewal(bytes: &[u8]) -> bool {
    let message = message(bytes);
    codec::decode::<Renewal>(&message.payload, &message.headers).is_ok()
}

fn documents(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(fleetcast_ingest::untrusted::file)
}

fn tokens(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| Tokens::read(text).is_ok())
}

fn credentials(bytes: &[u8]) -> bool {
    let read = text(bytes).map(CredentialsFile::parse);
    read.is_some_and(|file| file.is_ok_and(|file| file.claims().is_some()))
}

fn claims(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|jwt| fleetcast_auth::claims::read_user(jwt).is_ok())
}

fn segment(bytes: &[u8]) -> bool {
    backup::records(bytes).is_ok()
}

/// A sealed text as an agent gets it, and as whoever forwards it does: by its form, since nothing that was changed is opened.
fn sealed_text(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else {
        return false;
    };
    let owner: ObjectKey = SEALED_OWNER.parse().expect("valid");
    let keys = &*OPENS;
    let mut document = json!({"data": {"password": text}});
    let forwarded = keys.forward(&mut document, &owner, keys.newest().expect("a key"));
    if let Ok(value) = keys.open(text, &owner) {
        assert_eq!(forwarded, Ok(()), "what is opened is forwarded: {value}");
    }
    let parsed = Sealed::parse(text);
    if let Some(sealed) = &parsed {
        let again = sealed.text();
        assert_eq!(Sealed::parse(&again), parsed, "it comes back");
    }
    parsed.is_some()
}

/// A document with sealed texts, as an agent opens it before it applies it.
fn sealed_document(bytes: &[u8]) -> bool {
    let owner: ObjectKey = SEALED_OWNER.parse().expect("valid");
    let read = serde_json::from_slice(bytes);
    read.is_ok_and(|mut document| OPENS.open_all(&mut document, &owner).is_ok())
}

/// A section of a base when the digests of its parts are right: MessagePack, compressed here where the input is not compressed itself.
fn base_section(bytes: &[u8]) -> bool {
    let (compressed, length) = match bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        // A head may say anything of how long that is.
        true => (Cow::Borrowed(bytes), MIB),
        false => (Cow::Owned(packed(bytes)), bytes.len()),
    };
    let length = u64::try_from(length).expect("64 bits");
    // Each form is tried, whichever accepts it.
    let forms = [
        base::section::<State>(&compressed, length).is_ok(),
        base::section::<Vec<Answered>>(&compressed, length).is_ok(),
        base::section::<View>(&compressed, length).is_ok(),
        base::section::<Logged>(&compressed, length).is_ok(),
        base::section::<Audit>(&compressed, length).is_ok(),
    ];
    forms.contains(&true)
}

/// The file of a checkpoint, with the digest that is right; and as it stands.
fn checkpoint_file(bytes: &[u8]) -> bool {
    let body = packed(bytes);
    let head = format!("fleetcast checkpoint 1\n{}\n", digest::of_bytes(&body));
    let file = [head.as_bytes(), &body].concat();
    assert!(checkpoint::parse::<View>(bytes).is_none(), "it has no head");
    let forms = [
        checkpoint::parse::<State>(&file).is_some(),
        checkpoint::parse::<View>(&file).is_some(),
        checkpoint::parse::<Logged>(&file).is_some(),
    ];
    forms.contains(&true)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).expect("it is in memory")
}
