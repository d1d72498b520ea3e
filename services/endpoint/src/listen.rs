//! Listening: only where plain text is safe or asked for, with limits on what a connection may cost, and nobody without a token.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, AUTHORIZATION};
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer;
use crate::tokens::TokenFile;

/// How many connections may be open; others wait until one ends.
const CONNECTIONS: usize = 512;
/// How long the head of a request may take, and how long a connection may say nothing between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a head may be, bytes.
const HEAD_LIMIT: usize = 32 * 1024;
/// How long a connection may be used; whoever has more to ask connects anew.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long a request may still take when the connection or the service ends.
const LAST_REQUEST: Duration = Duration::from_secs(30);
/// How long to wait after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a service listens, and who may ask it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address.
    pub address: SocketAddr,
    /// The file of tokens ([`crate::tokens`]).
    pub tokens: PathBuf,
    /// Whether it may listen beyond this machine although nothing is encrypted.
    pub plain_text: bool,
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tokens and documents would travel in plain text.
    #[error(
        "{0} can be reached from other machines, and HTTP is not encrypted here: listen on 127.0.0.1 behind a proxy that speaks TLS, or say --http-plain-text"
    )]
    PlainText(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Address(SocketAddr, std::io::Error),
    /// The file of tokens is of no use.
    #[error("the tokens in {}: {}", .0.display(), .1)]
    Tokens(PathBuf, String),
}

/// A socket that listens, with who may ask.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
    tokens: Arc<TokenFile>,
}

impl Listener {
    /// Listens; connections wait until [`Listener::serve`]. Called inside a Tokio runtime.
    ///
    /// # Errors
    /// Where the address or the tokens cannot be used.
    pub fn bind(options: &Options) -> Result<Self, Error> {
        let Options {
            address,
            tokens,
            plain_text,
        } = options;
        if !address.ip().is_loopback() && !plain_text {
            return Err(Error::PlainText(*address));
        }
        let file = TokenFile::open(tokens).map_err(|why| Error::Tokens(tokens.clone(), why))?;
        let failed = |error| Error::Address(*address, error);
        let socket = TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            address: socket.local_addr().map_err(failed)?,
            socket: tokio::net::TcpListener::from_std(socket).map_err(failed)?,
            tokens: Arc::new(file),
        })
    }

    /// Where it listens, with the port that it got where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `open` to everybody and `closed` to whoever bears a token ([`crate::Caller`] is among its request's extensions), until `stop` says so.
    pub async fn serve(&self, open: Router, closed: Router, mut stop: watch::Receiver<bool>) {
        let tokens = Arc::clone(&self.tokens);
        let closed = closed.route_layer(middleware::from_fn_with_state(tokens, let_in));
        let routes = open
            .merge(closed)
            .fallback(nothing)
            .layer(middleware::from_fn(explain_method));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (self.socket.accept().await, place)
            };
            tokio::select! {
                () = ends(&mut stop) => break,
                (accepted, place) = accepted => match accepted {
                    Ok((stream, _)) => {
                        let (routes, stop) = (routes.clone(), stop.clone());
                        connections.spawn(async move {
                            serve_connection(stream, routes, stop).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
            while connections.try_join_next().is_some() {}
        }
        while connections.join_next().await.is_some() {}
    }
}

async fn ends(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn serve_connection(stream: TcpStream, routes: Router, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with its delay");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ends(&mut stop) => last(connection).await,
        () = tokio::time::sleep(LIFETIME) => last(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

/// Lets the request that is under way end, and takes no other.
async fn last(mut connection: std::pin::Pin<&mut Connection>) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(LAST_REQUEST, connection)
        .await
        .unwrap_or(Ok(()))
}

/// Asks who asks.
async fn let_in(
    State(tokens): State<Arc<TokenFile>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return answer::unauthorized("say who asks: `Authorization: Bearer TOKEN`");
    };
    let token = header.to_str().ok().and_then(|text| text.split_once(' '));
    let caller = token
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| tokens.whose(token.trim()));
    match caller {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => answer::unauthorized("this token is not known here"),
    }
}

async fn nothing(request: Request) -> Response {
    answer::not_found(request.uri().path())
}

/// The router's own answer to a wrong method has no body: gives it one.
async fn explain_method(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(ALLOW).cloned();
        return answer::wrong_method(method.as_str(), allow);
    }
    response
}
