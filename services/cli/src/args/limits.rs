//! What a publisher is limited to, as it is typed: the same for credentials of the bus and for tokens of HTTP.

use clap::Args as ClapArgs;

/// What a publisher is limited to.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct PublisherLimits {
    /// The kinds that a publisher is limited to: Kind or Kind.group [default: all]
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) kinds: Vec<String>,
    /// The namespaces that a publisher is limited to, _ for objects that are in none [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE,…")]
    pub(crate) namespaces: Vec<String>,
}
