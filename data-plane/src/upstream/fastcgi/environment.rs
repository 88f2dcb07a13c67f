//! The environment of a request: what CGI/1.1 (RFC 3875) has, and what nginx's `fastcgi_params` has besides (U5). Pure.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use weir_proto::model::FastCgi;

use super::params::{Params, TooLarge};
use super::script::{self, BadPath, Paths};

/// What an environment is made of.
#[derive(Debug)]
pub struct Request<'a> {
    /// How the application finds scripts.
    pub application: &'a FastCgi,
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub uri: &'a Uri,
    /// The client's version of HTTP.
    pub version: Version,
    /// Headers as an upstream shall see them.
    pub headers: &'a HeaderMap,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The client's end of its connection.
    pub client: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
}

/// A request that no environment is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its path must not become a file name.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// It says too much.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Everything but `CONTENT_LENGTH`, which is known later.
///
/// # Errors
/// If the path must not become a file name, or all of it is too large.
pub fn of(request: &Request<'_>) -> Result<Params, Unfit> {
    let paths = script::resolve(request.application, request.uri.path())?;
    let mut params = Params::default();
    push_server(&mut params, request)?;
    push_request(&mut params, request)?;
    push_paths(&mut params, request.application, &paths)?;
    push_headers(&mut params, request.headers)?;
    Ok(params)
}

fn push_server(params: &mut Params, request: &Request<'_>) -> Result<(), TooLarge> {
    params.push("GATEWAY_INTERFACE", b"CGI/1.1")?;
    params.push("SERVER_SOFTWARE", concat!("weir/", env!("CARGO_PKG_VERSION")).as_bytes())?;
    params.push("SERVER_PROTOCOL", protocol(request.version))?;
    let address = request.local.ip().to_canonical().to_string();
    let host = request.headers.get(HOST).map(|host| without_port(host.as_bytes())).filter(|host| !host.is_empty());
    params.push("SERVER_NAME", host.unwrap_or(address.as_bytes()))?;
    params.push("SERVER_ADDR", address.as_bytes())?;
    params.push("SERVER_PORT", request.local.port().to_string().as_bytes())?;
    params.push("REQUEST_SCHEME", request.scheme.as_bytes())?;
    if request.scheme == "https" {
        params.push("HTTPS", b"on")?;
    }
    // php refuses to run without it when it is built to be started by web servers only.
    params.push("REDIRECT_STATUS", b"200")
}

fn push_request(params: &mut Params, request: &Request<'_>) -> Result<(), TooLarge> {
    params.push("REQUEST_METHOD", request.method.as_str().as_bytes())?;
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    params.push("REQUEST_URI", target.as_bytes())?;
    params.push("QUERY_STRING", request.uri.query().unwrap_or_default().as_bytes())?;
    let address = request.client.ip().to_canonical().to_string();
    params.push("REMOTE_ADDR", address.as_bytes())?;
    // RFC 3875, 4.1.9: the address, as nobody looks its name up.
    params.push("REMOTE_HOST", address.as_bytes())?;
    push_port(params, request.client.port())?;
    match request.headers.get(CONTENT_TYPE) {
        Some(kind) => params.push("CONTENT_TYPE", kind.as_bytes()),
        None => Ok(()),
    }
}

/// Not every proxy before this one tells it.
fn push_port(params: &mut Params, port: u16) -> Result<(), TooLarge> {
    if port == 0 { Ok(()) } else { params.push("REMOTE_PORT", port.to_string().as_bytes()) }
}

fn push_paths(params: &mut Params, application: &FastCgi, paths: &Paths) -> Result<(), TooLarge> {
    let Paths { script_name, path_info, filename } = paths;
    params.push("SCRIPT_NAME", script_name)?;
    params.push("PATH_INFO", path_info)?;
    params.push("DOCUMENT_URI", &[&script_name[..], path_info].concat())?;
    if let Some(filename) = filename {
        params.push("SCRIPT_FILENAME", filename)?;
    }
    let Some(root) = &application.document_root else { return Ok(()) };
    params.push("DOCUMENT_ROOT", root.as_bytes())?;
    if path_info.is_empty() {
        return Ok(());
    }
    params.push("PATH_TRANSLATED", &[root.as_bytes(), path_info].concat())
}

/// Each header as `HTTP_NAME`, fields of the same name as one.
fn push_headers(params: &mut Params, headers: &HeaderMap) -> Result<(), TooLarge> {
    for name in headers.keys().filter(|name| passes(name)) {
        params.push(&variable(name), &joined(name, headers))?;
    }
    Ok(())
}

/// The value of all fields of this name.
fn joined<'a>(name: &HeaderName, headers: &'a HeaderMap) -> Cow<'a, [u8]> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = values.next().unwrap_or_default();
    let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
    values.fold(Cow::Borrowed(first), |all, next| [&*all, separator, next].concat().into())
}

/// Whether a header becomes a variable. Not those that have a variable of their own or concern a connection, nor
/// `Proxy`, which programs would take for the variable that names their proxy (CVE-2016-5385), nor names with a `_`,
/// which would become the variable of another header.
fn passes(name: &HeaderName) -> bool {
    let is_plain = name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let apart = ["proxy", "connection", "upgrade", "te", "transfer-encoding", "trailer", "expect"];
    is_plain && ![CONTENT_TYPE, CONTENT_LENGTH].contains(name) && !apart.contains(&name.as_str())
}

fn variable(name: &HeaderName) -> String {
    const PREFIX: &str = "HTTP_";
    let mut variable = String::with_capacity(PREFIX.len() + name.as_str().len());
    variable.push_str(PREFIX);
    variable.extend(name.as_str().chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }));
    variable
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

/// `[::1]:80` and `[::1]` are one host.
fn without_port(host: &[u8]) -> &[u8] {
    let colon = host.iter().rposition(|&byte| byte == b':' || byte == b']');
    match colon {
        Some(place) if host[place] == b':' => &host[..place],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::params::tests::pairs;
    use super::*;

    fn environment(uri: &'static str, headers: &[(&'static str, &'static str)]) -> BTreeMap<String, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let params = of(&Request {
            application: &FastCgi::new("/srv/www", "", "").unwrap(),
            method: &Method::POST,
            uri: &Uri::from_static(uri),
            version: Version::HTTP_10,
            headers: &map,
            scheme: "https",
            client: "[::ffff:192.0.2.7]:4711".parse().unwrap(),
            local: "10.0.0.1:443".parse().unwrap(),
        });
        let pairs = pairs(&params.unwrap().finish());
        let count = pairs.len();
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        assert_eq!(map.len(), count, "a variable is there twice");
        map
    }

    #[test]
    fn u5_the_environment_is_that_of_cgi_and_nginx() {
        let found = environment("/a.php/b?c=d%20e", &[("host", "shop.example.com:8443"), ("content-type", "text/x")]);
        let expected = [
            ("CONTENT_TYPE", "text/x"),
            ("DOCUMENT_ROOT", "/srv/www"),
            ("DOCUMENT_URI", "/a.php/b"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("HTTPS", "on"),
            ("HTTP_HOST", "shop.example.com:8443"),
            ("PATH_INFO", "/b"),
            ("PATH_TRANSLATED", "/srv/www/b"),
            ("QUERY_STRING", "c=d%20e"),
            ("REDIRECT_STATUS", "200"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_HOST", "192.0.2.7"),
            ("REMOTE_PORT", "4711"),
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_SCHEME", "https"),
            ("REQUEST_URI", "/a.php/b?c=d%20e"),
            ("SCRIPT_FILENAME", "/srv/www/a.php"),
            ("SCRIPT_NAME", "/a.php"),
            ("SERVER_ADDR", "10.0.0.1"),
            ("SERVER_NAME", "shop.example.com"),
            ("SERVER_PORT", "443"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
            ("SERVER_SOFTWARE", concat!("weir/", env!("CARGO_PKG_VERSION"))),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn u5_what_there_is_not_is_empty_or_absent() {
        let found = environment("/a.php", &[]);
        assert_eq!((&*found["QUERY_STRING"], &*found["PATH_INFO"]), ("", ""));
        assert_eq!(found["SERVER_NAME"], "10.0.0.1");
        assert!(["PATH_TRANSLATED", "CONTENT_TYPE", "CONTENT_LENGTH"].iter().all(|name| !found.contains_key(*name)));
    }

    #[test]
    fn u5_headers_become_variables_and_equal_ones_are_joined() {
        let found = environment(
            "/",
            &[("x-one", "1"), ("x-one", "2"), ("cookie", "a=b"), ("cookie", "c=d"), ("authorization", "Basic x")],
        );
        assert_eq!(found["HTTP_X_ONE"], "1, 2");
        assert_eq!(found["HTTP_COOKIE"], "a=b; c=d");
        assert_eq!(found["HTTP_AUTHORIZATION"], "Basic x");
    }

    #[test]
    fn u5_no_header_poses_as_another_variable() {
        let sent = [
            ("proxy", "http://evil"),
            ("x_forwarded_for", "10.9.9.9"),
            ("x.odd", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("connection", "te"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
        ];
        let found = environment("/", &sent);
        let http: Vec<_> = found.keys().filter(|name| name.starts_with("HTTP_") || name.contains('.')).collect();
        assert!(http.is_empty(), "{http:?}");
    }

    #[test]
    fn u5_server_names_have_no_port() {
        let name = |host: &'static str| environment("/", &[("host", host)])["SERVER_NAME"].clone();
        assert_eq!([name("[::1]:80"), name("[::1]"), name("a")], ["[::1]", "[::1]", "a"]);
    }
}
