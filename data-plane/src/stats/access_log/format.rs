//! What a line looks like.

use std::io::{self, Write};
use std::str::FromStr;

use http::HeaderName;

use super::Line;
use super::template::Template;

/// The combined log format of nginx and Apache.
const COMBINED: &str = concat!(
    r#"{client.ip} - - [{time.clf}] "{method} {path} {protocol}" {status} {bytes} "#,
    r#""{request.header.referer}" "{request.header.user-agent}""#
);

/// JSON, or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// An object a line.
    Json,
    /// A template filled in.
    Text(Template),
}

impl Format {
    /// Headers of requests that it names; records have them in this order.
    #[must_use]
    pub fn headers(&self) -> &[HeaderName] {
        match self {
            Self::Json => &[],
            Self::Text(template) => template.headers(),
        }
    }

    /// Appends a line. `text` is room for it, to be used again.
    pub(super) fn write(&self, line: &Line, text: &mut String, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Json => {
                // Complete before it is written: half a line would spoil the next one.
                let mut json = serde_json::to_vec(line)?;
                json.push(b'\n');
                out.write_all(&json)
            }
            Self::Text(template) => {
                text.clear();
                template.fill(line, text);
                text.push('\n');
                out.write_all(text.as_bytes())
            }
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "combined" => COMBINED.parse().map(Self::Text),
            text if text.contains('{') => text.parse().map(Self::Text),
            _ => Err(format!("{text:?} is no format: write json, combined, or a text with fields such as {{status}}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::head::tests::head;
    use super::super::{Head, Record};
    use super::*;

    fn line(format: &str, headers: &[(&'static str, &str)]) -> String {
        let format: Format = format.parse().unwrap();
        let head: Head = head("GET", "/a?b=c", headers, format.headers());
        let record = Record {
            time: "2026-11-21T09:00:00.1234567Z".parse().unwrap(),
            client: "192.0.2.7:4711".into(),
            status: 200,
            bytes: 12,
            duration: Duration::from_micros(1500),
            ..head.record()
        };
        let mut out = Vec::new();
        format.write(&Line::Request(Box::new(record)), &mut String::new(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_format_is_that_of_nginx_and_apache() {
        let headers = [("user-agent", "curl/8 \"x\""), ("referer", "http://a/")];
        assert_eq!(
            line("combined", &headers),
            "192.0.2.7 - - [21/Nov/2026:09:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"http://a/\" \
             \"curl/8 \\x22x\\x22\"\n"
        );
    }

    #[test]
    fn a_template_has_the_fields_that_it_names_and_a_dash_for_what_is_not_there() {
        let text = "{{{time}}} {client} {duration} {pool} {request.header.x-a} {request.header.X-B} {attempts}";
        assert_eq!(line(text, &[("x-a", "1 2")]), "{2026-11-21T09:00:00.123Z} 192.0.2.7:4711 0.001500 - 1\\x202 - 0\n");
    }
}
