//! A try at an endpoint that speaks FastCGI.

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::{Attempt, Unsent};
use crate::http::body::{Source, UpstreamBody};
use crate::http::failure::Failure;
use crate::http::request::Refusal;
use crate::upstream::fastcgi::environment::{self, Unfit};
use crate::upstream::fastcgi::script::BadPath;
use crate::upstream::fastcgi::stderr::Tag;
use crate::upstream::fastcgi::upload::{Upload, UploadError};
use crate::upstream::fastcgi::{Application, Begin, Error, Incoming, Shared};

impl Attempt {
    /// The environment of the request in records. Made before a connection is: not every request has one.
    pub(super) fn environment(&self, application: &Application) -> Result<Bytes, Failure> {
        let params = environment::of(&environment::Request {
            application: &application.config.load(),
            method: &self.template.method,
            uri: &self.template.uri,
            version: self.template.version,
            headers: &self.headers(),
            scheme: self.template.origin.scheme,
            client: self.template.origin.client,
            local: self.connection.local,
        });
        Ok(params.map_err(unfit)?.finish())
    }

    pub(super) async fn send_fastcgi(
        &self,
        session: &Shared,
        environment: Bytes,
        reused: bool,
    ) -> Result<Response<Incoming>, Unsent> {
        let upload = self.upload().await.map_err(|failure| Unsent { failure, replaceable: false })?;
        let keep = self.pool.config.keepalive.max_idle > 0;
        let endpoint = self.in_flight.endpoint();
        let request = Begin {
            params: environment,
            upload,
            keep,
            head_only: self.template.method == Method::HEAD,
            tag: Tag { backend: endpoint.backend.clone(), request: Some(self.template.id) },
            // Without idle connections none is in the way.
            waiting: endpoint
                .speaks
                .fastcgi()
                .filter(|_| keep && !reused)
                .map(|application| application.backlog.wait()),
        };
        session.send(request).await.map_err(|error| self.unsent(&error, session.has_heard()))
    }

    /// The body, with its length. Nobody else says that it may come, so the client is asked for it at once.
    async fn upload(&self) -> Result<Upload<UpstreamBody>, Failure> {
        let Some(body) = &self.template.body else { return Ok(Upload::none()) };
        if let Some(gate) = body.gate() {
            gate.open();
        }
        let upload = Upload::of(body.stream(), self.pool.config.retry.buffer_limit).await;
        upload.map_err(|error| match error {
            UploadError::Broken => Failure::of_client(body),
            UploadError::NoLength => Failure::Unfit(NO_LENGTH),
        })
    }

    fn unsent(&self, error: &Error, heard: bool) -> Unsent {
        let body = self.template.body.as_ref();
        let failure = match (Failure::of_fastcgi(error), body) {
            (Failure::Client, Some(body)) => Failure::of_client(body),
            (failure, _) => failure,
        };
        let died = matches!(failure, Failure::Reset { .. }) && !heard;
        let repeatable = self.pool.policy.repeatable(&self.template.method) && body.is_none_or(Source::is_replayable);
        Unsent { failure, replaceable: died && repeatable }
    }
}

const NO_LENGTH: Refusal =
    Refusal { status: StatusCode::LENGTH_REQUIRED, text: "a body of this size needs a Content-Length here\n" };

fn unfit(unfit: Unfit) -> Failure {
    Failure::Unfit(match unfit {
        Unfit::Path(BadPath::Malformed) => {
            Refusal { status: StatusCode::BAD_REQUEST, text: "the path names no file\n" }
        }
        Unfit::Path(BadPath::Ambiguous) => {
            Refusal { status: StatusCode::NOT_FOUND, text: "the path has an escaped slash or an empty segment\n" }
        }
        Unfit::TooLarge(_) => Refusal {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            text: "the request is too large for its script\n",
        },
    })
}
