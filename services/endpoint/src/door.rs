//! A service's API: where it listens, who is let in, what is counted of it.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use fleetcast_schemas::role::Role;
use tokio::sync::watch;

use crate::metrics::Counters;
use crate::{Access, Caller, Health, Listener, answer, listen};

/// Where a service listens for whoever bears a token.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    access: Access,
    health: Health,
    requests: Counters,
}

impl Door {
    /// Lets `access` decide who comes in.
    pub fn new(listener: Listener, access: Access, health: Health) -> Self {
        health.watches(listener.expiries());
        let help = "Requests over HTTP by their status: 401 are tokens that nobody knows, 403 roles, 408 slow bodies, 413 large ones, 429 too many";
        Self {
            listener,
            access,
            requests: health.counters("http_requests", help, "status", &[]),
            health,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.listener.address()
    }

    /// Serves `open` and the probes to everybody, `closed` and the metrics to whoever is let in, until `stop` says so.
    pub async fn serve(&self, open: Router, closed: Router, stop: watch::Receiver<bool>) {
        let metrics = self.health.metrics();
        let metrics = metrics.route_layer(middleware::from_fn(readers_only));
        let requests = self.requests.clone();
        let routes = open
            .merge(self.health.probes())
            .merge(self.access.guard(closed.merge(metrics)));
        let count = move |request: Request, next: Next| {
            let requests = requests.clone();
            async move {
                let response = next.run(request).await;
                requests.count(response.status().as_str().to_owned());
                response
            }
        };
        let routes = listen::explaining(routes).layer(middleware::from_fn(count));
        self.listener.serve(routes, stop).await;
    }
}

/// What a process counts is not for whoever may only hand in.
async fn readers_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(caller) if matches!(caller.role, Role::Reader | Role::Operator) => {
            next.run(request).await
        }
        Some(caller) => answer::refused(
            StatusCode::FORBIDDEN,
            "authorization",
            format!(
                "{} is a {}: metrics are for readers and operators",
                caller.name,
                caller.role.word()
            ),
        ),
        None => answer::unauthorized("say who asks: `Authorization: Bearer TOKEN`"),
    }
}
