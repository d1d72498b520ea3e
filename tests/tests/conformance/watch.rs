//! Watches: from a version, from the start, until their time is up, from too long ago.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::json;

use super::place::{Place, answer, config_map, delete, edit, version};

/// `+name` added, `~name` changed, `-name` deleted, `@` a bookmark, `@initial` the one that ends the beginning, `!410` an error.
fn describe(event: WatchEvent<DynamicObject>) -> String {
    let name = |object: DynamicObject| object.metadata.name.unwrap_or_default();
    match event {
        WatchEvent::Added(object) => format!("+{}", name(object)),
        WatchEvent::Modified(object) => format!("~{}", name(object)),
        WatchEvent::Deleted(object) => format!("-{}", name(object)),
        WatchEvent::Bookmark(bookmark) if bookmark.metadata.annotations.is_empty() => {
            "@".to_owned()
        }
        WatchEvent::Bookmark(_) => "@initial".to_owned(),
        WatchEvent::Error(status) => format!("!{} {}", status.code, status.reason),
    }
}

/// The first `count` events, without what the system does in every namespace and without bookmarks in between.
async fn collect(
    api: &Api<DynamicObject>,
    params: &WatchParams,
    version: &str,
    count: usize,
) -> Vec<String> {
    let events = api.watch(params, version).await.expect("a watch");
    let events = events
        .map_ok(describe)
        .try_filter(|event| std::future::ready(event != "@" && !event.contains("kube-root-ca")))
        .take(count)
        .try_collect();
    tokio::time::timeout(Duration::from_secs(30), events)
        .await
        .unwrap_or_else(|_| panic!("fewer than {count} events"))
        .expect("events")
}

/// A watch from a version tells everything after it, live and from the past; an object enters and leaves a selection.
pub(crate) async fn from_a_version_tells_all_after_it(place: &Place) {
    let maps = place.maps();
    place
        .create(config_map("a", &json!({})))
        .await
        .expect("created");
    let list = maps.list(&ListParams::default()).await.expect("listed");
    let from = list.metadata.resource_version.expect("a version");
    let live = tokio::spawn({
        let (maps, from) = (maps.clone(), from.clone());
        async move { collect(&maps, &WatchParams::default(), &from, 5).await }
    });
    let label = async |name: &str, value: &str| {
        let patch = json!({"metadata": {"labels": {"app": value}}});
        edit(&maps, "x", name, &patch).await.expect("edited");
    };
    place
        .create(config_map("b", &json!({})))
        .await
        .expect("created");
    label("b", "web").await;
    label("a", "web").await;
    label("a", "api").await;
    delete(&maps, "b").await;

    let expected = ["+b", "~b", "~a", "~a", "-b"];
    assert_eq!(live.await.expect("it does not panic"), expected);
    let params = WatchParams::default;
    assert_eq!(collect(&maps, &params(), &from, 5).await, expected);
    let web = params().labels("app=web");
    assert_eq!(
        collect(&maps, &web, &from, 4).await,
        ["+b", "+a", "-a", "-b"]
    );
    let a = params().fields("metadata.name=a");
    assert_eq!(collect(&maps, &a, &from, 2).await, ["~a", "~a"]);
}

/// Without a version a watch starts with what is there; with `sendInitialEvents` a bookmark ends that part.
pub(crate) async fn from_the_start_tells_what_is_there_first(place: &Place) {
    let maps = place.maps();
    for name in ["a", "b"] {
        place
            .create(config_map(name, &json!({})))
            .await
            .expect("created");
    }
    let mut first = collect(&maps, &WatchParams::default(), "0", 2).await;
    first.sort();
    assert_eq!(first, ["+a", "+b"]);
    let streaming = WatchParams::default().initial_events();
    let mut first = collect(&maps, &streaming, "", 3).await;
    assert_eq!(first.pop().as_deref(), Some("@initial"));
    first.sort();
    assert_eq!(first, ["+a", "+b"]);
}

/// A watch ends when its time is up.
pub(crate) async fn ends_when_its_time_is_up(place: &Place) {
    let made = place
        .create(config_map("a", &json!({})))
        .await
        .expect("created");
    let params = WatchParams::default().timeout(1).disable_bookmarks();
    let none: [&str; 0] = [];
    let secrets = place.of("v1", "Secret");
    let events = collect(&secrets, &params, &version(&made), usize::MAX).await;
    assert_eq!(events, none);
}

/// Before its time is up a watch tells by a bookmark how far it has come, also where nothing that it is about happened; a watch from there goes on.
pub(crate) async fn a_bookmark_comes_before_the_end(place: &Place) {
    let made = place.create(config_map("a", &json!({}))).await;
    let begin = version(&made.expect("created"));
    let later = place.create(config_map("b", &json!({}))).await;
    let later = version(&later.expect("created"));
    let (maps, params) = (place.maps(), || {
        WatchParams::default().timeout(5).labels("app=web")
    });
    let events = maps.watch(&params(), &begin).await.expect("a watch");
    let events: Vec<_> = events.try_collect().await.expect("events");
    let Some(WatchEvent::Bookmark(last)) = events.last() else {
        panic!("no bookmark: {events:?}");
    };
    let number = |version: &str| version.parse::<u64>().expect("a number");
    let reached = &last.metadata.resource_version;
    assert!(number(reached) >= number(&later), "{reached} {later}");
    let mut web = config_map("c", &json!({}));
    web["metadata"]["labels"] = json!({"app": "web"});
    place.create(&web).await.expect("created");
    assert_eq!(collect(&maps, &params(), reached, 1).await, ["+c"]);
}

/// What is no version is refused.
pub(crate) async fn what_is_no_version_is_refused(place: &Place) {
    let refused = place
        .maps()
        .watch(&WatchParams::default(), "no-version")
        .await;
    let refused = answer(refused.map(|_| ())).expect_err("not a version");
    assert_eq!(refused.code, 500, "{refused:?}");
    let words = "strconv.ParseUint: parsing \"no-version\": invalid syntax";
    assert!(refused.message.contains(words), "{refused:?}");
}

/// A version from before the server's window is gone.
pub(crate) async fn a_version_from_before_the_window_is_gone(place: &Place) {
    let gone = collect(&place.maps(), &WatchParams::default(), "1", 1).await;
    assert_eq!(gone, ["!410 Expired"]);
}
