//! Things that go wrong on order.

use std::time::Duration;

use crate::server::Server;
use crate::status::Failure;

/// Makes a cluster slow, unwilling or unreachable; every clone and every client of the cluster sees it at once.
#[derive(Debug, Clone)]
pub struct Faults {
    server: Server,
}

impl Faults {
    pub(crate) fn of(server: Server) -> Self {
        Faults { server }
    }

    /// Every answer comes this much later; the events of an open watch do not.
    pub fn set_latency(&self, latency: Duration) {
        self.server
            .orders()
            .change(|ordered| ordered.latency = latency);
    }

    /// Every request is refused with a `Status` of this code, until [`Faults::clear_refusal`]; open watches stay.
    pub fn refuse(&self, code: u16, message: impl Into<String>) {
        let refusal = Failure::ordered(code, &message.into());
        self.server
            .orders()
            .change(|ordered| ordered.refusal = Some(refusal));
    }

    /// Requests are carried out again.
    pub fn clear_refusal(&self) {
        self.server
            .orders()
            .change(|ordered| ordered.refusal = None);
    }

    /// While a cluster is cut off every request fails as a connection that breaks, and open watches end. What it holds stays.
    pub fn cut_off(&self, cut_off: bool) {
        self.server
            .orders()
            .change(|ordered| ordered.cut_off = cut_off);
        if cut_off {
            self.server.store().close_watches();
        }
    }
}
