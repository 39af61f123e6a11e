//! What all HTTP clients of this program have in common.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;

/// The HTTP client could not be created, usually because the machine has no certificate store.
#[derive(Debug, thiserror::Error)]
#[error("could not prepare the HTTP client; it needs a certificate store (Debian: apt-get install ca-certificates)")]
pub struct Error(#[source] reqwest::Error);

/// The beginning of a client for a server: it follows no redirects, and uses no proxy for a server on this machine.
pub fn builder(url: &str) -> reqwest::ClientBuilder {
    // Fails if a provider is installed already, which is just as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("sanggwond/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none());
    if is_loopback(url) { builder.no_proxy() } else { builder }
}

/// The client.
///
/// # Errors
/// When the machine has no certificate store.
pub fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    builder.build().map_err(Error)
}

/// A client for services on this machine, without a proxy.
///
/// # Errors
/// When the machine has no certificate store.
pub fn plain_client(timeout: Duration) -> Result<reqwest::Client, Error> {
    build(builder("").no_proxy().timeout(timeout))
}

fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}
