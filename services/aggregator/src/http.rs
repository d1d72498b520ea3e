//! The view over HTTP, answered by this process itself ([`fleetcast_endpoint::view`]).

use std::sync::Arc;

use fleetcast_endpoint::Door;
use fleetcast_endpoint::axum::Router;
use fleetcast_endpoint::view::{self, View};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{Headers, Message};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::past::Historian;
use crate::query;
use crate::shared::Shared;

/// The view of this process.
pub(crate) struct Local {
    shared: Arc<Shared>,
    historian: Arc<Historian>,
    building: Arc<Semaphore>,
}

impl Local {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        historian: &Arc<Historian>,
        building: &Arc<Semaphore>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            historian: Arc::clone(historian),
            building: Arc::clone(building),
        })
    }
}

impl View for Local {
    async fn ask(&self, subject: String, request: Value) -> Result<Value, String> {
        let message = Message {
            subject,
            headers: Headers::default(),
            payload: request.to_string().into_bytes(),
        };
        let answered = query::counted(&self.shared, &self.historian, &self.building, message).await;
        match answered {
            Ok(payload) => serde_json::from_slice(&payload).map_err(|error| error.to_string()),
            Err(refusal) => {
                serde_json::to_value(Answer::refused(refusal)).map_err(|error| error.to_string())
            }
        }
    }
}

/// Answers on `door` until `stop` says so.
pub(crate) async fn serve(door: Arc<Door>, view: Arc<Local>, stop: watch::Receiver<bool>) {
    tracing::info!(address = %door.address(), "listening for HTTP");
    door.serve(Router::new(), view::routes(&view), stop).await;
}
