//! What is still needed is not cut: each refusal by name.

use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::append::Expected;
use fleetcast_bus::streams;
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::{Headers, Message, codec, event, subject};
use fleetcast_tests::harness::{eventually, nats_server};

use crate::Fleet;

/// Shows each refusal: it is named, and nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_needed_is_not_cut() {
    let Some(server) = nats_server("what_is_still_needed_is_not_cut") else {
        return;
    };
    let mut fleet = Fleet::new(server).await;
    let cut = fleet.last().await;
    let nobody = ["--without-backup"];
    refused(
        &fleet,
        cut,
        &["--backup", "nowhere"],
        "nowhere holds no backup",
    );
    refused(
        &fleet,
        cut,
        &["--without-backup", "--acks", "5m"],
        "at least 1h",
    );

    // An aggregator that answers, and has not folded that far.
    let behind: Objects = client::query(&fleet.bus, "objects", None, &Request::default())
        .await
        .expect("the view answers");
    let mut behind = serde_json::to_value(behind).expect("it serializes");
    behind["as_of"]["log"] = (cut - 2).into();
    let aggregator = fleet.running.pop().expect("it runs");
    aggregator.stop().await;
    let mut asked = fleet
        .bus
        .subscribe_queue(subject::QUERY, "aggregator")
        .await
        .expect("subscribed");
    let answering = tokio::spawn({
        let bus = fleet.bus.clone();
        async move {
            while let Some(query) = asked.next().await {
                let Some(reply) = query.reply else { continue };
                let message = Message {
                    subject: reply,
                    headers: Headers::default().with(DATACONTENTTYPE, codec::JSON),
                    payload: behind.to_string().into_bytes(),
                };
                bus.publish(message).await.expect("answered");
            }
        }
    });
    refused(&fleet, cut, &nobody, "the aggregator has folded up to");
    answering.abort();
    assert!(answering.await.is_err());

    // Nobody who knows what acknowledgements said that have aged out.
    let acks = streams::acks(0);
    let last = fleet.bus.last_sequence(&acks).await.expect("a stream");
    fleet.bus.forget(&acks, ">", 1).await.expect("aged out");
    assert!(last > 1);
    refused(&fleet, cut, &nobody, "start the aggregator");

    // A leader that writes work anew, and has not come to its end.
    fleet.stop().await;
    let work = streams::work(0);
    let fence = fleet.bus.newest_of(&work, &subject::fence(0)).await;
    let fence = fence.expect("answered").expect("a fence").message;
    let mut fence = event::read_fence(&fence.headers, &fence.payload).expect("readable");
    (fence.complete, fence.term) = (false, fence.term + 1);
    let fence = event::fence(&fence, 0, fleetcast_bus::now());
    let stored = fleet.bus.append(fence, Expected::Anything).await;
    stored.expect("stored");
    let mut lease = None;
    eventually("the lease is free", async || {
        lease = fleet
            .bus
            .take_lease(streams::PLACER, "slow")
            .await
            .ok()
            .flatten();
        lease.is_some()
    })
    .await;
    refused(&fleet, cut, &nobody, "is being written anew");
    if let Some(lease) = lease {
        lease.release().await;
    }

    // A log in which an event is missing.
    let object = "ConfigMap/default/o1".parse().expect("valid");
    let changes = subject::change(&object);
    let newest = fleet.bus.newest_of(streams::LOG, &changes).await;
    let newest = newest.expect("answered").expect("a change").sequence;
    let gone = fleet.bus.forget(streams::LOG, &changes, newest).await;
    gone.expect("taken away");
    refused(&fleet, cut, &nobody, "the log does not fit together");

    assert_eq!(fleet.first().await, 1, "nothing was cut");
    let bases = fleet.bus.bounds(streams::BASE).await.expect("a stream");
    assert_eq!(bases.last, 0, "and no base was made");
}

/// Runs `retain --to`, one event before `cut`, and expects it to say `said` and do nothing.
fn refused(fleet: &Fleet, cut: u64, more: &[&str], said: &str) {
    let to = (cut - 1).to_string();
    let args = ["retain", "--to", &to, "--yes"];
    let output = fleet.run(&[&args[..], more].concat());
    assert_ne!(output.status, 0, "{said:?}: {output:?}");
    let all = format!("{}{}", output.out, output.err);
    assert!(all.contains(said), "{said:?} in {all}");
}
