//! Every subject and every call of the JetStream API, tried with each role's credentials against a real server: it allows what the role's row has, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use fleetcast_auth::authority::Issue;
use fleetcast_auth::permissions::{Permissions, names};
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::role::{GRANTS, Role, Stream};
use fleetcast_schemas::subject;
use fleetcast_tests::harness::{Bed, nats_server};

use crate::{Said, lane, raw_with};

/// Every call of the JetStream API of nats-server 2.15.1 (`server/jetstream_api.go`); `S` is a stream, `C` a consumer.
const API: &[&str] = &[
    "INFO",
    "STREAM.CREATE.S",
    "STREAM.UPDATE.S",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.S",
    "STREAM.DELETE.S",
    "STREAM.PURGE.S",
    "STREAM.SNAPSHOT.S",
    "STREAM.RESTORE.S",
    "STREAM.MSG.DELETE.S",
    "STREAM.MSG.GET.S",
    "DIRECT.GET.S",
    "DIRECT.GET.S.fc.x",
    "CONSUMER.CREATE.S",
    "CONSUMER.CREATE.S.C",
    "CONSUMER.CREATE.S.C.fc.x",
    "CONSUMER.DURABLE.CREATE.S.C",
    "CONSUMER.NAMES.S",
    "CONSUMER.LIST.S",
    "CONSUMER.INFO.S.C",
    "CONSUMER.DELETE.S.C",
    "CONSUMER.PAUSE.S.C",
    "CONSUMER.MSG.NEXT.S.C",
    "CONSUMER.RESET.S.C",
    "CONSUMER.UNPIN.S.C",
    "STREAM.PEER.REMOVE.S",
    "STREAM.PEER.EVACUATE.S",
    "STREAM.CANCEL_MOVE.S",
    "STREAM.LEADER.STEPDOWN.S",
    "CONSUMER.LEADER.STEPDOWN.S.C",
    "CONSUMER.PEER.REMOVE.S.C",
    "CONSUMER.PEER.EVACUATE.S.C",
    "META.LEADER.STEPDOWN",
    "META.RESCUE",
    "SERVER.REMOVE",
    "SERVER.EVACUATE",
    "ACCOUNT.PURGE.A",
    "ACCOUNT.STREAM.MOVE.A.S",
    "ACCOUNT.STREAM.CANCEL_MOVE.A.S",
];
/// What can be asked of the view.
const QUERIES: [&str; 9] = [
    "objects",
    "explain",
    "history",
    "diff",
    "documents",
    "ahead",
    "clusters",
    "digest",
    "rebuild",
];

fn objects() -> Vec<ObjectKey> {
    [
        "Secret/shop/db",
        "ConfigMap/shop/a",
        "ConfigMap/bank/a",
        "Deployment.apps/shop/web",
        "Deployment.apps/bank/web",
        "Namespace/shop",
        "ClusterRole.rbac.authorization.k8s.io/system:node",
        "MemberCluster.fleetcast.dev/eu",
        "PropagationPolicy.policy.karmada.io/shop/all",
    ]
    .iter()
    .map(|text| text.parse().expect("an object"))
    .collect()
}

/// Everything that may be published.
fn publishes() -> Vec<String> {
    let mut all: Vec<String> = [
        subject::EPOCH,
        subject::BASE_PART,
        subject::BASE_HEAD,
        subject::IN_SEALING,
        "_INBOX.x",
        "_INBOX.eu.x",
        "_INBOX.probe.x",
        "_INBOX.another.x",
        "$KV.fc_leader.placer",
        "$KV.fc_leader.hub",
        "$KV.other.x",
        "$O.fc_bodies.C.x",
        "$O.fc_bodies.M.x",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.ACCOUNT.x.INFO",
        "$SYS.REQ.USER.INFO",
        "$JS.ACK.FC_LOG.C.1.1.1.1.1",
        "$JS.ACK.FC_WORK_p00.C.1.1.1.1.1",
        "$JS.FC.FC_LOG.x",
        "$JS.hub.API.STREAM.INFO.FC_LOG",
        "fc.log.x",
        "fc.in.x",
        "fc.in",
        "fc.sync",
        "fc.x",
        "other",
    ]
    .map(str::to_owned)
    .to_vec();
    for cluster in ["eu", "us", "eu2"] {
        let lane = lane(cluster);
        let object = "Secret/shop/db".parse().expect("valid");
        all.extend([
            lane.ack(),
            lane.heartbeat(),
            lane.sync(),
            lane.seen(),
            lane.work(&object),
            lane.live().replace('>', "0.x"),
            lane.replay(),
            format!("_IN.{cluster}.x"),
            subject::cluster(&lane.cluster),
            lane.ack().replace("p00", "p01"),
            lane.sync() + ".x",
        ]);
    }
    for object in objects() {
        all.extend([
            subject::change(&object),
            subject::policy(&object),
            subject::decision(&object),
            subject::apply(&object),
            subject::delete(&object),
        ]);
        all.extend(QUERIES.map(|what| subject::query(what, Some(&object))));
    }
    all.extend(QUERIES.map(|what| subject::query(what, None)));
    all.extend(["agent", "ingest", "aggregator"].map(|service| subject::dead(service, "x")));
    all.extend([subject::fence(0), subject::fence(1)]);
    let streams = Stream::ALL.iter().flat_map(|stream| names(*stream, 2));
    let streams: Vec<String> = streams.chain(["OTHER".to_owned()]).collect();
    for call in API {
        let call = format!("$JS.API.{call}");
        if call.ends_with(".S") || call.contains(".S.") {
            all.extend(streams.iter().map(|stream| {
                let tokens = call
                    .split('.')
                    .map(|token| if token == "S" { stream } else { token });
                tokens.collect::<Vec<_>>().join(".")
            }));
        } else {
            all.push(call);
        }
    }
    all
}

/// Everything that may be subscribed to.
fn subscribes() -> Vec<String> {
    let mut all: Vec<String> = [
        ">",
        "*",
        "fc.>",
        "fc.*.>",
        "fc.log.>",
        "fc.log.change.>",
        "fc.work.>",
        "fc.live.>",
        "fc.live.p00.>",
        "fc.ack.>",
        "fc.ack.p00.*",
        "fc.in.>",
        "fc.in.apply.>",
        "fc.query.>",
        "fc.query.objects.>",
        "fc.sync.>",
        "fc.sync.p00.*",
        "fc.seen.>",
        "fc.heartbeat.>",
        "fc.dead.>",
        "fc.base.>",
        "_IN.>",
        "_IN.*.>",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX.*.*",
        "_INBOX.another.>",
        "_INBOX.probe.>",
        "_INBOX.probe.x",
        "$JS.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$JS.EVENT.>",
        "$KV.>",
        "$KV.fc_leader.>",
        "$O.>",
        "$O.fc_bodies.>",
        "$SYS.>",
        "other",
    ]
    .map(str::to_owned)
    .to_vec();
    for cluster in ["eu", "us", "eu2"] {
        let lane = lane(cluster);
        all.extend([
            lane.live(),
            lane.live().replace('>', "0.*"),
            lane.works(),
            lane.seen(),
            lane.ack(),
            lane.heartbeat(),
            lane.sync(),
            format!("_IN.{cluster}.>"),
            format!("_IN.{cluster}.x"),
            format!("_IN.{cluster}"),
        ]);
    }
    all
}

/// No role but the operator's may publish this: when it is refused, everything before it was judged.
const END: &str = "end.of.the.chunk";

/// Which subjects the server refused since it was asked last, as it wrote them.
async fn refused(client: &async_nats::Client, said: &mut Said, role: Role) -> BTreeSet<String> {
    let patience = match role {
        Role::Operator => Duration::from_millis(300),
        _ => Duration::from_secs(30),
    };
    client.publish(END, "x".into()).await.expect("sent");
    client.flush().await.expect("flushed");
    let mut refused = BTreeSet::new();
    while let Ok(Some(event)) = tokio::time::timeout(patience, said.recv()).await {
        if event.to_lowercase().contains("permissions violation")
            && let Some(subject) = event.split('"').nth(1)
            && !refused.insert(subject.to_lowercase())
        {
            continue;
        }
        if refused.remove(END) {
            return refused;
        }
    }
    assert_eq!(role, Role::Operator, "the end of a chunk was not refused");
    refused
}

/// Tries everything; how much was denied, and how much allowed.
async fn try_all(bed: &Bed, issue: &Issue) -> (usize, usize) {
    let expected: Permissions = bed.authority().permissions(issue).expect("a user");
    let path = bed.directory.path().join("probe.creds");
    bed.issue(issue).write(&path).expect("written");
    let prefix = issue.role.grant().inbox.replace("{name}", &issue.name);
    let (client, mut said) = raw_with(bed, &path, &prefix).await;
    let who = format!(
        "{} {} {:?} {:?}",
        issue.role.word(),
        issue.name,
        issue.kinds,
        issue.namespaces
    );
    let (mut denied, mut allowed) = (0, 0);
    for (what, subjects) in [("publish", publishes()), ("subscribe", subscribes())] {
        for subjects in subjects.chunks(64) {
            for subject in subjects {
                if what == "publish" {
                    client
                        .publish(subject.clone(), "x".into())
                        .await
                        .expect("sent");
                } else {
                    drop(client.subscribe(subject.clone()).await.expect("sent"));
                }
            }
            let refused = refused(&client, &mut said, issue.role).await;
            for subject in subjects {
                let may = match what {
                    "publish" => expected.may_publish(subject),
                    _ => expected.may_subscribe(subject),
                };
                let was = !refused.contains(&subject.to_lowercase());
                assert_eq!(
                    was, may,
                    "{who}: {what} {subject}: allowed by the server, and by the role's row"
                );
                *(if may { &mut allowed } else { &mut denied }) += 1;
            }
        }
    }
    (denied, allowed)
}

fn issue(role: Role, name: &str, kinds: &[&str], namespaces: &[&str]) -> Issue {
    let list = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Issue {
        role,
        name: name.to_owned(),
        ttl_s: Some(3_600),
        kinds: list(kinds),
        namespaces: list(namespaces),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_allows_each_role_what_its_row_has_and_nothing_else() {
    let Some(server) = nats_server("a_server_allows_each_role_what_its_row_has_and_nothing_else")
    else {
        return;
    };
    // No streams: whatever is allowed here and would be done does no harm.
    let bed = Bed::new(server);
    let mut total = (0, 0);
    for (asked, at_least) in [
        (issue(Role::Agent, "eu", &[], &[]), 500),
        (issue(Role::Agent, "us", &[], &[]), 500),
        (issue(Role::Reader, "probe", &[], &[]), 400),
        (issue(Role::Publisher, "probe", &[], &[]), 400),
        (
            issue(
                Role::Publisher,
                "probe",
                &["ConfigMap", "Deployment.apps"],
                &["shop"],
            ),
            500,
        ),
        (
            issue(
                Role::Publisher,
                "probe",
                &["MemberCluster.fleetcast.dev"],
                &["_"],
            ),
            500,
        ),
        (issue(Role::Publisher, "probe", &[], &["bank"]), 500),
        (issue(Role::Aggregator, "probe", &[], &[]), 400),
        (issue(Role::Ingest, "probe", &[], &[]), 200),
        (issue(Role::Operator, "probe", &[], &[]), 0),
    ] {
        let (denied, allowed) = try_all(&bed, &asked).await;
        println!(
            "{} {} {:?}: {denied} denied, {allowed} allowed",
            asked.role.word(),
            asked.name,
            asked.kinds
        );
        assert!(
            denied >= at_least && allowed > 0,
            "{asked:?}: {denied} denied"
        );
        total = (total.0 + denied, total.1 + allowed);
    }
    println!("in all {} denied, {} allowed", total.0, total.1);
}

/// What the rows themselves must never say, whoever edits them.
#[test]
fn the_rows_keep_what_the_design_promises() {
    let of = |role, name: &str| {
        let user = fleetcast_auth::permissions::User {
            name: name.to_owned(),
            partition: Some("p00".to_owned()),
            ..Default::default()
        };
        Permissions::of(role, 2, &user)
    };
    let eu = of(Role::Agent, "eu");
    let is_own = |subject: &String| {
        lane("eu").ack() == *subject
            || lane("eu").heartbeat() == *subject
            || lane("eu").sync() == *subject
    };
    for subject in publishes() {
        assert_eq!(
            eu.may_publish(&subject),
            is_own(&subject),
            "an agent publishes {subject}"
        );
    }
    for subject in subscribes() {
        let own = subject == lane("eu").seen()
            || subject.starts_with("fc.live.p00.eu.")
            || subject.starts_with("_IN.eu.");
        assert_eq!(
            eu.may_subscribe(&subject),
            own,
            "an agent subscribes {subject}"
        );
    }
    for grant in GRANTS.iter().filter(|grant| grant.role != Role::Operator) {
        let role = of(grant.role, "probe");
        let who = grant.word;
        for subject in publishes() {
            let may = role.may_publish(&subject);
            let only = |roles: &[Role]| {
                assert!(
                    !may || roles.contains(&grant.role),
                    "{who} publishes {subject}"
                )
            };
            match subject.as_str() {
                s if s.starts_with("fc.log.") || s.starts_with("fc.work.") => only(&[Role::Ingest]),
                s if s.starts_with("fc.base.") || s.starts_with("fc.live.") => only(&[]),
                s if s.starts_with("fc.seen.") => only(&[Role::Aggregator]),
                s if s.starts_with("fc.ack.")
                    || s.starts_with("fc.heartbeat.")
                    || s.starts_with("fc.sync.") =>
                {
                    only(&[Role::Agent])
                }
                s if s.starts_with("fc.query.documents")
                    || s.starts_with("fc.query.ahead")
                    || s.starts_with("fc.query.rebuild") =>
                {
                    only(&[Role::Ingest])
                }
                s if s.starts_with("$SYS.") => only(&[]),
                s if s.starts_with("$JS.API.") => only(&[Role::Ingest, Role::Aggregator]),
                _ => {}
            }
            let takes_away = [
                "STREAM.DELETE",
                "STREAM.PURGE",
                "MSG.DELETE",
                "SNAPSHOT",
                "RESTORE",
            ]
            .iter()
            .any(|call| subject.contains(call));
            if may && subject.starts_with("$JS.API.") && takes_away {
                assert!(
                    subject.starts_with("$JS.API.STREAM.PURGE.FC_WORK_"),
                    "{who} publishes {subject}"
                );
            }
        }
        for subject in [
            "_INBOX.>",
            "_INBOX.another.>",
            "_IN.>",
            "_IN.us.>",
            ">",
            "fc.>",
            "fc.live.>",
        ] {
            assert!(!role.may_subscribe(subject), "{who} subscribes {subject}");
        }
    }
}
