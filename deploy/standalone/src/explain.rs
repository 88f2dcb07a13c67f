//! `weir explain`: why a request goes where it goes, as a proxy says.

mod live;
mod tree;

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use weir_data_plane::explain::question::Header;
use weir_data_plane::explain::{Explanation, Question};

use crate::admin_url::AdminUrl;
use crate::client::Client;
use crate::ink::Ink;
use crate::plugin::request::Header as HeaderFlag;

/// What a question that is wrong ends with.
const WRONG_QUESTION: u8 = 2;

/// What `weir explain` may be told.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Its method
    #[arg(value_name = "METHOD", required_unless_present = "live", conflicts_with = "live")]
    method: Option<String>,
    /// Its URL; or a path, with a header host
    #[arg(value_name = "URL", required_unless_present = "live")]
    url: Option<String>,
    /// Admin server of the proxy, such as 10.0.0.5:9900
    #[arg(long, value_name = "URL", env = "WEIR_ADMIN_URL", default_value = "127.0.0.1:9900")]
    admin: AdminUrl,
    /// A field of its header; may be repeated (in the variable: one)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", env = "WEIR_EXPLAIN_HEADER")]
    header: Vec<HeaderFlag>,
    /// Where the client is
    #[arg(long, value_name = "ADDR", env = "WEIR_EXPLAIN_CLIENT", default_value = "192.0.2.1")]
    client: IpAddr,
    /// The listener that it comes by [default: the first one of HTTP that fits the URL]
    #[arg(long, value_name = "NAME", env = "WEIR_EXPLAIN_LISTENER")]
    listener: Option<String>,
    /// Show JSON, as the proxy's API
    #[arg(long, env = "WEIR_EXPLAIN_JSON")]
    json: bool,
    /// Show requests as they are answered
    #[arg(long, env = "WEIR_EXPLAIN_LIVE")]
    live: bool,
    /// With --live: those of this pool only, as NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", env = "WEIR_EXPLAIN_POOL", conflicts_with = "method")]
    pool: Option<String>,
    /// With --live: those of this outcome only
    #[arg(long, value_name = "OUTCOME", env = "WEIR_EXPLAIN_ONLY", conflicts_with = "method")]
    only: Option<Only>,
    /// With --live: this share of them, 0 to 1
    #[arg(long, value_name = "SHARE", env = "WEIR_EXPLAIN_SAMPLE", conflicts_with = "method", value_parser = share)]
    sample: Option<f64>,
    /// With --live: end after so many
    #[arg(long, value_name = "N", env = "WEIR_EXPLAIN_COUNT", conflicts_with = "method")]
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Only {
    /// A status from 500 on, or a reason of Weir's own.
    Errors,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// Asks, and shows what the proxy says.
pub(crate) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    if args.live {
        return live::run(&args).await;
    }
    let question = serde_json::to_string(&question(&args))?;
    let request = Request::post(args.admin.path("/api/v1/explain")).body(question)?;
    let response = ask(&args.admin, request).await?;
    let status = response.status();
    let body = response.into_body().collect().await.context("the answer breaks off")?.to_bytes();
    if status != StatusCode::OK {
        return refused(&args.admin, status, &body);
    }
    let mut out = io::stdout().lock();
    if args.json {
        out.write_all(&body)?;
        writeln!(out)?;
    } else {
        let explanation: Explanation = serde_json::from_slice(&body).context("the proxy is of another version")?;
        out.write_all(tree::render(&explanation, Ink::of(&io::stdout())).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn question(args: &ExplainArgs) -> Question {
    let header = |flag: &HeaderFlag| {
        let (name, value) = flag.texts();
        Header { name, value }
    };
    Question {
        method: args.method.clone().unwrap_or_default(),
        url: args.url.clone().unwrap_or_default(),
        headers: args.header.iter().map(header).collect(),
        client: args.client,
        listener: args.listener.clone(),
    }
}

async fn ask(admin: &AdminUrl, request: Request<String>) -> anyhow::Result<Response<Incoming>> {
    let unreachable = || format!("{admin}: is there a proxy?");
    let mut client = Client::open(&admin.authority).await.with_context(unreachable)?;
    client.send(request).await.with_context(unreachable)
}

/// Says what the proxy has against the question.
fn refused(admin: &AdminUrl, status: StatusCode, body: &[u8]) -> anyhow::Result<ExitCode> {
    let error = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
    let error = error.unwrap_or_else(|| format!("answers {status}"));
    if status != StatusCode::BAD_REQUEST {
        bail!("{admin}: {error}");
    }
    eprintln!("weir: {error}");
    Ok(ExitCode::from(WRONG_QUESTION))
}
