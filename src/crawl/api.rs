//! The API as a crawl uses it: every request is taken from the quota.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::allowance::Reserve;
use crate::domain::cell::Traffic;
use crate::kakao::{Client, Error, Page, Search};

/// The client, and the quota that its requests are taken from.
#[derive(Clone, Debug)]
pub struct Api {
    /// The client.
    pub client: Arc<Client>,
    /// Grants requests from the quota.
    pub allowance: Arc<Reserve>,
}

impl Api {
    /// Gets one page, with retries, and adds the requests that were sent to `traffic`.
    ///
    /// # Errors
    /// When the search has failed, or for a reason that ends the run.
    pub(super) async fn page(
        &self,
        search: &Search<'_>,
        stop: &CancellationToken,
        traffic: &mut Traffic,
    ) -> Result<Page, Error> {
        self.client.page(search, self.allowance.as_ref(), stop, traffic).await
    }

    /// Gets one page without retries, and adds the request to `traffic`.
    ///
    /// # Errors
    /// When there is no good answer, or no request is granted.
    pub(super) async fn once(
        &self,
        search: &Search<'_>,
        stop: &CancellationToken,
        traffic: &mut Traffic,
    ) -> Result<Page, Error> {
        self.client.once(search, self.allowance.as_ref(), stop, traffic).await
    }
}
