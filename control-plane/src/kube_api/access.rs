//! Who may use the API: programs of this machine, if it listens on loopback; whoever has the token, if there is one.
//! Pages of other sites that a browser on this machine shows are programs of this machine too, and kept out.

use std::net::IpAddr;
use std::path::PathBuf;
use std::{fs, io};

use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;

/// Who may come in.
#[derive(Debug)]
pub(crate) enum Access {
    /// Who is on this machine.
    Loopback,
    /// Who has the token that this file holds; it is read each time, so that it can be changed.
    Token(PathBuf),
}

impl Access {
    /// For an API at an address; `None` = nobody, as others than this machine could come, and there is no token.
    ///
    /// # Errors
    /// If the file holds no token.
    pub(crate) fn new(address: IpAddr, token_file: Option<PathBuf>) -> io::Result<Option<Self>> {
        match token_file {
            Some(file) => read_token(&file).map(|_| Some(Self::Token(file))),
            None => Ok(address.is_loopback().then_some(Self::Loopback)),
        }
    }

    /// Lets a request in, or not.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let host = host(request).ok_or_else(|| Refusal::forbidden("the request names no host"))?;
        if header(request.headers(), &ORIGIN).is_some_and(|origin| !is_of(origin, &host)) {
            return Err(Refusal::forbidden("pages of another origin may not use this API"));
        }
        match self {
            Self::Loopback if is_local(host.host()) => Ok(()),
            // A name that leads here by somebody else's DNS would make his page one of ours.
            Self::Loopback => {
                Err(Refusal::forbidden("without --api-token-file the host must be localhost, 127.0.0.1 or [::1]"))
            }
            Self::Token(file) => check_token(file, request.headers()),
        }
    }
}

fn check_token(file: &PathBuf, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = read_token(file).map_err(|error| Refusal::internal(format!("--api-token-file: {error}")))?;
    let shown = header(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let is_right = shown.is_some_and(|shown| bool::from(Sha256::digest(shown).ct_eq(&Sha256::digest(&token))));
    if is_right { Ok(()) } else { Err(Refusal::unauthorized()) }
}

fn read_token(file: &PathBuf) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "the file holds no token")),
        token => Ok(token.to_owned()),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn host<B>(request: &Request<B>) -> Option<Authority> {
    match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => header(request.headers(), &HOST)?.parse().ok(),
    }
}

/// Whether an origin is that of a page from this host.
fn is_of(origin: &str, host: &Authority) -> bool {
    let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str()))
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(access: &Access, headers: &[(&str, &str)]) -> Option<u16> {
        let request =
            headers.iter().fold(Request::get("/apis"), |request, (name, value)| request.header(*name, *value));
        access.admit(&request.body(()).unwrap()).err().map(|refusal| refusal.code())
    }

    #[test]
    fn on_loopback_this_machine_may_and_pages_of_others_may_not() {
        let access = Access::new([127, 0, 0, 1].into(), None).unwrap().unwrap();
        for host in ["127.0.0.1:9801", "localhost:9801", "[::1]:9801", "127.0.0.2"] {
            assert_eq!(admitted(&access, &[("host", host)]), None, "{host}");
            let own = format!("http://{host}");
            assert_eq!(admitted(&access, &[("host", host), ("origin", &own)]), None, "{own}");
            assert_eq!(admitted(&access, &[("host", host), ("origin", "http://evil.test")]), Some(403));
            assert_eq!(admitted(&access, &[("host", host), ("origin", "null")]), Some(403));
        }
        for host in ["evil.test:9801", "127.0.0.1.evil.test", "10.0.0.1", "localhost.evil.test"] {
            assert_eq!(admitted(&access, &[("host", host)]), Some(403), "{host}");
        }
        assert_eq!(admitted(&access, &[]), Some(403));
    }

    #[test]
    fn elsewhere_nobody_may_without_a_token() {
        assert!(Access::new([0, 0, 0, 0].into(), None).unwrap().is_none());
    }

    #[test]
    fn who_has_the_token_may_and_the_token_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "\n").unwrap();
        assert!(Access::new([0, 0, 0, 0].into(), Some(file.clone())).is_err(), "no token in the file");
        fs::write(&file, "secret\n").unwrap();
        let access = Access::new([0, 0, 0, 0].into(), Some(file.clone())).unwrap().unwrap();
        let with = |token: &str| admitted(&access, &[("host", "weir.test"), ("authorization", token)]);
        assert_eq!((with("Bearer secret"), with("bearer secret")), (None, None));
        for wrong in ["Bearer secre", "Bearer secret2", "Basic secret", "secret", "Bearer "] {
            assert_eq!(with(wrong), Some(401), "{wrong}");
        }
        assert_eq!(admitted(&access, &[("host", "weir.test")]), Some(401));
        let page = [("host", "weir.test"), ("authorization", "Bearer secret"), ("origin", "https://evil.test")];
        assert_eq!(admitted(&access, &page), Some(403));
        fs::write(&file, "other").unwrap();
        assert_eq!((with("Bearer secret"), with("Bearer other")), (Some(401), None));
    }
}
