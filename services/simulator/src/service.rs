//! The edge between HTTP and the store: reads a request, carries it out, and streams watches.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use crate::discovery;
use crate::kinds;
use crate::protobuf;
use crate::request::{self, Request as Wanted};
use crate::server::Server;
use crate::status::Failure;
use crate::store::{Answer, OpenWatch};
use crate::validate::BODY_LIMIT_BYTES;
use crate::view;

/// An answer's body: whole, or the stream of a watch.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// Answers requests to one cluster, over HTTP or without.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    server: Server,
}

impl Service {
    pub(crate) fn new(server: Server) -> Self {
        Service { server }
    }

    /// Answers one request; an error is a connection that breaks.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> io::Result<Response<AnswerBody>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let ordered = self.server.orders().read();
        if !ordered.cut_off && !ordered.latency.is_zero() {
            sleep(ordered.latency).await;
        }
        // What is ordered may have changed meanwhile.
        let ordered = self.server.orders().read();
        if ordered.cut_off {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("cluster {} is cut off", self.server.name()),
            ));
        }
        if let Some(refusal) = ordered.refusal {
            return Ok(failed(&refusal));
        }
        let (parts, body) = request.into_parts();
        let wanted = match request::parse(&parts.method, &parts.uri, &parts.headers) {
            Ok(wanted) => wanted,
            Err(failure) => return Ok(failed(&failure)),
        };
        self.server.counters().count(&wanted);
        let Ok(body) = Limited::new(body, BODY_LIMIT_BYTES).collect().await else {
            return Ok(failed(&Failure::too_large(BODY_LIMIT_BYTES)));
        };
        Ok(match protobuf::to_json(body.to_bytes()) {
            Ok(body) => self.carry_out(&wanted, &body),
            Err(failure) => failed(&failure),
        })
    }

    fn carry_out(&self, wanted: &Wanted, body: &[u8]) -> Response<AnswerBody> {
        match wanted {
            Wanted::Discovery(question) => {
                let mut kinds = kinds::all().to_vec();
                kinds.extend(self.server.store().custom_kinds().cloned());
                match discovery::tell(question, &kinds) {
                    Ok(told) if *question == request::Discovery::Health => {
                        plain_text(told.body.as_str().unwrap_or_default())
                    }
                    Ok(told) => {
                        let content_type = if told.aggregated {
                            discovery::AGGREGATED
                        } else {
                            JSON
                        };
                        whole(200, content_type, told.body.to_string())
                    }
                    Err(failure) => failed(&failure),
                }
            }
            Wanted::Objects(request) => match self
                .server
                .with_store(|store, moment| store.carry_out(request, body, moment))
            {
                Ok(Answer::Body { code, body }) => whole(code, JSON, body),
                Ok(Answer::WatchRefused(failure)) => whole(200, JSON, view::error(&failure.body())),
                Ok(Answer::Watch(watch)) => watched(self.server.clone(), watch),
                Err(failure) => failed(&failure),
            },
        }
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<AnswerBody>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response<AnswerBody>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

const JSON: &str = "application/json";

fn whole(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let body = Full::new(body.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync();
    with_type(code, content_type, body)
}

fn with_type(code: u16, content_type: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn plain_text(text: &str) -> Response<AnswerBody> {
    whole(200, "text/plain; charset=utf-8", text.to_owned())
}

fn failed(failure: &Failure) -> Response<AnswerBody> {
    let mut response = whole(failure.code, JSON, failure.body().to_string());
    if failure.code == 429 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The stream of a watch: what comes first, then what happens, until its time is up or the cluster is cut off.
fn watched(server: Server, watch: OpenWatch) -> Response<AnswerBody> {
    let mut first = Vec::new();
    for (change, stored) in &watch.first {
        first.extend(view::event(
            &watch.target,
            *change,
            stored,
            watch.view,
            Utc::now(),
        ));
    }
    if let Some(version) = watch.initial_events_end {
        first.extend(view::bookmark(&watch.target, watch.view, version, true));
    }
    let until = watch
        .timeout_seconds
        .map(|seconds| Box::pin(sleep(Duration::from_secs(seconds))));
    let first = (!first.is_empty()).then(|| Ok(Frame::data(Bytes::from(first))));
    let rest = stream::unfold(
        Some(Following {
            server,
            watch,
            until,
        }),
        |following| async move { following?.next().await },
    );
    let lines: BoxStream<'static, io::Result<Frame<Bytes>>> =
        stream::iter(first).chain(rest).boxed();
    with_type(200, JSON, StreamBody::new(lines).boxed_unsync())
}

struct Following {
    server: Server,
    watch: OpenWatch,
    until: Option<Pin<Box<Sleep>>>,
}

impl Following {
    /// The next lines, and what is to come after them.
    async fn next(mut self) -> Option<(io::Result<Frame<Bytes>>, Option<Following>)> {
        let told = match &mut self.until {
            Some(until) => tokio::select! {
                biased;
                told = self.watch.queue.recv() => told,
                () = until => return self.last_lines(),
            },
            None => self.watch.queue.recv().await,
        };
        match told {
            Some((change, stored)) => {
                let line = view::event(
                    &self.watch.target,
                    change,
                    &stored,
                    self.watch.view,
                    Utc::now(),
                );
                Some((Ok(Frame::data(line.into())), Some(self)))
            }
            // The server ended the watch: the connection broke, or the kind is no longer served.
            None if self.server.orders().read().cut_off => Some((
                Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    "the cluster was cut off",
                )),
                None,
            )),
            None => None,
        }
    }

    /// The time is up: a bookmark tells how far the watch has come.
    fn last_lines(mut self) -> Option<(io::Result<Frame<Bytes>>, Option<Following>)> {
        // Whatever is in the queue now is not newer than this version, and nothing up to it is missing.
        let version = self.server.store().version();
        let mut lines = Vec::new();
        while let Ok((change, stored)) = self.watch.queue.try_recv() {
            lines.extend(view::event(
                &self.watch.target,
                change,
                &stored,
                self.watch.view,
                Utc::now(),
            ));
        }
        if self.watch.bookmarks {
            lines.extend(view::bookmark(
                &self.watch.target,
                self.watch.view,
                version,
                false,
            ));
        }
        (!lines.is_empty()).then(|| (Ok(Frame::data(lines.into())), None))
    }
}
