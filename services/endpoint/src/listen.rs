//! Listening: only where plain text is safe or asked for, with limits on what a connection may cost.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use fleetcast_core::expiry::{Expiry, Told};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer;
pub use crate::limits::Limits;
use crate::tls::{Acceptor, Tls};

/// Between two looks at what ends soon.
const LOOK: Duration = Duration::from_secs(60);
/// How long to wait after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a service listens.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address.
    pub address: SocketAddr,
    /// Whether it may listen beyond this machine although nothing is encrypted.
    pub plain_text: bool,
    /// TLS; none for plain text.
    pub tls: Option<Tls>,
    /// What a connection may cost.
    pub limits: Limits,
}

impl Options {
    /// On this machine, with the usual limits.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            plain_text: false,
            tls: None,
            limits: Limits::default(),
        }
    }
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tokens and documents would travel in plain text.
    #[error(
        "{0} can be reached from other machines, and HTTP is not encrypted here: name a certificate with --http-tls-cert and --http-tls-key, listen on 127.0.0.1 behind a proxy that speaks TLS, or say --http-plain-text"
    )]
    PlainText(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Address(SocketAddr, std::io::Error),
    /// The files of TLS are of no use.
    #[error("TLS of HTTP: {0}")]
    Tls(String),
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Acceptor>>,
    limits: Limits,
}

impl Listener {
    /// Listens; connections wait until [`Listener::serve`]. Called inside a Tokio runtime.
    ///
    /// # Errors
    /// Where the address or the files of TLS cannot be used.
    pub fn bind(options: &Options) -> Result<Self, Error> {
        let Options {
            address,
            plain_text,
            tls,
            limits,
        } = options;
        if !address.ip().is_loopback() && !plain_text && tls.is_none() {
            return Err(Error::PlainText(*address));
        }
        let tls = tls.as_ref().map(Acceptor::open).transpose();
        let tls = tls.map_err(Error::Tls)?;
        let failed = |error| Error::Address(*address, error);
        let socket = TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            address: socket.local_addr().map_err(failed)?,
            socket: tokio::net::TcpListener::from_std(socket).map_err(failed)?,
            tls: tls.map(Arc::new),
            limits: *limits,
        })
    }

    /// Where it listens, with the port that it got where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When its certificates end, as they are now.
    pub(crate) fn expiries(&self) -> impl Fn() -> Vec<Expiry> + Send + Sync + 'static {
        let tls = self.tls.clone();
        move || tls.as_ref().map_or_else(Vec::new, |tls| tls.expiries())
    }

    /// Serves `routes` until `stop` says so; then it takes nothing more, and ends when what is under way is answered.
    pub async fn serve(&self, routes: Router, mut stop: watch::Receiver<bool>) {
        let limits = self.limits;
        let routes = routes.layer(Extension(answer::Patience(limits.body)));
        let room = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        let (expiries, mut told) = (self.expiries(), Told::default());
        let mut look = tokio::time::interval(LOOK);
        loop {
            let accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (self.socket.accept().await, place)
            };
            tokio::select! {
                () = ends(&mut stop) => break,
                _ = look.tick() => {
                    for warning in told.due(&expiries(), crate::unix_seconds()) {
                        tracing::warn!(reason = warning, "what HTTP is served with ends soon");
                    }
                }
                (accepted, place) = accepted => match accepted {
                    Ok((stream, _)) => {
                        let (routes, stop, tls) = (routes.clone(), stop.clone(), self.tls.clone());
                        connections.spawn(async move {
                            take(stream, tls, routes, limits, stop).await;
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

/// Serves one connection as it came.
async fn take(
    stream: TcpStream,
    tls: Option<Arc<Acceptor>>,
    routes: Router,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with its delay");
    }
    let Some(tls) = tls else {
        return serve_connection(stream, routes, limits, stop).await;
    };
    match tls.accept(stream).await {
        Ok(stream) => serve_connection(stream, routes, limits, stop).await,
        Err(error) => tracing::debug!(%error, "a connection does not speak TLS as it should"),
    }
}

/// Serves the requests of one connection, whatever it is carried by.
async fn serve_connection<S>(
    stream: S,
    routes: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ends(&mut stop) => last(connection, limits).await,
        () = tokio::time::sleep(limits.lifetime) => last(connection, limits).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

type Connection<S> = http1::Connection<TokioIo<S>, TowerToHyperService<Router>>;

/// Lets the request that is under way end, and takes no other.
async fn last<S>(
    mut connection: std::pin::Pin<&mut Connection<S>>,
    limits: Limits,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(limits.last_request, connection)
        .await
        .unwrap_or(Ok(()))
}

/// The same routes, with an answer in JSON where there is none for a path or a method.
pub(crate) fn explaining(routes: Router) -> Router {
    routes
        .fallback(nothing)
        .layer(middleware::from_fn(explain_method))
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
