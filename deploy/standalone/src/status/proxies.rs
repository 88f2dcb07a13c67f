//! The proxies that are asked.

use anyhow::{Context, bail, ensure};
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Wanted;
use super::figures::{Figures, Overview, Pools};
use super::merge;
use crate::admin_url::AdminUrl;
use crate::client::Client;

/// Who is asked, and for what.
#[derive(Debug)]
pub(super) struct Proxies {
    admin: Vec<AdminUrl>,
    control_plane: Option<AdminUrl>,
    /// Path and query of the pools.
    pools: String,
}

/// `/api/v1/proxies` of a control plane.
#[derive(Debug, Deserialize)]
struct Connected {
    proxies: Vec<ConnectedProxy>,
}

#[derive(Debug, Deserialize)]
struct ConnectedProxy {
    id: String,
    admin: Option<String>,
}

impl From<Wanted> for Proxies {
    fn from(wanted: Wanted) -> Self {
        let Wanted { search, admin, control_plane, problems } = wanted;
        let search = search.as_deref().unwrap_or_default();
        let search = percent_encoding::utf8_percent_encode(search, percent_encoding::NON_ALPHANUMERIC);
        Self { admin, control_plane, pools: format!("/api/v1/pools?problems={problems}&search={search}") }
    }
}

impl Proxies {
    /// What they all tell together.
    ///
    /// # Errors
    /// If none can be asked.
    pub(super) async fn read(&self) -> anyhow::Result<Figures> {
        let proxies = match &self.control_plane {
            Some(control_plane) => connected(control_plane).await?,
            None => self.admin.clone(),
        };
        let all = join_all(proxies.iter().map(|proxy| self.ask(proxy))).await;
        let (told, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        let failed: Vec<_> = failed.into_iter().filter_map(Result::err).collect();
        let (overviews, pools): (Vec<_>, Vec<_>) = told.into_iter().flatten().unzip();
        let Some(overview) = overviews.into_iter().reduce(Overview::and) else {
            return Err(failed.into_iter().next().context("no proxy is connected to the control plane")?);
        };
        let pools = merge::pools(pools.into_iter().flat_map(|Pools { pools }| pools));
        Ok(Figures { overview, pools, failed: failed.iter().map(|error| format!("{error:#}")).collect() })
    }

    async fn ask(&self, proxy: &AdminUrl) -> anyhow::Result<(Overview, Pools)> {
        let told = async { anyhow::Ok((get(proxy, "/api/v1/overview").await?, get(proxy, &self.pools).await?)) };
        told.await.with_context(|| format!("cannot read the state of the proxy at {proxy}"))
    }
}

/// The proxies of a control plane, as it passes questions on to them.
async fn connected(control_plane: &AdminUrl) -> anyhow::Result<Vec<AdminUrl>> {
    let told = get(control_plane, "/api/v1/proxies").await;
    let Connected { proxies } = told.with_context(|| format!("cannot ask the control plane at {control_plane}"))?;
    let reachable = proxies.into_iter().filter(|proxy| proxy.admin.is_some());
    let below = |ConnectedProxy { id, .. }| {
        let id = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC).to_string();
        control_plane.below(&format!("/api/v1/proxies/{id}"))
    };
    let proxies: Vec<_> = reachable.map(below).collect();
    ensure!(!proxies.is_empty(), "no proxy is connected to the control plane at {control_plane}");
    Ok(proxies)
}

async fn get<T: DeserializeOwned>(server: &AdminUrl, page: &str) -> anyhow::Result<T> {
    let request = Request::get(server.path(page)).body(String::new())?;
    let response = Client::open(&server.authority).await?.send(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim_end());
    }
    serde_json::from_slice(&body).context("its answer is none of this version's")
}
