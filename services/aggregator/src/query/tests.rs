//! Questions and requests, hostile ones too.

use super::*;

#[test]
fn subjects_are_questions_or_refusals() {
    let web: ObjectKey = "Deployment.apps/shop/web".parse().unwrap();
    for (subject, expected) in [
        (subject::query("objects", None), Ok(Question::Objects(None))),
        (
            subject::query("objects", Some(&web)),
            Ok(Question::Objects(Some(web.clone()))),
        ),
        (
            subject::query("explain", Some(&web)),
            Ok(Question::Explain(web.clone())),
        ),
        (subject::query("explain", None), Err("object")),
        (subject::query("clusters", None), Ok(Question::Clusters)),
        (subject::query("digest", None), Ok(Question::Digest)),
        (
            subject::query("history", Some(&web)),
            Ok(Question::History(web.clone())),
        ),
        (subject::query("history", None), Err("object")),
        (
            subject::query("diff", Some(&web)),
            Ok(Question::Diff(web.clone())),
        ),
        (
            subject::query("documents", None),
            Ok(Question::Documents(None)),
        ),
        (
            subject::query("ahead", Some(&web)),
            Ok(Question::Ahead(Some(web.clone()))),
        ),
        (subject::query("secrets", None), Err("what")),
        ("fc.query.objects".to_owned(), Err("object")),
        ("fc.query.objects.a.b".to_owned(), Err("object")),
        ("fc.query.objects.1.=zz.c.d".to_owned(), Err("object")),
    ] {
        let read = Question::read(&subject);
        let read = read.as_ref().map_err(|refusal| refusal.field.as_str());
        assert_eq!(read, expected.as_ref().map_err(|field| *field), "{subject}");
    }
}

#[test]
fn requests_are_read_or_refused() {
    assert_eq!(read_request(b""), Ok(Request::default()));
    assert_eq!(read_request(b"{}"), Ok(Request::default()));
    let request = read_request(br#"{"min_log": 7, "cluster": "eu-1", "wait_ms": 0}"#).unwrap();
    assert_eq!((request.min_log, request.wait_ms), (Some(7), Some(0)));
    let at = |text: &str| read_request(text.as_bytes()).map(|request| request.at);
    assert_eq!(at(r#"{"at": 812}"#), Ok(Some(At::Sequence(812))));
    assert_eq!(
        at(r#"{"at": "1970-01-01T00:00:01.5Z"}"#),
        Ok(Some(At::Time(fleetcast_core::time::Time(1_500))))
    );
    let places = at(r#"{"at": {"log": 3, "acks": {"p00": 4}, "time": "1970-01-01T00:00:00Z"}}"#);
    assert!(matches!(places, Ok(Some(At::Places(places))) if places.log == 3));
    let long = vec![b' '; REQUEST_LIMIT + 1];
    for hostile in [
        &b"7"[..],
        b"{",
        br#"{"min_log": -1}"#,
        br#"{"cluster": "EU"}"#,
        br#"{"at": "yesterday"}"#,
        br#"{"at": -1}"#,
        b"\xff",
        &long,
    ] {
        assert!(read_request(hostile).is_err());
    }
}

#[tokio::test]
async fn a_query_waits_for_its_sequence_and_is_refused_after() {
    let shared = Arc::new(Shared::default());
    let request = |min_log, wait_ms| Request {
        min_log: Some(min_log),
        wait_ms: Some(wait_ms),
        ..Request::default()
    };
    let at = |log, end, is_whole| Progress { log, end, is_whole };
    for (progress, field, message) in [
        (at(0, None, false), "", "no log yet"),
        (at(3, Some(9), false), "", "still being folded, at 3 of 9"),
        (
            at(9, Some(9), true),
            "min_seq",
            "folded up to 9, not yet to 10",
        ),
    ] {
        shared.progress.send_replace(progress);
        let refusal = wait(&shared, &request(10, 1)).await.unwrap_err();
        assert_eq!(refusal.field, field);
        assert!(refusal.message.contains(message), "{refusal}");
    }
    assert_eq!(wait(&shared, &request(9, 0)).await, Ok(()));
    let waiting = tokio::spawn({
        let (shared, request) = (Arc::clone(&shared), request(10, 10_000));
        async move { wait(&shared, &request).await }
    });
    shared.progress.send_replace(at(10, Some(9), true));
    assert_eq!(waiting.await.unwrap(), Ok(()));
}
