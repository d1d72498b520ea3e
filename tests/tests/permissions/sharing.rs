//! Two agents of one cluster that have one Secret, and renew the credentials in it at the same moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleetcast_agent::Options;
use fleetcast_auth::authority::Issue;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::{Connect, Credentials};
use fleetcast_core::model::ClusterName;
use fleetcast_endpoint::Health;
use fleetcast_endpoint::health::LAG;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, config_map, eventually, held, keys, nats_server, unix_seconds,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, PostParams};
use tokio::sync::watch;

const NAMESPACE: &str = "fleetcast-system";
const NAME: &str = "fleetcast-agent";
/// How long the credentials count, seconds: half of that is between two renewals.
const TTL_S: u64 = 16;

/// An agent of the cluster with a folder of its own, as a pod has one.
struct Agent {
    folder: PathBuf,
    health: Health,
    stop: watch::Sender<bool>,
}

impl Agent {
    /// Starts it with what is mounted from the Secret now.
    fn start(bed: &Bed, cluster: &Cluster, identity: &str, mounted: &CredentialsFile) -> Self {
        let folder = bed.directory.path().join(format!("agent-{identity}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("mounted.creds");
        mounted.write(&path).expect("written");
        let health = Health::new(LAG, &[]);
        let options = Options {
            cluster: ClusterName::parse(cluster.name()).expect("a name"),
            partitions: 1,
            bus: Connect {
                credentials: Credentials::File(path),
                ..bed.connect.clone()
            },
            client: cluster.client(),
            reporting: fleetcast_agent::cluster::Reporting::default(),
            state: Some(folder.clone()),
            measure_every: None,
            sealing_keys: Arc::new(keys(cluster.name())),
            identity: identity.to_owned(),
            health: health.clone(),
            namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
            creds_secret: Some(NAME.to_owned()),
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(fleetcast_agent::run(options, stopped));
        Self {
            folder,
            health,
            stop,
        }
    }

    /// What it uses.
    fn own(&self) -> CredentialsFile {
        read(&self.folder.join("bus.creds"))
    }

    fn is_connected(&self) -> bool {
        let missing = self.health.missing();
        !missing.iter().any(|why| why.contains("not connected"))
    }
}

fn read(path: &Path) -> CredentialsFile {
    CredentialsFile::read(path).expect("credentials")
}

fn ends(file: &CredentialsFile) -> i64 {
    file.claims().expect("claims").ends_at
}

async fn in_secret(secrets: &Api<Secret>) -> CredentialsFile {
    let secret = secrets.get(NAME).await.expect("the Secret");
    let data = secret.data.expect("data");
    let text = String::from_utf8(data["creds"].0.clone()).expect("text");
    CredentialsFile::parse(&text).expect("credentials")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_that_renew_into_one_secret_at_once_both_go_on() {
    let test = "two_agents_that_renew_into_one_secret_at_once_both_go_on";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let eu = Cluster::new("eu");
    bed.register(&bus, &["eu"]).await;
    let issue = Issue {
        role: Role::Agent,
        name: "eu".to_owned(),
        ttl_s: Some(TTL_S),
        kinds: Vec::new(),
        namespaces: Vec::new(),
    };
    let first = bed.issue(&issue);
    let namespace = Namespace {
        metadata: kube::core::ObjectMeta {
            name: Some(NAMESPACE.to_owned()),
            ..Default::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(eu.client());
    let made = namespaces.create(&PostParams::default(), &namespace).await;
    made.expect("a namespace");
    let secrets: Api<Secret> = Api::namespaced(eu.client(), NAMESPACE);
    let creds = ByteString(first.text().into_bytes());
    let secret = Secret {
        metadata: kube::core::ObjectMeta {
            name: Some(NAME.to_owned()),
            ..Default::default()
        },
        data: Some([("creds".to_owned(), creds)].into()),
        ..Secret::default()
    };
    let made = secrets.create(&PostParams::default(), &secret).await;
    made.expect("a Secret");

    let agents = ["one", "two"].map(|identity| Agent::start(&bed, &eu, identity, &first));
    bed.accept(&bus, &config_map("web", &["eu"], "1")).await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    // Three lives: five or six times both find half of the time over in the same second.
    let over = ends(&first) + 2 * i64::try_from(TTL_S).expect("small");
    let mut revision = 1;
    while unix_seconds() < over {
        revision += 1;
        let document = config_map("web", &["eu"], &revision.to_string());
        bed.accept(&bus, &document).await;
        bed.settled(&bus, "ConfigMap/default/web", revision).await;
        assert_eq!(in_secret(&secrets).await.seed, first.seed, "the same user");
    }
    for agent in &agents {
        eventually("it goes on renewing, and is connected", async || {
            ends(&agent.own()) > unix_seconds() && agent.is_connected()
        })
        .await;
        assert_eq!(agent.own().seed, first.seed);
        assert_ne!(agent.own().work_keys[0], first.work_keys[0]);
    }
    eventually("what stands in the Secret counts", async || {
        ends(&in_secret(&secrets).await) > unix_seconds()
    })
    .await;

    // Whichever acted, the other one takes over with what it has; and one that begins with the Secret alone does, too.
    let [one, two] = agents;
    one.stop.send_replace(true);
    let lands = async |text: &str, revision: u64| {
        bed.accept(&bus, &config_map("web", &["eu"], text)).await;
        bed.settled(&bus, "ConfigMap/default/web", revision).await;
        let web = held(&eu, "v1", "ConfigMap", Some("default"), "web").await;
        assert_eq!(web.expect("it is there")["data"]["text"], text);
    };
    lands("without the first", revision + 1).await;
    two.stop.send_replace(true);
    let three = Agent::start(&bed, &eu, "three", &in_secret(&secrets).await);
    lands("by a third", revision + 2).await;
    three.stop.send_replace(true);
}
