//! A line to the bus that can be cut: what a demonstration and the tests pull out of the wall.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a server until it is cut; dropping it closes them.
pub struct Relay {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Relay {
    /// Listens on a free loopback port and passes connections on to `target` (`host:port`).
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn to(target: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (whole, state) = watch::channel(true);
        let target = target.to_owned();
        tokio::spawn(async move {
            let mut state = state;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { continue };
                        if *state.borrow() {
                            tokio::spawn(pass(client, target.clone(), state.clone()));
                        }
                    }
                    // The relay was dropped.
                    changed = state.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(Self { address, whole })
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
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

async fn pass(mut client: TcpStream, target: String, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|whole| !whole) => {}
    }
}
