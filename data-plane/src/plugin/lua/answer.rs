//! What `pre` and `post` return: nothing, or an answer that ends the request.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use mlua::{Table, Value};

use super::argument::text;
use super::current::{MAX_CHANGED, header_size};
use crate::plugin::change::{header_name, header_value};
use crate::plugin::halt::status;
use crate::plugin::{Failure, Flow, Halt};

/// Its fields, as they are read.
#[derive(Default)]
struct Draft {
    status: Option<StatusCode>,
    message: Option<Vec<u8>>,
    content_type: Option<HeaderValue>,
    location: Option<HeaderValue>,
    headers: HeaderMap,
}

/// What follows from an answer.
///
/// # Errors
/// If it is neither nothing nor an answer that could be sent as it is.
pub(super) fn flow(answer: &Value) -> Result<Flow, Failure> {
    match answer {
        Value::Nil => Ok(Flow::GoOn),
        Value::Table(table) => Ok(read(table)?.halt().into()),
        other => Err(Failure::bad_answer(format!("returns a {} in place of an answer", other.type_name()))),
    }
}

fn read(table: &Table) -> Result<Draft, Failure> {
    let mut draft = Draft::default();
    for field in table.pairs::<Value, Value>() {
        let (name, value) = field.map_err(|error| Failure::bad_answer(error.to_string()))?;
        draft.set(&text(&name)?, &value)?;
    }
    Ok(draft)
}

impl Draft {
    fn set(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        match (name, value) {
            ("status", Value::Integer(number)) => self.status = Some(status(*number)?),
            ("message", Value::String(message)) => self.message = Some(message.as_bytes().to_vec()),
            ("content_type", Value::String(_)) => self.content_type = Some(header_value(&CONTENT_TYPE, text(value)?)?),
            ("location", Value::String(_)) => self.location = Some(header_value(&LOCATION, text(value)?)?),
            ("headers", Value::Table(headers)) => return self.set_headers(headers),
            ("status" | "message" | "content_type" | "location" | "headers", other) => {
                return Err(Failure::bad_answer(format!("{name} of an answer cannot be a {}", other.type_name())));
            }
            _ => return Err(Failure::bad_answer(format!("{name:?} is no field of an answer"))),
        }
        Ok(())
    }

    fn set_headers(&mut self, headers: &Table) -> Result<(), Failure> {
        let mut size = 0;
        for header in headers.pairs::<Value, Value>() {
            let (name, value) = header.map_err(|error| Failure::bad_answer(error.to_string()))?;
            let name = header_name(&text(&name)?)?;
            let value = header_value(&name, text(&value)?)?;
            size += header_size(&name, &value);
            if size > MAX_CHANGED {
                return Err(Failure::bad_answer(format!("returns more than {MAX_CHANGED} bytes of headers")));
            }
            self.headers.append(name, value);
        }
        Ok(())
    }

    /// With the defaults of P2. An answer with a location alone is a redirect.
    fn halt(self) -> Halt {
        let Self { status, message, content_type, location, headers } = self;
        let mut halt = match location {
            Some(location) => Halt::redirect(status.unwrap_or(StatusCode::FOUND), location),
            None => Halt { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), ..Halt::default() },
        };
        if let Some(message) = message {
            halt.body = message.into();
            halt.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        }
        halt.headers.extend(headers);
        if let Some(content_type) = content_type {
            halt.headers.insert(CONTENT_TYPE, content_type);
        }
        halt
    }
}
