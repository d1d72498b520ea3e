//! Who may do what on the bus: the roles and their subjects, as data. Permission templates, `docs/permissions.md` and the test of denials come from here.
//!
//! | word in a pattern | what stands there |
//! |---|---|
//! | `{name}` | the token of the user's own name; an agent's is its cluster's |
//! | `{p}` | the partition of an agent's cluster |
//! | `{kind}`, `{ns}` | the kinds (`<kind>.<group>`) and the namespaces that a publisher is limited to, or `*.*` and `*` |
//!
//! A server does not check reply subjects, nor where a consumer delivers to. So whoever reads a stream can make the server send what stands in it to any
//! subject: no role that is handed out has the JetStream API but those that are trusted with the streams anyway.

pub mod limits;

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Makes one cluster true.
    Agent,
    /// Takes changes in, places them, writes work.
    Ingest,
    /// Folds acknowledgements, answers queries.
    Aggregator,
    /// Hands in and withdraws objects, of some kinds and namespaces where it is limited.
    Publisher,
    /// Asks the view.
    Reader,
    /// Everything on the bus: backups, restores, cuts, repairs.
    Operator,
}

/// A kind of stream, by what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// `FC_LOG`
    Log,
    /// `FC_BASE`
    Base,
    /// `FC_ACK_<p>`
    Acks,
    /// `FC_WORK_<p>`
    Work,
    /// `FC_HEARTBEAT`
    Heartbeat,
    /// `FC_DEAD`
    Dead,
    /// The bucket `fc_leader`
    Leader,
    /// The object store `fc_bodies`
    Bodies,
}

/// What may be done with a stream over the JetStream API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Look at it.
    Info,
    /// Make it, and change its configuration.
    Make,
    /// Read messages, directly or by consumers.
    Read,
    /// Take messages away.
    Purge,
}

/// What a role may do.
#[derive(Debug)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The word for it.
    pub word: &'static str,
    /// What it is for, one line.
    pub about: &'static str,
    /// The prefix of its inboxes; it subscribes to everything below.
    pub inbox: &'static str,
    /// What it may publish, beside the JetStream API.
    pub publish: &'static [&'static str],
    /// What it may subscribe to, beside its inboxes.
    pub subscribe: &'static [&'static str],
    /// What it may do with which streams.
    pub streams: &'static [(Stream, &'static [Call])],
}

use Call::{Info, Make, Purge, Read};

/// Every role.
pub const GRANTS: &[Grant] = &[
    Grant {
        role: Role::Agent,
        word: "agent",
        about: "makes one cluster true",
        inbox: "_IN.{name}",
        publish: &[
            "fc.ack.{p}.{name}",
            "fc.heartbeat.{p}.{name}",
            "fc.sync.{p}.{name}",
        ],
        subscribe: &["fc.live.{p}.{name}.>", "fc.seen.{p}.{name}"],
        streams: &[],
    },
    Grant {
        role: Role::Ingest,
        word: "ingest",
        about: "takes changes in, places them, writes work; watches a hub; renews agents",
        inbox: "_INBOX.{name}",
        publish: &[
            "fc.log.>",
            "fc.work.>",
            "fc.dead.>",
            "fc.in.>",
            "fc.query.>",
            "_IN.>",
            "_INBOX.>",
            "$KV.fc_leader.>",
            "$O.fc_bodies.>",
            "$JS.API.INFO",
        ],
        subscribe: &["fc.in.>", "fc.sync.>"],
        streams: &[
            (Stream::Log, &[Info, Make, Read]),
            (Stream::Base, &[Info, Make, Read]),
            (Stream::Acks, &[Info, Make, Read]),
            (Stream::Work, &[Info, Make, Read, Purge]),
            (Stream::Heartbeat, &[Info, Make, Read]),
            (Stream::Dead, &[Info, Make]),
            (Stream::Leader, &[Info, Make, Read]),
            (Stream::Bodies, &[Info, Make, Read]),
        ],
    },
    Grant {
        role: Role::Aggregator,
        word: "aggregator",
        about: "folds acknowledgements into the view, answers queries",
        inbox: "_INBOX.{name}",
        publish: &[
            "fc.seen.>",
            "fc.dead.>",
            "_INBOX.>",
            // Of several that write status to a hub one does.
            "$KV.fc_leader.hub-status.>",
        ],
        subscribe: &["fc.query.>"],
        streams: &[
            (Stream::Log, &[Info, Read]),
            (Stream::Base, &[Info, Read]),
            (Stream::Acks, &[Info, Read]),
            (Stream::Leader, &[Info, Read]),
            (Stream::Heartbeat, &[Info, Read]),
            (Stream::Bodies, &[Info, Read]),
        ],
    },
    Grant {
        role: Role::Publisher,
        word: "publisher",
        about: "hands in and withdraws objects, of some kinds and namespaces where it is limited, and asks the view about them",
        inbox: "_INBOX.{name}",
        publish: &[
            "fc.in.apply.{kind}.{ns}.*",
            "fc.in.delete.{kind}.{ns}.*",
            "fc.in.sealing",
            "fc.query.objects.{kind}.{ns}.*",
            "fc.query.explain.{kind}.{ns}.*",
            "fc.query.history.{kind}.{ns}.*",
            "fc.query.diff.{kind}.{ns}.*",
            "fc.query.clusters._._._._",
        ],
        subscribe: &[],
        streams: &[],
    },
    Grant {
        role: Role::Reader,
        word: "reader",
        about: "asks the view about everything but documents, which may hold Secrets",
        inbox: "_INBOX.{name}",
        publish: &[
            "fc.query.objects.>",
            "fc.query.explain.>",
            "fc.query.history.>",
            "fc.query.diff.>",
            "fc.query.clusters.>",
            "fc.query.digest.>",
            "fc.query.held.>",
            "fc.query.strays.>",
        ],
        subscribe: &[],
        streams: &[],
    },
    Grant {
        role: Role::Operator,
        word: "operator",
        about: "everything on the bus: backups, restores, cuts, repairs",
        inbox: "_INBOX.{name}",
        publish: &[">"],
        subscribe: &[">"],
        streams: &[],
    },
];

impl Role {
    /// What it may do.
    pub fn grant(self) -> &'static Grant {
        GRANTS
            .iter()
            .find(|grant| grant.role == self)
            .expect("every role has its row")
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        self.grant().word
    }

    /// The role of a word.
    pub fn of(word: &str) -> Option<Self> {
        GRANTS
            .iter()
            .find(|grant| grant.word == word)
            .map(|grant| grant.role)
    }
}

impl Call {
    /// The subjects of the JetStream API that the call takes on `stream`.
    pub fn subjects(self, stream: &str) -> Vec<String> {
        let api: &[&str] = match self {
            Self::Info => &["STREAM.INFO.{}"],
            Self::Make => &["STREAM.CREATE.{}", "STREAM.UPDATE.{}"],
            Self::Read => &[
                "DIRECT.GET.{}",
                "DIRECT.GET.{}.>",
                "STREAM.MSG.GET.{}",
                "CONSUMER.CREATE.{}",
                "CONSUMER.CREATE.{}.>",
                "CONSUMER.INFO.{}.*",
                "CONSUMER.MSG.NEXT.{}.*",
                "CONSUMER.DELETE.{}.*",
            ],
            Self::Purge => &["STREAM.PURGE.{}"],
        };
        api.iter()
            .map(|subject| format!("$JS.API.{}", subject.replace("{}", stream)))
            .collect()
    }
}

impl Stream {
    /// Every kind of stream.
    pub const ALL: [Self; 8] = [
        Self::Log,
        Self::Base,
        Self::Acks,
        Self::Work,
        Self::Heartbeat,
        Self::Dead,
        Self::Leader,
        Self::Bodies,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{Lane, is_client_inbox};
    use fleetcast_core::model::ClusterName;

    #[test]
    fn an_agents_subjects_are_those_of_its_lane() {
        let lane = Lane::new(ClusterName::parse("eu.1").expect("valid"), 1);
        let grant = Role::Agent.grant();
        let filled = |pattern: &&str| pattern.replace("{p}", "p00").replace("{name}", "eu=2E1");
        let publish: Vec<String> = grant.publish.iter().map(filled).collect();
        assert_eq!(publish, [lane.ack(), lane.heartbeat(), lane.sync()]);
        let subscribe: Vec<String> = grant.subscribe.iter().map(filled).collect();
        assert_eq!(subscribe, [lane.live(), lane.seen()]);
        assert_eq!(filled(&grant.inbox), lane.inbox_prefix());
    }

    #[test]
    fn each_role_has_a_word_and_everybody_but_agents_an_ordinary_inbox() {
        for grant in GRANTS {
            assert_eq!(Role::of(grant.word), Some(grant.role));
            assert_eq!(grant.role.word(), grant.word);
            let inbox = grant.inbox.replace("{name}", "a") + ".x";
            assert_eq!(
                is_client_inbox(&inbox),
                grant.role != Role::Agent,
                "{inbox}"
            );
        }
    }

    #[test]
    fn nobody_who_is_handed_credentials_reaches_the_jetstream_api() {
        for role in [Role::Agent, Role::Publisher, Role::Reader] {
            let grant = role.grant();
            assert!(grant.streams.is_empty());
            assert!(
                grant
                    .publish
                    .iter()
                    .all(|subject| subject.starts_with("fc."))
            );
        }
    }
}
