//! A GET over HTTP or HTTPS, for components that are behind a URL.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// The delta that names the component waits for it, and the next ones behind it.
const WITHIN: Duration = Duration::from_secs(30);

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("is no URL with a host: {0}")]
    Url(#[from] http::uri::InvalidUri),
    #[error("is no http:// or https:// URL")]
    Scheme,
    #[error("cannot be connected to: {0}")]
    Io(#[from] std::io::Error),
    #[error("has no name for a certificate: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error("answers wrongly: {0}")]
    Http(#[from] hyper::Error),
    #[error("makes no request: {0}")]
    Request(#[from] http::Error),
    #[error("answers {0}")]
    Status(StatusCode),
    #[error("breaks off, or has more than {0} bytes")]
    Body(usize),
    #[error("gives no answer in {WITHIN:?}")]
    Timeout,
}

/// The content behind a URL, of at most so many bytes. Redirects are not followed: the answer is what the URL names.
///
/// # Errors
/// If there is none, or it takes too long.
pub(super) async fn get(url: &str, most: usize) -> Result<Bytes, Error> {
    let url: Uri = url.parse()?;
    timeout(WITHIN, request(&url, most)).await.map_err(|_| Error::Timeout)?
}

async fn request(url: &Uri, most: usize) -> Result<Bytes, Error> {
    let (Some(host), Some(scheme)) = (url.host(), url.scheme_str()) else { return Err(Error::Scheme) };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match scheme {
        "http" => {
            let stream = TcpStream::connect((address, url.port_u16().unwrap_or(80))).await?;
            exchange(stream, url, most).await
        }
        "https" => {
            let stream = TcpStream::connect((address, url.port_u16().unwrap_or(443))).await?;
            let name = ServerName::try_from(address.to_owned())?;
            exchange(TlsConnector::from(trust()).connect(name, stream).await?, url, most).await
        }
        _ => Err(Error::Scheme),
    }
}

async fn exchange<S>(stream: S, url: &Uri, most: usize) -> Result<Bytes, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let host = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(target).header(header::HOST, host).header(header::USER_AGENT, "weir");
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), most).collect().await;
    body.map(|body| body.to_bytes()).map_err(|_| Error::Body(most))
}

/// The system's certificate authorities.
fn trust() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_url_is_not_asked() {
        for (url, text) in [
            ("ftp://127.0.0.1/a", "no http:// or https:// URL"),
            ("/a.wasm", "no http:// or https:// URL"),
            ("http://a b/", "no URL"),
        ] {
            let error = get(url, 1).await.unwrap_err().to_string();
            assert!(error.contains(text), "{url}: {error}");
        }
    }
}
