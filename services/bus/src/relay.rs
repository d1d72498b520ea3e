//! A line to the bus that can be cut: what a demonstration and the tests pull out of the wall.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Passes connections on to a server until it is cut; dropping it closes them.
pub struct Relay {
    address: SocketAddr,
    scheme: &'static str,
    whole: watch::Sender<bool>,
}

impl Relay {
    /// Listens on a free loopback port and passes connections on to `target`: `nats://host:port`, `tls://host:port` or `host:port`; of several, separated by commas,
    /// to the first that can be reached.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn to(target: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (whole, state) = watch::channel(true);
        let targets: Arc<[String]> = target
            .split(',')
            .map(|target| {
                let target = target.trim();
                target.rsplit("://").next().unwrap_or(target).to_owned()
            })
            .collect();
        // What is spoken is between both ends.
        let scheme = if target.trim().starts_with("tls://") {
            "tls"
        } else {
            "nats"
        };
        tokio::spawn(async move {
            let mut state = state;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { continue };
                        if *state.borrow() {
                            tokio::spawn(pass(client, Arc::clone(&targets), state.clone()));
                        }
                    }
                    // The relay was dropped.
                    changed = state.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(Self {
            address,
            scheme,
            whole,
        })
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Cuts the line: connections end, new ones are closed at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Mends the line.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut client: TcpStream, targets: Arc<[String]>, mut state: watch::Receiver<bool>) {
    let Some(mut server) = reach(&targets).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|whole| !whole) => {}
    }
}

/// The first of several servers that can be reached.
async fn reach(targets: &[String]) -> Option<TcpStream> {
    for target in targets {
        let connecting = TcpStream::connect(target);
        if let Ok(Ok(server)) = tokio::time::timeout(PATIENCE, connecting).await {
            return Some(server);
        }
    }
    None
}
