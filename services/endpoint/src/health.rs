//! Whether a process lives and is ready, and what it counts: `/healthz`, `/readyz`, `/metrics`.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/healthz` | the process answers | – |
//! | `/readyz` | the bus is connected, the part that the process has is known, and it is not further behind than it may be | else, with what is missing |
//! | `/metrics` | what [`crate::metrics`] counts, as OpenMetrics | – |
//!
//! What ends soon is told by `/readyz` among `warnings`, and keeps nobody from being ready.
//!
//! A process that is asked to stop is not ready from that moment on, before it gives up what it holds.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use fleetcast_core::expiry::Expiry;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;
use tokio::sync::watch;

use crate::metrics::{Counter, Counters, Gauge, Gauges, Hops};
use crate::{Listener, answer, listen};

/// How far a process may be behind and be ready, messages, where nothing else is wanted.
pub const LAG: u64 = 10_000;

/// What [`text::encode`] writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The part that a process has among its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It does what one of them does.
    Leader,
    /// It waits, and takes over.
    Standby,
    /// Each of them does the same.
    Serving,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Standby => "standby",
            Self::Serving => "serving",
        }
    }
}

/// How a process stands.
#[derive(Debug, Clone, Default)]
struct Standing {
    connected: bool,
    part: Option<Part>,
    /// How far it is behind, messages; none while it does not know.
    lag: Option<u64>,
    stopping: bool,
}

impl Standing {
    /// What keeps it from being ready; nothing where it is.
    fn missing(&self, lag_limit: u64) -> Vec<String> {
        let Self {
            connected,
            part,
            lag,
            stopping,
        } = self;
        let mut missing = Vec::new();
        if *stopping {
            missing.push("it is asked to stop".to_owned());
        }
        if !connected {
            missing.push("the bus is not connected".to_owned());
        }
        if part.is_none() {
            missing.push("it neither leads nor stands by yet".to_owned());
        }
        match lag {
            None => missing.push("it does not know yet how far it is behind".to_owned()),
            Some(lag) if *lag > lag_limit => {
                missing.push(format!("it is {lag} messages behind, {lag_limit} may be"));
            }
            Some(_) => {}
        }
        missing
    }
}

/// What a process tells of itself; clones share it. The default one is asked by nobody, and costs next to nothing.
#[derive(Debug, Clone, Default)]
pub struct Health(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    lag_limit: u64,
    standing: Mutex<Standing>,
    bus: OnceLock<watch::Receiver<bool>>,
    registry: Mutex<Registry>,
    hops: Hops,
    own: Own,
    /// Where it is known when credentials and certificates end.
    ends: Mutex<Vec<Ends>>,
}

/// Says when something ends, as it is known now.
struct Ends(Box<dyn Fn() -> Vec<Expiry> + Send + Sync>);

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}

/// What every process exports of its standing.
#[derive(Debug)]
struct Own {
    ready: Gauge,
    connected: Gauge,
    leading: Gauge,
    lag: Gauge,
    expiry: Gauges,
}

impl Own {
    fn registered(registry: &mut Registry) -> Self {
        let own = Self {
            ready: Gauge::default(),
            connected: Gauge::default(),
            leading: Gauge::default(),
            lag: Gauge::default(),
            expiry: Gauges::new("what", &[]),
        };
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which version it is", build);
        let gauges = [
            ("ready", "1 where /readyz says yes", &own.ready),
            (
                "bus_connected",
                "1 where a NATS server is connected",
                &own.connected,
            ),
            (
                "leading",
                "1 where it does what one of its like does, 0 where it stands by or all do the same",
                &own.leading,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let messages = Unit::Other("messages".to_owned());
        let help = "How far it is behind: of the log, an aggregator's also of acknowledgements, an agent's of work that is not done and confirmed";
        registry.register_with_unit("lag", help, messages, own.lag.clone());
        let help = "When what the process connects or serves with ends, Unix time: absent where it never does";
        let name = "expiry_timestamp";
        registry.register_with_unit(name, help, Unit::Seconds, own.expiry.family.clone());
        own
    }
}

impl Health {
    /// Of a process that is ready where it is not more than `lag_limit` messages behind; each of its metrics bears `labels`.
    pub fn new(lag_limit: u64, labels: &[(&'static str, String)]) -> Self {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone().into()));
        let mut registry = Registry::with_prefix_and_labels("fleetcast", labels);
        let hops = Hops::default();
        let help = "How long each hop of a change's way takes";
        registry.register_with_unit("hop_lag", help, Unit::Seconds, hops.0.clone());
        Self(Some(Arc::new(Inner {
            lag_limit,
            standing: Mutex::default(),
            bus: OnceLock::new(),
            own: Own::registered(&mut registry),
            registry: Mutex::new(registry),
            hops,
            ends: Mutex::default(),
        })))
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        if let Some(inner) = &self.0 {
            change(&mut inner.standing());
        }
    }

    /// It is connected where `bus` says so.
    pub fn follows(&self, bus: watch::Receiver<bool>) {
        if let Some(inner) = &self.0 {
            // The first connection is the process's own; others are of its helpers.
            inner.bus.get_or_init(|| bus);
        }
    }

    /// What it connects or serves with ends as `ends` says.
    pub fn watches(&self, ends: impl Fn() -> Vec<Expiry> + Send + Sync + 'static) {
        if let Some(inner) = &self.0 {
            inner.ends().push(Ends(Box::new(ends)));
        }
    }

    /// What ends soon, in words.
    pub fn warnings(&self) -> Vec<String> {
        let Some(inner) = &self.0 else {
            return Vec::new();
        };
        let now = crate::unix_seconds();
        let ends = inner.expiries();
        ends.iter().filter_map(|ends| ends.warning(now)).collect()
    }

    /// It has this part, or none for now.
    pub fn has_part(&self, part: Option<Part>) {
        self.change(|standing| standing.part = part);
    }

    /// It is so many messages behind.
    pub fn is_behind(&self, lag: u64) {
        self.change(|standing| standing.lag = Some(lag));
    }

    /// It does not know how far it is behind.
    pub fn lost_its_place(&self) {
        self.change(|standing| standing.lag = None);
    }

    /// It is asked to stop: it is not ready from now on.
    pub fn stops(&self) {
        self.change(|standing| standing.stopping = true);
    }

    /// How long hops take.
    pub fn hops(&self) -> Hops {
        self.0
            .as_ref()
            .map_or_else(Hops::default, |inner| inner.hops.clone())
    }

    fn register(&self, register: impl FnOnce(&mut Registry)) {
        if let Some(inner) = &self.0 {
            register(&mut inner.registry());
        }
    }

    /// A counter under `fleetcast_<name>_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(|registry| registry.register(name, help, counter.clone()));
        counter
    }

    /// Counters under one name, apart by a label, whose values are few: those of `words` are there from the start.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        words: &[&'static str],
    ) -> Counters {
        let counters = Counters::new(label, words);
        self.register(|registry| registry.register(name, help, counters.family.clone()));
        counters
    }

    /// A gauge under `fleetcast_<name>`.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(|registry| registry.register(name, help, gauge.clone()));
        gauge
    }

    /// Gauges under one name, apart by a label, whose values are few.
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        words: &[&'static str],
    ) -> Gauges {
        let gauges = Gauges::new(label, words);
        self.register(|registry| registry.register(name, help, gauges.family.clone()));
        gauges
    }

    /// What keeps it from being ready; nothing where it is.
    pub fn missing(&self) -> Vec<String> {
        match &self.0 {
            Some(inner) => inner.now().missing(inner.lag_limit),
            None => Vec::new(),
        }
    }

    /// `/healthz` and `/readyz`, for everybody.
    pub fn probes(&self) -> Router {
        Router::new()
            .route("/healthz", get(lives))
            .route("/readyz", get(ready))
            .with_state(self.clone())
    }

    /// Serves all three to everybody: for probes and for Prometheus, on an address of their own.
    pub async fn serve(&self, listener: Listener, stop: watch::Receiver<bool>) {
        let routes = listen::explaining(self.probes().merge(self.metrics()));
        listener.serve(routes, stop).await;
    }

    /// `/metrics`.
    pub fn metrics(&self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }
}

impl Inner {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Ends>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.ends().iter().flat_map(|Ends(ends)| ends()).collect()
    }

    fn now(&self) -> Standing {
        let connected = self.bus.get().is_some_and(|bus| *bus.borrow());
        Standing {
            connected,
            ..self.standing().clone()
        }
    }

    fn text(&self) -> String {
        let standing = self.now();
        let Own {
            ready,
            connected,
            leading,
            lag,
            expiry,
        } = &self.own;
        expiry.family.clear();
        for Expiry { what, span, .. } in self.expiries() {
            expiry.set(what.word(), u64::try_from(span.ends_at).unwrap_or(0));
        }
        ready.set(standing.missing(self.lag_limit).is_empty().into());
        connected.set(standing.connected.into());
        leading.set((standing.part == Some(Part::Leader)).into());
        lag.set(
            standing
                .lag
                .map_or(0, |lag| i64::try_from(lag).unwrap_or(i64::MAX)),
        );
        let mut written = String::new();
        text::encode(&mut written, &self.registry()).expect("a string takes what is written");
        written
    }
}

async fn lives() -> Response {
    answer::json(StatusCode::OK, &json!({"lives": true}))
}

async fn ready(State(health): State<Health>) -> Response {
    let missing = health.missing();
    let standing = health.0.as_ref().map(|inner| inner.now());
    let standing = standing.unwrap_or_default();
    let status = match missing.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let told = json!({
        "ready": missing.is_empty(),
        "part": standing.part.map(Part::word),
        "lag": standing.lag,
        "missing": missing,
        "warnings": health.warnings(),
    });
    answer::json(status, &told)
}

async fn metrics(State(health): State<Health>) -> Response {
    let text = health.0.as_ref().map(|inner| inner.text());
    let mut response = Response::new(Body::from(text.unwrap_or_default()));
    let content_type = HeaderValue::from_static(OPEN_METRICS);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_is_connected_has_a_part_and_is_not_far_behind() {
        let whole = Standing {
            connected: true,
            part: Some(Part::Standby),
            lag: Some(10),
            stopping: false,
        };
        let alone = |standing: Standing| standing.missing(10);
        assert_eq!(alone(whole.clone()), Vec::<String>::new());
        let cases = [
            (
                Standing {
                    connected: false,
                    ..whole.clone()
                },
                "not connected",
            ),
            (
                Standing {
                    part: None,
                    ..whole.clone()
                },
                "neither leads",
            ),
            (
                Standing {
                    lag: None,
                    ..whole.clone()
                },
                "does not know",
            ),
            (
                Standing {
                    lag: Some(11),
                    ..whole.clone()
                },
                "11 messages behind, 10 may be",
            ),
            (
                Standing {
                    stopping: true,
                    ..whole
                },
                "asked to stop",
            ),
        ];
        for (standing, part) in cases {
            let missing = alone(standing);
            assert!(
                missing.len() == 1 && missing[0].contains(part),
                "{missing:?}"
            );
        }
    }

    #[test]
    fn what_is_counted_is_told_under_one_scheme() {
        let health = Health::new(LAG, &[("cluster", "eu-1".to_owned())]);
        let (_told, bus) = watch::channel(true);
        health.follows(bus);
        health.has_part(Some(Part::Leader));
        health.is_behind(3);
        health.hops().took_ms(crate::metrics::Hop::Apply, 1_500);
        let counters = health.counters(
            "agent_attempts",
            "Attempts",
            "outcome",
            &["applied", "refused"],
        );
        counters.count("applied");
        health
            .gauges("parts", "Parts", "partition", &[])
            .set("p01".to_owned(), 7);
        let text = health.0.as_ref().expect("it is asked").text();
        for line in [
            "fleetcast_build_info{cluster=\"eu-1\",version=",
            "fleetcast_ready{cluster=\"eu-1\"} 1",
            "fleetcast_leading{cluster=\"eu-1\"} 1",
            "fleetcast_lag_messages{cluster=\"eu-1\"} 3",
            "fleetcast_hop_lag_seconds_bucket{cluster=\"eu-1\",le=\"1.0\",hop=\"apply\"} 0",
            "fleetcast_hop_lag_seconds_sum{cluster=\"eu-1\",hop=\"apply\"} 1.5",
            "fleetcast_agent_attempts_total{cluster=\"eu-1\",outcome=\"applied\"} 1",
            "fleetcast_agent_attempts_total{cluster=\"eu-1\",outcome=\"refused\"} 0",
            "fleetcast_parts{cluster=\"eu-1\",partition=\"p01\"} 7",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        health.stops();
        assert!(
            health
                .0
                .as_ref()
                .expect("it is asked")
                .text()
                .contains("fleetcast_ready{cluster=\"eu-1\"} 0")
        );
    }

    #[test]
    fn what_ends_soon_is_told_and_counted_and_nobody_is_less_ready() {
        let health = Health::new(LAG, &[]);
        let now = crate::unix_seconds();
        let ends_at = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(now + 1_000));
        let told = ends_at.clone();
        health.watches(move || {
            let ends_at = told.load(std::sync::atomic::Ordering::Relaxed);
            let span = fleetcast_core::expiry::Span {
                begins_at: now - 1_000_000,
                ends_at,
            };
            vec![Expiry {
                what: fleetcast_core::expiry::What::Credentials,
                file: "a.creds".to_owned(),
                span,
            }]
        });
        let text = || health.0.as_ref().expect("it is asked").text();
        let line =
            |at: i64| format!("fleetcast_expiry_timestamp_seconds{{what=\"credentials\"}} {at}");
        assert!(text().contains(&line(now + 1_000)), "{}", text());
        assert!(health.warnings()[0].contains("a.creds"));
        ends_at.store(now + 900_000, std::sync::atomic::Ordering::Relaxed);
        assert!(text().contains(&line(now + 900_000)));
        assert_eq!(health.warnings(), Vec::<String>::new());
    }

    #[test]
    fn who_is_asked_by_nobody_keeps_nothing() {
        let health = Health::default();
        health.counter("x", "X").inc();
        health.stops();
        assert!(health.0.is_none() && health.missing().is_empty());
    }
}
