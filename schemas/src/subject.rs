//! All subjects of the bus, built and parsed: nobody else writes or reads one by hand.
//!
//! | subject | stream |
//! |---|---|
//! | `fc.log.change.<object>`, `fc.log.decision.<object>`, `fc.log.policy.<object>`, `fc.log.cluster.<cluster>`, `fc.log.epoch` | `FC_LOG` |
//! | `fc.work.<p>.<cluster>.<shard>.<digest>`; the fence is `fc.work.<p>._._._` | `FC_WORK_<p>` |
//! | `fc.live.<p>.<cluster>.<shard>.<digest>` | republished from `FC_WORK_<p>` |
//! | `fc.ack.<p>.<cluster>` | `FC_ACK_<p>` |
//! | `fc.heartbeat.<p>.<cluster>` | `FC_HEARTBEAT` |
//! | `fc.dead.<service>.<…>` | `FC_DEAD` |
//! | `fc.base.part`, `fc.base.head` | `FC_BASE` |
//! | `fc.seen.<p>.<cluster>`, `fc.sync.<p>.<cluster>`, `fc.in.apply.<object>`, `fc.in.delete.<object>`, `fc.in.sealing`, `fc.query.<what>.<object>` | – |
//!
//! `<object>` is four tokens: kind, group, namespace, name. Tokens keep `[A-Za-z0-9-]` and write every other byte as `=HH`; empty is `_`.

use std::borrow::Cow;

use fleetcast_core::dialect::policies;
use fleetcast_core::digest::fnv1a64;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer;

pub use fleetcast_core::model::object::token;

/// Every subject of the log.
pub const LOG: &str = "fc.log.>";
/// Every change in the log.
pub const LOG_CHANGES: &str = "fc.log.change.>";
/// Every policy in the log.
pub const LOG_POLICIES: &str = "fc.log.policy.>";
/// The epochs in the log.
pub const EPOCH: &str = "fc.log.epoch";
/// Every message of a base.
pub const BASE: &str = "fc.base.>";
/// The parts of bases, each base's one behind the other.
pub const BASE_PART: &str = "fc.base.part";
/// The heads of bases, each behind its parts.
pub const BASE_HEAD: &str = "fc.base.head";
/// Every submission.
pub const IN: &str = "fc.in.>";
/// Whoever hands in asks here what to seal, and to whom; the answer is a [`SealingAnswer`](crate::request::SealingAnswer).
pub const IN_SEALING: &str = "fc.in.sealing";
/// Every query.
pub const QUERY: &str = "fc.query.>";
/// Every sync request.
pub const SYNC: &str = "fc.sync.>";
/// Every acknowledgement.
pub const ACKS: &str = "fc.ack.>";
/// Every heartbeat.
pub const HEARTBEATS: &str = "fc.heartbeat.>";
/// Every dead letter.
pub const DEAD: &str = "fc.dead.>";

/// Reads a token back; none where it is none of ours.
pub fn text(token: &str) -> Option<Cow<'_, str>> {
    if token == "_" {
        return Some(Cow::Borrowed(""));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !token.is_empty() && token.bytes().all(is_plain) {
        return Some(Cow::Borrowed(token));
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                let canonical = digits
                    .bytes()
                    .all(|d| d.is_ascii_digit() || (b'A'..=b'F').contains(&d));
                let byte = u8::from_str_radix(digits, 16).ok().filter(|_| canonical)?;
                // A byte that needs no escape has only one form.
                if byte.is_ascii_alphanumeric() || byte == b'-' {
                    return None;
                }
                bytes.push(byte);
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'-' => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
        .map(Cow::Owned)
}

/// The four tokens of an object.
pub fn object_tokens(object: &ObjectKey) -> String {
    object.tokens()
}

/// Reads the four tokens of an object back.
pub fn parse_object(tokens: &str) -> Option<ObjectKey> {
    let mut tokens = tokens.split('.');
    let mut next = || text(tokens.next()?);
    let (kind, group, namespace, name) = (next()?, next()?, next()?, next()?);
    if tokens.next().is_some() {
        return None;
    }
    let namespace = Some(&*namespace).filter(|namespace| !namespace.is_empty());
    ObjectKey::new(&kind, &group, namespace, &name).ok()
}

/// A partition's token: `p00`, `p01`, …
pub fn partition_token(partition: u16) -> String {
    format!("p{partition:02}")
}

fn parse_partition(token: &str) -> Option<u16> {
    let partition = token.strip_prefix('p')?.parse().ok()?;
    (partition_token(partition) == token).then_some(partition)
}

/// `fc.log.change.<object>`.
pub fn change(object: &ObjectKey) -> String {
    format!("fc.log.change.{}", object_tokens(object))
}

/// `fc.log.policy.<object>`.
pub fn policy(object: &ObjectKey) -> String {
    format!("fc.log.policy.{}", object_tokens(object))
}

/// Where changes of `object` stand in the log: a policy's apart from those of what is placed.
pub fn change_of(object: &ObjectKey) -> String {
    match policies::is_policy(object) {
        true => policy(object),
        false => change(object),
    }
}

/// `fc.log.decision.<object>`.
pub fn decision(object: &ObjectKey) -> String {
    format!("fc.log.decision.{}", object_tokens(object))
}

/// `fc.log.cluster.<cluster>`.
pub fn cluster(cluster: &ClusterName) -> String {
    format!("fc.log.cluster.{}", token(cluster.as_str()))
}

/// `fc.in.apply.<object>`.
pub fn apply(object: &ObjectKey) -> String {
    format!("fc.in.apply.{}", object_tokens(object))
}

/// `fc.in.delete.<object>`.
pub fn delete(object: &ObjectKey) -> String {
    format!("fc.in.delete.{}", object_tokens(object))
}

/// `fc.query.<what>.<object>`; without an object the four tokens are empty.
pub fn query(what: &str, object: Option<&ObjectKey>) -> String {
    let object = object.map_or_else(|| "_._._._".to_owned(), object_tokens);
    format!("fc.query.{}.{object}", token(what))
}

/// A cluster's place on the bus: partition and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The partition of the cluster.
    pub partition: u16,
    /// The cluster.
    pub cluster: ClusterName,
}

impl Lane {
    /// The place of `cluster` where there are `partitions`.
    pub fn new(cluster: ClusterName, partitions: u16) -> Self {
        Self {
            partition: placer::partition(&cluster, partitions),
            cluster,
        }
    }

    fn tokens(&self) -> String {
        format!(
            "{}.{}",
            partition_token(self.partition),
            token(self.cluster.as_str())
        )
    }

    /// `fc.ack.<p>.<cluster>`.
    pub fn ack(&self) -> String {
        format!("fc.ack.{}", self.tokens())
    }

    /// `fc.seen.<p>.<cluster>`.
    pub fn seen(&self) -> String {
        format!("fc.seen.{}", self.tokens())
    }

    /// `fc.heartbeat.<p>.<cluster>`.
    pub fn heartbeat(&self) -> String {
        format!("fc.heartbeat.{}", self.tokens())
    }

    /// `fc.sync.<p>.<cluster>`.
    pub fn sync(&self) -> String {
        format!("fc.sync.{}", self.tokens())
    }

    /// `fc.live.<p>.<cluster>.>`: all live work of the cluster.
    pub fn live(&self) -> String {
        format!("fc.live.{}.>", self.tokens())
    }

    /// `fc.live.<p>.<cluster>.replay`: the agent is called to go through all its work again.
    pub fn replay(&self) -> String {
        format!("fc.live.{}.{REPLAY}", self.tokens())
    }

    /// `fc.work.<p>.<cluster>.<shard>.<digest>`.
    pub fn work(&self, object: &ObjectKey) -> String {
        format!(
            "fc.work.{}.{}.{}",
            self.tokens(),
            shard(object),
            object.digest()
        )
    }

    /// `fc.work.<p>.<cluster>.>`: all of the cluster's work.
    pub fn works(&self) -> String {
        format!("fc.work.{}.>", self.tokens())
    }

    /// `fc.work.<p>.<cluster>.<shard>.>`: one shard of the cluster's work.
    pub fn work_shard(&self, shard: char) -> String {
        format!("fc.work.{}.{shard}.>", self.tokens())
    }

    /// `_IN.<cluster>`: the prefix of the agent's inboxes.
    pub fn inbox_prefix(&self) -> String {
        format!("_IN.{}", token(self.cluster.as_str()))
    }

    /// Whether `reply` lies under the agent's own inbox prefix: a reply subject is not checked against permissions by the server.
    pub fn owns_inbox(&self, reply: &str) -> bool {
        reply
            .strip_prefix(&self.inbox_prefix())
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|rest| !rest.is_empty() && !rest.contains(['*', '>', ' ']))
    }
}

/// The token that ends a call to go through all work again; no shard has so long a name.
const REPLAY: &str = "replay";

/// Whether `reply` is an ordinary client's inbox, where answers to submissions and queries may go.
pub fn is_client_inbox(reply: &str) -> bool {
    reply.starts_with("_INBOX.") && !reply.contains(['*', '>', ' '])
}

/// Who asks, by the inbox that he is to be answered in: `_INBOX.<name>` of `_INBOX.<name>.<…>`. No server checks it: whoever wants no answer may say that he
/// is anybody.
pub fn asker(reply: &str) -> &str {
    reply.rsplit_once('.').map_or(reply, |(inbox, _)| inbox)
}

/// The shard of an object: the top 4 bits of FNV-1a-64 of its tokens, a hexadecimal digit.
pub fn shard(object: &ObjectKey) -> char {
    let digit = u32::try_from(fnv1a64(object_tokens(object).as_bytes()) >> 60).expect("4 bits");
    char::from_digit(digit, 16).expect("below 16")
}

/// The 16 shards.
pub fn shards() -> impl Iterator<Item = char> {
    "0123456789abcdef".chars()
}

/// `fc.work.<p>.>`: all work of a partition, with its fence.
pub fn works(partition: u16) -> String {
    format!("fc.work.{}.>", partition_token(partition))
}

/// `fc.live.<p>.>`: where a partition's work is republished.
pub fn lives(partition: u16) -> String {
    format!("fc.live.{}.>", partition_token(partition))
}

/// `fc.ack.<p>.>`: all acknowledgements of a partition.
pub fn acks(partition: u16) -> String {
    format!("fc.ack.{}.>", partition_token(partition))
}

/// `fc.work.<p>._._._`: the fence of a partition's work; no cluster's token is `_`.
pub fn fence(partition: u16) -> String {
    format!("fc.work.{}._._._", partition_token(partition))
}

/// `fc.dead.<service>.<place>`.
pub fn dead(service: &str, place: &str) -> String {
    format!("fc.dead.{}.{}", token(service), token(place))
}

/// A subject of ours, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// `fc.log.change.<object>`
    Change(ObjectKey),
    /// `fc.log.policy.<object>`
    Policy(ObjectKey),
    /// `fc.log.decision.<object>`
    Decision(ObjectKey),
    /// `fc.log.cluster.<cluster>`
    Cluster(ClusterName),
    /// `fc.log.epoch`
    Epoch,
    /// `fc.work…` or `fc.live…`, with the object's digest
    Work(Lane, String),
    /// `fc.work.<p>._._._`
    Fence(u16),
    /// `fc.ack…`
    Ack(Lane),
    /// `fc.heartbeat…`
    Heartbeat(Lane),
    /// `fc.sync…`
    Sync(Lane),
    /// `fc.seen…`
    Seen(Lane),
    /// `fc.live.<p>.<cluster>.replay`
    Replay(Lane),
    /// `fc.in.apply.<object>`
    Apply(ObjectKey),
    /// `fc.in.delete.<object>`
    Delete(ObjectKey),
    /// `fc.query.<what>.<object>`
    Query(String, Option<ObjectKey>),
}

/// Takes a subject apart; none where it is none of ours.
pub fn parse(subject: &str) -> Option<Parsed> {
    let rest = subject.strip_prefix("fc.")?;
    if rest == "log.epoch" {
        return Some(Parsed::Epoch);
    }
    let (area, rest) = rest.split_once('.')?;
    match area {
        "log" | "in" => {
            let (what, rest) = rest.split_once('.')?;
            match (area, what) {
                ("log", "change") => parse_object(rest).map(Parsed::Change),
                ("log", "policy") => parse_object(rest).map(Parsed::Policy),
                ("log", "decision") => parse_object(rest).map(Parsed::Decision),
                ("log", "cluster") => ClusterName::parse(&text(rest)?).ok().map(Parsed::Cluster),
                ("in", "apply") => parse_object(rest).map(Parsed::Apply),
                ("in", "delete") => parse_object(rest).map(Parsed::Delete),
                _ => None,
            }
        }
        "query" => {
            let (what, rest) = rest.split_once('.')?;
            let object = match rest {
                "_._._._" => None,
                rest => Some(parse_object(rest)?),
            };
            Some(Parsed::Query(text(what)?.into_owned(), object))
        }
        "work" | "live" => {
            let tokens: Vec<&str> = rest.split('.').collect();
            match tokens.as_slice() {
                [partition, "_", "_", "_"] => parse_partition(partition).map(Parsed::Fence),
                [partition, cluster, REPLAY] if area == "live" => {
                    Some(Parsed::Replay(parse_lane(partition, cluster)?))
                }
                [partition, cluster, _, digest] => Some(Parsed::Work(
                    parse_lane(partition, cluster)?,
                    (*digest).to_owned(),
                )),
                _ => None,
            }
        }
        "ack" | "heartbeat" | "sync" | "seen" => {
            let (partition, cluster) = rest.split_once('.')?;
            let lane = parse_lane(partition, cluster)?;
            Some(match area {
                "ack" => Parsed::Ack(lane),
                "heartbeat" => Parsed::Heartbeat(lane),
                "sync" => Parsed::Sync(lane),
                _ => Parsed::Seen(lane),
            })
        }
        _ => None,
    }
}

fn parse_lane(partition: &str, cluster: &str) -> Option<Lane> {
    Some(Lane {
        partition: parse_partition(partition)?,
        cluster: ClusterName::parse(&text(cluster)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &[&str] = &[
        "a",
        "_",
        "=",
        "=2E",
        ".",
        "..",
        ">",
        "*",
        "a.b",
        "system:node",
        " ",
        "\t\r\n",
        "é",
        "日本",
        "\u{0}",
        "-",
        "$JS.API",
        "A=5Fb",
    ];

    #[test]
    fn hostile_names_round_trip_as_one_token() {
        for name in HOSTILE {
            let token = token(name);
            assert!(
                token
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-=_".contains(&b)),
                "{name:?} became {token:?}"
            );
            assert_eq!(text(&token).as_deref(), Some(*name));
        }
        assert_eq!(token(""), "_");
        assert_eq!(text("_").as_deref(), Some(""));
    }

    #[test]
    fn a_token_has_one_form_only() {
        for foreign in ["", "=2e", "=2", "=", "=41", "=2D", "a.b", "a_b", "=FF", "é"] {
            assert_eq!(text(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn subjects_come_apart_as_they_were_built() {
        let eu = Lane::new(ClusterName::parse("eu.west-1").expect("valid"), 16);
        for name in ["web", "system:node", "a.b", "日本", "A B"] {
            for (kind, group, namespace) in [
                ("ClusterRole", "rbac.authorization.k8s.io", None),
                ("Secret", "", Some("shop")),
            ] {
                let object = ObjectKey::new(kind, group, namespace, name).expect("valid");
                for (subject, parsed) in [
                    (change(&object), Parsed::Change(object.clone())),
                    (policy(&object), Parsed::Policy(object.clone())),
                    (decision(&object), Parsed::Decision(object.clone())),
                    (apply(&object), Parsed::Apply(object.clone())),
                    (delete(&object), Parsed::Delete(object.clone())),
                    (
                        query("get", Some(&object)),
                        Parsed::Query("get".into(), Some(object.clone())),
                    ),
                    (eu.work(&object), Parsed::Work(eu.clone(), object.digest())),
                ] {
                    assert_eq!(parse(&subject), Some(parsed), "{subject}");
                }
            }
        }
        for (subject, parsed) in [
            (EPOCH.to_owned(), Parsed::Epoch),
            (cluster(&eu.cluster), Parsed::Cluster(eu.cluster.clone())),
            (fence(3), Parsed::Fence(3)),
            (eu.ack(), Parsed::Ack(eu.clone())),
            (eu.seen(), Parsed::Seen(eu.clone())),
            (eu.replay(), Parsed::Replay(eu.clone())),
            (eu.sync(), Parsed::Sync(eu.clone())),
            (eu.heartbeat(), Parsed::Heartbeat(eu.clone())),
            (query("list", None), Parsed::Query("list".into(), None)),
        ] {
            assert_eq!(parse(&subject), Some(parsed), "{subject}");
        }
    }

    #[test]
    fn what_is_none_of_ours_is_not_parsed() {
        for subject in [
            "",
            "fc",
            "fc.log",
            "fc.log.change.a.b.c",
            "fc.log.change.a.b.c.d.e",
            "fc.ack.p0.eu",
            "fc.ack.p00.EU",
            "fc.work.p00.eu",
            "fc.work.p00.eu.replay",
            "x.log.epoch",
        ] {
            assert_eq!(parse(subject), None, "{subject}");
        }
    }

    #[test]
    fn an_inbox_of_somebody_else_is_not_owned() {
        let eu = Lane::new(ClusterName::parse("eu").expect("valid"), 1);
        for (reply, owned) in [
            ("_IN.eu.abc", true),
            ("_IN.eu.abc.1", true),
            ("_IN.eu", false),
            ("_IN.eu.", false),
            ("_IN.eu2.abc", false),
            ("_IN.us.abc", false),
            ("fc.work.p00.us.0.abc", false),
            ("_INBOX.abc", false),
            ("_IN.eu.>", false),
        ] {
            assert_eq!(eu.owns_inbox(reply), owned, "{reply}");
        }
    }

    #[test]
    fn the_contract_forms_hold() {
        let web: ObjectKey = "Deployment.apps/shop/web".parse().expect("valid");
        assert_eq!(change(&web), "fc.log.change.Deployment.apps.shop.web");
        let role: ObjectKey = "ClusterRole.rbac.authorization.k8s.io/system:node"
            .parse()
            .expect("valid");
        assert_eq!(
            change(&role),
            "fc.log.change.ClusterRole.rbac=2Eauthorization=2Ek8s=2Eio._.system=3Anode"
        );
        assert_eq!(
            Lane::new(ClusterName::parse("eu-1").expect("valid"), 1).ack(),
            "fc.ack.p00.eu-1"
        );
    }
}
