//! What goes wrong on order at present.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::status::Failure;

/// What goes wrong at present.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ordered {
    pub(crate) latency: Duration,
    pub(crate) refusal: Option<Failure>,
    pub(crate) cut_off: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Ordered>);

impl Orders {
    pub(crate) fn read(&self) -> Ordered {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Ordered)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
