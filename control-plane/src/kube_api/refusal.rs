//! Why a request is refused, in the words of Kubernetes, which clients take apart.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};
use weir_proto::model::Key;

use super::kinds;
use crate::api;

/// A refusal; goes out as a `Status`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: Box<Status>,
    /// The methods that there are, if it is for want of the one that was used.
    pub(super) allowed: Option<&'static str>,
}

/// A field, and what is wrong with it.
pub(super) type Wrong = (String, String);

impl Refusal {
    fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let status = Status {
            code: Some(code.into()),
            message: Some(message.into()),
            reason: Some(reason.to_owned()),
            status: Some("Failure".to_owned()),
            ..Status::default()
        };
        Self { status: Box::new(status), allowed: None }
    }

    /// The status code of HTTP.
    pub(super) fn code(&self) -> u16 {
        self.status.code.and_then(|code| code.try_into().ok()).unwrap_or(500)
    }

    /// What it says.
    pub(super) fn message(&self) -> &str {
        self.status.message.as_deref().unwrap_or_default()
    }

    /// The fields that are wrong.
    pub(super) fn causes(&self) -> Vec<StatusCause> {
        self.status.details.as_ref().and_then(|details| details.causes.clone()).unwrap_or_default()
    }

    fn about(mut self, key: &Key) -> Self {
        self.status.details = Some(StatusDetails {
            group: Some(api::GROUP.to_owned()),
            kind: Some(kinds::of(key.kind).plural.clone()),
            name: Some(key.name.name().to_owned()),
            ..StatusDetails::default()
        });
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            401,
            "Unauthorized",
            "Unauthorized: the token of --api-token-file is needed, as Authorization: Bearer",
        )
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(403, "Forbidden", message)
    }

    /// One object may not be changed like that.
    pub(super) fn protected(key: &Key, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} is forbidden: {why}", name(key))).about(key)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::new(404, "NotFound", message)
    }

    pub(super) fn no_object(key: &Key) -> Self {
        Self::new(404, "NotFound", format!("{} not found", name(key))).about(key)
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { allowed: Some(allowed), ..Self::new(405, "MethodNotAllowed", message) }
    }

    pub(super) fn already_exists(key: &Key) -> Self {
        Self::new(409, "AlreadyExists", format!("{} already exists", name(key))).about(key)
    }

    pub(super) fn conflict(key: &Key, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {}: {why}", name(key));
        Self::new(409, "Conflict", message).about(key)
    }

    /// Somebody else writes all the time.
    pub(super) fn busy() -> Self {
        Self::new(409, "Conflict", "the files are being changed by somebody else; please try again")
    }

    pub(super) fn expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion for the provided watch is too old.")
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    pub(super) fn unsupported(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// An object breaks rules.
    pub(super) fn invalid(key: &Key, wrong: &[Wrong]) -> Self {
        let lines: Vec<String> = wrong.iter().map(line).collect();
        let list = if lines.len() == 1 { lines.concat() } else { format!("[{}]", lines.join(", ")) };
        let message = format!("{}.{} {:?} is invalid: {list}", key.kind.as_str(), api::GROUP, key.name.name());
        let mut refusal = Self::new(422, "Invalid", message).about(key);
        if let Some(details) = &mut refusal.status.details {
            details.kind = Some(key.kind.as_str().to_owned());
            details.causes = Some(wrong.iter().map(cause).collect());
        }
        refusal
    }

    /// Several objects of one request are not to be had; as the first of them.
    pub(super) fn together(message: String, first: &Self, causes: Vec<StatusCause>) -> Self {
        let mut refusal = Self::new(first.code(), first.status.reason.as_deref().unwrap_or_default(), message);
        refusal.status.details = Some(StatusDetails { causes: Some(causes), ..StatusDetails::default() });
        refusal
    }

    pub(super) fn internal(message: String) -> Self {
        Self::new(500, "InternalError", message)
    }

    pub(super) fn starting() -> Self {
        Self::new(503, "ServiceUnavailable", "the resources of the folder are not read yet")
    }
}

/// As Kubernetes names an object in messages.
fn name(key: &Key) -> String {
    format!("{}.{} {:?}", kinds::of(key.kind).plural, api::GROUP, key.name.name())
}

fn line((field, message): &Wrong) -> String {
    if field.is_empty() { message.clone() } else { format!("{field}: {message}") }
}

fn cause((field, message): &Wrong) -> StatusCause {
    StatusCause {
        field: Some(field.clone()).filter(|field| !field.is_empty()),
        message: Some(message.clone()),
        reason: Some("FieldValueInvalid".to_owned()),
    }
}
