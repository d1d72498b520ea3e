//! The connection: subscribing, and publishing what is not stored.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, StatusCode};
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use fleetcast_core::expiry::Expiry;
use fleetcast_schemas::{Headers, Message};
use futures::StreamExt;
use tokio::sync::watch;

use crate::Error;
use crate::credentials::CredentialsFile;
use crate::identity::{Identity, Own};
use crate::tls::{Reasons, Renewal, Servers, Tls};

/// The oldest server that has what is needed: batched direct get, republish, `no_ack`, markers (DESIGN, section 7).
const OLDEST_SERVER: (u64, u64, u64) = (2, 15, 1);
/// How many messages a subscription holds before the client drops some.
const SUBSCRIPTION_CAPACITY: usize = 65_536;
/// How many publishes may wait for their acknowledgement.
const MAX_IN_FLIGHT: usize = 4_096;

/// How to say who we are.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A credentials file ([`crate::credentials`]), looked at every few seconds: a renewed one is used from then on.
    File(PathBuf),
    /// User and password.
    Password(String, String),
}

/// Where to connect, and as what.
#[derive(Debug, Clone)]
pub struct Connect {
    /// `tls://host:port`, or `nats://host:port` for plain text; several separated by commas.
    pub url: String,
    /// How TLS is spoken.
    pub tls: Tls,
    /// Whether plain text may leave this machine.
    pub plain_text: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// A name that the server shows.
    pub name: String,
    /// The prefix of our inboxes; none for `_INBOX.<name>` with a credentials file, and for the client's default, `_INBOX`, without.
    pub inbox_prefix: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Connect {
    /// Connects without credentials and with the default inboxes.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            plain_text: false,
            credentials: Credentials::None,
            name: name.into(),
            inbox_prefix: None,
            timeout: Duration::from_secs(5),
        }
    }

    fn servers(&self) -> Result<Servers, Error> {
        Servers::of(&self.url, &self.tls, self.plain_text)
    }

    /// Whether the servers let nobody in without a certificate of his own, whatever [`Connect::tls`] names; none where no server answers, or they speak plain
    /// text. Shakes hands with them, and says nothing more.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the URL or a file is of no use.
    pub async fn asks_for_certificate(&self) -> Result<Option<bool>, Error> {
        Ok(self.servers()?.ask_for_certificate().await)
    }

    /// Why no TLS comes about with the servers, and what to do; none where it does, or where none answers. Shakes hands with them, and says nothing more.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the URL or a file is of no use.
    pub async fn trial(&self) -> Result<Option<String>, Error> {
        Ok(self.servers()?.why().await)
    }
}

/// A connection to the bus; clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) timeout: Duration,
    connected: watch::Receiver<bool>,
    identity: Identity,
    // Kept as long as somebody uses the connection.
    _renewal: Option<Arc<Renewal>>,
}

/// A message as it was delivered, with the subject that an answer goes to.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Where an answer goes, if one is wanted.
    pub reply: Option<String>,
    /// Whether it is the server's own word that nobody listens to what was asked (503, no responders).
    pub is_nobody: bool,
}

/// Messages of one subject as they come, at most once: treat it as lossy.
pub struct Subscription(async_nats::Subscriber);

impl Subscription {
    /// The next message; none when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.0.next().await.map(|message| Delivery {
            reply: message.reply.as_ref().map(ToString::to_string),
            is_nobody: message.status == Some(StatusCode::NO_RESPONDERS),
            message: from_nats(message),
        })
    }
}

/// Sets a value, and tells whether it was another.
fn becomes(value: bool) -> impl FnOnce(&mut bool) -> bool {
    move |current| std::mem::replace(current, value) != value
}

impl Bus {
    /// Connects, and refuses a server that is too old or has no JetStream permission problem to tell of later.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no server answers, [`Error::Tls`] where that lies in TLS, [`Error::Unfit`] where it is too old, the credentials or the files
    /// of TLS cannot be read, or it would be plain text that leaves this machine.
    pub async fn connect(connect: &Connect) -> Result<Self, Error> {
        let bus = Self::begin(connect, true).await?;
        bus.refuse_old_server()?;
        Ok(bus)
    }

    /// Begins to connect and tries until a server answers: [`Bus::connected`] tells when. What is subscribed to meanwhile is subscribed then. Whoever uses
    /// this looks at [`Bus::refuse_old_server`] when it is connected.
    ///
    /// # Errors
    /// [`Error::Unfit`] as with [`Bus::connect`], but for the server's age.
    pub async fn connect_in_background(connect: &Connect) -> Result<Self, Error> {
        Self::begin(connect, false).await
    }

    async fn begin(connect: &Connect, waits: bool) -> Result<Self, Error> {
        let servers = connect.servers()?;
        let reasons = Reasons::of(&servers);
        let (sender, connected) = watch::channel(waits);
        let mut inbox_prefix = connect.inbox_prefix.clone();
        let mut own = None;
        let mut options = match &connect.credentials {
            Credentials::File(path) => {
                let own = own.insert(Own::open(path)?);
                // A user may subscribe to his own inboxes only.
                inbox_prefix = inbox_prefix.or_else(|| Some(format!("_INBOX.{}", own.name)));
                own.options()
            }
            Credentials::Password(user, password) => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Credentials::None => ConnectOptions::new(),
        };
        options = servers
            .options(options)
            .name(&connect.name)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .connection_timeout(connect.timeout)
            .request_timeout(Some(connect.timeout))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(u64::try_from(attempts).unwrap_or(100).min(20) * 100)
            })
            .event_callback(move |event| {
                let (sender, reasons) = (sender.clone(), reasons.clone());
                async move {
                    match event {
                        Event::Connected => {
                            reasons.clear();
                            sender.send_if_modified(becomes(true));
                        }
                        Event::Disconnected | Event::Closed => {
                            sender.send_if_modified(becomes(false));
                        }
                        Event::SlowConsumer(_) => tracing::warn!(
                            "messages were dropped: a subscription is not read fast enough"
                        ),
                        Event::ServerError(error) => {
                            tracing::warn!(%error, "the NATS server refuses something")
                        }
                        Event::ClientError(_) => {
                            tracing::debug!(%event, "connection");
                            // Events behind this one do not wait for it.
                            tokio::spawn(async move { reasons.look().await });
                        }
                        Event::LameDuckMode | Event::Draining => {
                            tracing::debug!(%event, "connection")
                        }
                    }
                }
            });
        if !waits {
            options = options.retry_on_initial_connect();
        }
        if let Some(prefix) = &inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        let client = match options.connect(servers.list()).await {
            Ok(client) => client,
            Err(error) => {
                let why = servers.why().await;
                return Err(why.map_or_else(|| Error::unavailable(error), Error::Tls));
            }
        };
        Ok(Self {
            identity: Identity::begin(own, &servers, &client),
            _renewal: Renewal::begin(&servers, client.clone()).map(Arc::new),
            jetstream: jetstream::context::ContextBuilder::new()
                .timeout(connect.timeout)
                .ack_timeout(connect.timeout)
                .max_ack_inflight(MAX_IN_FLIGHT)
                .backpressure_on_inflight(true)
                .build(client.clone()),
            client,
            timeout: connect.timeout,
            connected,
        })
    }

    /// Connects and tries again until a server answers, saying so in the log.
    ///
    /// # Errors
    /// [`Error::Unfit`] only.
    pub async fn connect_patiently(connect: &Connect) -> Result<Self, Error> {
        (|| Self::connect(connect))
            .retry(patience())
            .when(Error::is_worth_retrying)
            .notify(|error, pause| {
                tracing::warn!(url = connect.url, %error, ?pause, "cannot reach the bus, trying again");
            })
            .await
    }

    /// Whether the server that is connected is new enough.
    ///
    /// # Errors
    /// [`Error::Unfit`] where it is too old.
    pub fn refuse_old_server(&self) -> Result<(), Error> {
        let version = self.client.server_info().version;
        let numbers: Vec<u64> = version
            .split(['.', '-', '+'])
            .take(3)
            .filter_map(|part| part.parse().ok())
            .collect();
        match numbers.as_slice() {
            [major, minor, patch] if (*major, *minor, *patch) >= OLDEST_SERVER => Ok(()),
            _ => Err(Error::Unfit(format!(
                "the NATS server is version {version}; {}.{}.{} or newer is needed",
                OLDEST_SERVER.0, OLDEST_SERVER.1, OLDEST_SERVER.2
            ))),
        }
    }

    /// Whether the server is connected, and when that changes.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// The credentials file as it was taken up last, and when it is another; none without one.
    pub fn credentials(&self) -> watch::Receiver<Option<Arc<CredentialsFile>>> {
        self.identity.file.clone()
    }

    /// When credentials and certificates of this connection end.
    pub fn expiries(&self) -> watch::Receiver<Vec<Expiry>> {
        self.identity.expiries.clone()
    }

    /// The longest payload that may be sent in one message, bytes, with room for headers.
    pub fn payload_limit(&self) -> usize {
        self.client
            .server_info()
            .max_payload
            .saturating_sub(16 * 1024)
    }

    /// Subscribes to `subject`.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, Error> {
        self.client
            .subscribe(subject.to_owned())
            .await
            .map(Subscription)
            .map_err(Error::unavailable)
    }

    /// Subscribes to `subject` so that each message goes to one member of `queue`.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn subscribe_queue(&self, subject: &str, queue: &str) -> Result<Subscription, Error> {
        self.client
            .queue_subscribe(subject.to_owned(), queue.to_owned())
            .await
            .map(Subscription)
            .map_err(Error::unavailable)
    }

    /// Publishes without waiting for anybody; a stream may store it, but does not say so.
    ///
    /// # Errors
    /// Where the message is too large or the connection is closed.
    pub async fn publish(&self, message: Message) -> Result<(), Error> {
        let Message {
            subject,
            headers,
            payload,
        } = message;
        self.client
            .publish_with_headers(subject, to_nats(&headers), payload.into())
            .await
            .map_err(Error::unavailable)
    }

    /// Publishes and names the subject that answers go to.
    ///
    /// # Errors
    /// Where the message is too large or the connection is closed.
    pub async fn publish_with_reply(&self, message: Message, reply: &str) -> Result<(), Error> {
        let Message {
            subject,
            headers,
            payload,
        } = message;
        self.client
            .publish_with_reply_and_headers(
                subject,
                reply.to_owned(),
                to_nats(&headers),
                payload.into(),
            )
            .await
            .map_err(Error::unavailable)
    }

    /// Connects anew, with the credentials as they are now.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn reconnect(&self) -> Result<(), Error> {
        self.client
            .force_reconnect()
            .await
            .map_err(Error::unavailable)
    }

    /// A new inbox of ours.
    pub fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Waits until everything published so far reached the server.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn flush(&self) -> Result<(), Error> {
        self.client.flush().await.map_err(Error::unavailable)
    }
}

/// How long to wait between attempts: from 100 ms, doubled up to 5 s, with jitter, without end.
pub(crate) fn patience() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
}

/// Headers as the client writes them.
pub(crate) fn to_nats(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        map.insert(name, value);
    }
    map
}

/// Headers as the client read them; of several values the last.
pub(crate) fn from_nats_headers(map: Option<&HeaderMap>) -> Headers {
    let Some(map) = map else {
        return Headers::default();
    };
    let lines = || {
        map.iter()
            .filter_map(|(name, values)| Some((name, values.last()?)))
    };
    let bytes = lines().map(|(_, value)| value.as_str().len()).sum();
    let mut headers = Headers::with_capacity(map.len(), bytes);
    for (name, value) in lines() {
        headers.set(name.as_ref(), value.as_str());
    }
    headers
}

pub(crate) fn from_nats(message: async_nats::Message) -> Message {
    Message {
        subject: message.subject.to_string(),
        headers: from_nats_headers(message.headers.as_ref()),
        payload: Bytes::into(message.payload),
    }
}
