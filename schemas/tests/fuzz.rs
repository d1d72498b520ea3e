//! Messages that nobody sent, through every decoder that meets the network.
//!
//! Real messages of every event with headers and bytes exchanged, dropped and put in: they are read, or refused with a reason.
//! `FLEETCAST_FUZZ=1000000` tries more than a usual run.

mod contract {
    pub(crate) mod made;
}

use fleetcast_core::model::ClusterName;
use fleetcast_schemas::{Headers, Message, event, subject};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use contract::made;

const CASES: u32 = 2_000;

fn config() -> ProptestConfig {
    let wanted = std::env::var("FLEETCAST_FUZZ").ok();
    ProptestConfig {
        cases: wanted
            .and_then(|wanted| wanted.parse().ok())
            .unwrap_or(CASES),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Values of headers that are nearly right.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,20}",
        "[0-9]{1,21}",
        "-[0-9]{1,3}",
        "[0-9]{1,3}\\.[0-9a-f-]{0,36}",
        "dev\\.fleetcast\\.[a-z]{1,9}\\.v[0-9]{1,3}",
        "20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.Z+-]{0,20}",
        select(vec![
            "zstd",
            "application/json",
            "application/msgpack",
            "fc_bodies/0",
            ""
        ])
        .prop_map(str::to_owned),
    ]
}

#[derive(Debug, Clone)]
enum Edit {
    Header(Index, Option<String>),
    Subject(String),
    Byte(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Payload(Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (any::<Index>(), proptest::option::of(value())).prop_map(|(at, value)| Edit::Header(at, value)),
        1 => "fc\\.(log|work|ack|hb|in|q|sync|live)(\\.[a-zA-Z0-9_%-]{0,8}){0,8}".prop_map(Edit::Subject),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => vec(any::<u8>(), 0..60).prop_map(Edit::Payload),
    ]
}

impl Edit {
    fn happen(&self, message: &mut Message) {
        let payload = &mut message.payload;
        match self {
            Self::Header(at, value) => {
                let all: Vec<(String, String)> = message
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let edited = at.index(all.len());
                let kept = all.into_iter().enumerate();
                message.headers = kept.fold(Headers::default(), |headers, (index, (name, old))| {
                    match (index == edited, value) {
                        (true, Some(new)) => headers.with(&name, new.clone()),
                        (true, None) => headers,
                        (false, _) => headers.with(&name, old),
                    }
                });
            }
            Self::Subject(subject) => message.subject.clone_from(subject),
            Self::Byte(at, byte) if !payload.is_empty() => {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            Self::Byte(..) => {}
            Self::Cut(at) => payload.truncate(at.index(payload.len() + 1)),
            Self::Insert(at, bytes) => {
                let at = at.index(payload.len() + 1);
                payload.splice(at..at, bytes.iter().copied());
            }
            Self::Payload(bytes) => payload.clone_from(bytes),
        }
    }
}

/// Through every decoder, whatever the message says it is.
fn read(message: &Message) -> usize {
    let Message {
        subject,
        headers,
        payload,
    } = message;
    let cluster = ClusterName::parse("eu-1").expect("valid");
    subject::parse(subject);
    let read = [
        event::log_entry(message, 1).is_ok(),
        event::read_acks(message).is_ok(),
        event::read_work(&cluster, headers, payload).is_ok(),
        event::read_fence(headers, payload).is_ok(),
        event::read_heartbeat(headers, payload).is_ok(),
        event::read_seen(headers, payload).is_ok(),
        event::read_dead(headers, payload).is_ok(),
        event::read_replay(headers, payload).is_ok(),
        event::read_base(headers, payload).is_ok(),
    ];
    read.into_iter().filter(|read| *read).count()
}

#[test]
fn every_message_is_read_by_one_decoder_before_it_is_edited() {
    for sample in made::samples() {
        let made::Sample {
            event,
            name,
            message,
            body,
        } = sample;
        assert_eq!(read(&message), 1, "{event} {name}: {body}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn messages_are_read_or_refused(mut message in select(made::samples()).prop_map(|sample| sample.message), edits in vec(edit(), 1..6)) {
        edits.iter().for_each(|edit| edit.happen(&mut message));
        read(&message);
    }

    #[test]
    fn objects_in_subjects_and_text_come_back(text in ".{0,30}", tokens in "[a-zA-Z0-9_%.-]{0,40}") {
        if let Ok(object) = text.parse::<fleetcast_core::model::ObjectKey>() {
            prop_assert_eq!(subject::parse_object(&subject::object_tokens(&object)), Some(object));
        }
        if let Some(object) = subject::parse_object(&tokens) {
            prop_assert_eq!(subject::parse_object(&subject::object_tokens(&object)), Some(object));
        }
    }
}
