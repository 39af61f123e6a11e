//! `health`: checks whether the daemon on this host is alive, for container health checks. It requests `/livez` if
//! `observe.listen` is set; otherwise it reads the daemon's row in the database.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;

use super::output::print;
use super::{Context, Exit};
use crate::app::{self, Database};
use crate::http_client;
use crate::store::SILENT_AFTER;

/// Time limit for the response of the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    if let Some(listen) = context.config.observe.listen {
        return ask(listen).await;
    }
    let database = Database::open(&context.config, context.is_demo).await?;
    let looked = look(&database).await;
    database.close().await;
    looked
}

/// Requests `/livez` of the daemon.
async fn ask(listen: SocketAddr) -> anyhow::Result<Exit> {
    let address = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    let url = format!("http://{}/livez", SocketAddr::new(address, listen.port()));
    let answer = http_client::plain_client(PATIENCE)?.get(&url).send().await;
    let answer = answer.map_err(reqwest::Error::without_url).with_context(|| format!("no response from {url}"))?;
    let is_alive = answer.status().is_success();
    let words = answer.text().await.unwrap_or_default();
    print(&format!("{}: {}", if is_alive { "the daemon is alive" } else { "the daemon is unhealthy" }, words.trim()))?;
    Ok(if is_alive { Exit::Done } else { Exit::Failed })
}

async fn look(database: &Database) -> anyhow::Result<Exit> {
    database.require_tables().await?;
    let host = app::host();
    Ok(match database.store.silence_s(&host).await? {
        Some(silence_s) if silence_s <= SILENT_AFTER.as_secs_f64() => {
            print(&format!("ok: the daemon on {host} was alive {:.0} s ago", silence_s.max(0.0)))?;
            Exit::Done
        }
        Some(silence_s) => {
            print(&format!("unhealthy: no heartbeat of the daemon on {host} for {silence_s:.0} s"))?;
            Exit::Failed
        }
        None => {
            print(&format!("no daemon is running on {host}"))?;
            Exit::Failed
        }
    })
}
