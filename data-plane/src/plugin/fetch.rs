//! A GET over HTTP or HTTPS, for what is behind a URL: components, keys.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy;
use tokio::time::timeout;

use super::client;
use crate::causes::chain;

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("is no URL with a host: {0}")]
    Url(#[from] http::uri::InvalidUri),
    /// It is none of the web.
    #[error("is no http:// or https:// URL")]
    Scheme,
    /// Nobody is there, or speaks HTTP.
    #[error("cannot be read: {}", chain(.0))]
    Client(#[from] legacy::Error),
    /// It makes no request.
    #[error("makes no request: {0}")]
    Request(#[from] http::Error),
    /// Something else than 200.
    #[error("answers {0}")]
    Status(StatusCode),
    /// More than so many bytes, or fewer than announced.
    #[error("breaks off, or has more than {0} bytes")]
    Body(usize),
    /// Not within this time.
    #[error("gives no answer in {0:?}")]
    Timeout(Duration),
}

/// The content behind a URL, of at most so many bytes. Redirects are not followed: the answer is what the URL names.
///
/// # Errors
/// If there is none, or it takes too long.
pub async fn get(url: &Uri, most: usize, within: Duration) -> Result<Bytes, Error> {
    timeout(within, request(url, most)).await.map_err(|_| Error::Timeout(within))?
}

async fn request(url: &Uri, most: usize) -> Result<Bytes, Error> {
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(Error::Scheme);
    }
    let request = Request::get(url).header(header::USER_AGENT, "weir").body(Empty::new())?;
    let response = client::new().request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), most).collect().await;
    body.map(|body| body.to_bytes()).map_err(|_| Error::Body(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_url_of_the_web_is_not_asked() {
        for url in ["ftp://127.0.0.1/a", "/a.wasm", "a:80"] {
            let error = get(&Uri::from_static(url), 1, Duration::from_secs(1)).await.unwrap_err().to_string();
            assert_eq!(error, "is no http:// or https:// URL", "{url}");
        }
    }
}
