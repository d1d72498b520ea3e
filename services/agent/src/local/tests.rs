//! What comes back from a local copy, and what does not.

use fleetcast_core::document::Document;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::time::Time;
use fleetcast_core::work::{Body, Stamp};

use super::*;

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).expect("valid")
}

fn epoch() -> Epoch {
    Epoch::try_from("1.hub".to_owned()).expect("valid")
}

fn work(name: &str, n: u64) -> Work {
    Work {
        cluster: cluster("eu"),
        object: format!("Secret/shop/{name}").parse().expect("valid"),
        revision: n,
        decision: n,
        decision_epoch: epoch(),
        digest: Some("d".to_owned()),
        stamp: Stamp {
            epoch: epoch(),
            term: 1,
            incarnation: "i".to_owned(),
            n,
        },
        time: Time(0),
        causation: "c".to_owned(),
        correlation: "c".to_owned(),
        body: Body::Apply {
            manifest: Document::from_bytes("x".repeat(5_000).into_bytes()),
            policy: ApplyPolicy::default(),
        },
    }
}

fn up_to(n: u64) -> Memory {
    Memory {
        epoch: Some(epoch()),
        term: 1,
        incarnation: "i".to_owned(),
        n,
        sequence: n,
    }
}

/// A folder with a copy of the work `a` and `b` up to 2.
async fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (copy, kept) = Copy::open(folder.path(), &cluster("eu"), &up_to(0)).expect("opened");
    assert_eq!(kept, None);
    for (name, n) in [("gone", 1), ("a", 1), ("b", 1), ("b", 2)] {
        copy.keep(Box::new(work(name, n)));
    }
    copy.drop(work("gone", 1).object);
    copy.is_complete_up_to(cluster("eu"), up_to(2));
    copy.close().await;
    folder
}

fn opened(folder: &tempfile::TempDir, memory: &Memory) -> Option<Vec<Work>> {
    let (_, kept) = Copy::open(folder.path(), &cluster("eu"), memory).expect("opened");
    kept
}

/// The newest work per object comes back, readable by its owner alone.
#[tokio::test]
async fn what_was_kept_comes_back() {
    let folder = folder().await;
    let kept = vec![work("a", 1), work("b", 2)];
    assert_eq!(opened(&folder, &up_to(2)), Some(kept));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    for file in fs::read_dir(folder.path().join("work")).expect("a folder") {
        assert_eq!(mode(&file.expect("a file").path()), 0o600);
    }
}

/// Where the cluster's memory is another one's, or further on, somebody else acted since: nothing of the copy is used, now or later.
#[tokio::test]
async fn a_copy_that_is_behind_the_cluster_is_not_used() {
    let other = |change: fn(&mut Memory)| {
        let mut memory = up_to(2);
        change(&mut memory);
        memory
    };
    for memory in [
        up_to(3),
        other(|memory| memory.incarnation = "j".to_owned()),
        other(|memory| memory.epoch = None),
        Memory::default(),
    ] {
        let folder = folder().await;
        assert_eq!(opened(&folder, &memory), None, "{memory:?}");
        assert_eq!(opened(&folder, &up_to(2)), None, "emptied: {memory:?}");
    }
    let further = opened(&folder().await, &up_to(1));
    assert_eq!(
        further.map(|kept| kept.len()),
        Some(2),
        "further on than the cluster"
    );
}

/// A file that is not whole is passed over, and the others are not.
#[tokio::test]
async fn what_is_not_whole_is_passed_over() {
    let folder = folder().await;
    for (name, bytes) in [("a", &b""[..]), ("b", &b"no digest\n{}\n"[..])] {
        let path = folder
            .path()
            .join("work")
            .join(digest::short(work(name, 1).object.to_string().as_bytes()));
        let before = fs::read(&path).expect("there");
        for broken in [bytes, &before[..before.len() - 1]] {
            fs::write(&path, broken).expect("written");
            let kept = opened(&folder, &up_to(2)).map(|kept| kept.len());
            assert_eq!(kept, Some(1), "{name}");
        }
        fs::write(&path, before).expect("written");
    }
}

/// A folder serves one cluster.
#[tokio::test]
async fn another_clusters_copy_is_refused() {
    let folder = folder().await;
    let refused = Copy::open(folder.path(), &cluster("us"), &up_to(2));
    let refused = refused.err().expect("refused").to_string();
    assert!(refused.contains("cluster eu"), "{refused}");
    let kept = opened(&folder, &up_to(2)).map(|kept| kept.len());
    assert_eq!(kept, Some(2), "and left as it is");
}
