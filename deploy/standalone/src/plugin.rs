//! `weir plugin test`: the hooks of Plugins, called here for a request that is made up.

mod json;
mod report;
pub(crate) mod request;
mod server;
mod totals;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use tokio::runtime::{self, LocalOptions};
use weir_control_plane::finding::Finding;
use weir_control_plane::rehearsal::{Prepared, Setting, prepare};
use weir_data_plane::plugin::rehearsal::{Refused, Rehearsal, Run, Scenario};

use report::Report;
use request::{Header, Target};
use server::ServerFlag;

/// What `weir plugin` may be told.
#[derive(Debug, Args)]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Call the hooks of Plugins for a request that is made up, and show what they answer and how long they take
    #[command(after_help = "\
Examples:
  weir plugin test greeting.lua --param '\"hello\"' --header 'x-user: eve'
  weir plugin test gate.wasm --param '{\"header\": \"x-key\"}' --request 'GET https://shop.example.com/a?b=c'
  weir plugin test manifests/ --plugin shop/limits --repeat 100
  weir plugin test chain.yaml --server a=10.0.0.1:80,inFlight=3 --server b=10.0.0.2:80,score=5,labels.zone=x

A PATH is a manifest, a folder of them, a .lua script or a .wasm component. A Pool is made up that uses the Plugins, with
the Secrets and ConfigMaps that they name among the manifests. Exit status 1 if a hook fails or anything is refused, then
with lines as those of weir check.")]
    Test(TestArgs),
}

/// What `weir plugin test` may be told.
#[derive(Debug, Args)]
struct TestArgs {
    /// Manifests with Plugins, folders of them, .lua scripts or .wasm components
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Which Plugin, as NAME or NAMESPACE/NAME; may be repeated, in the order in which they run [default: all]
    #[arg(long, value_name = "NAME", env = "WEIR_PLUGIN_TEST_PLUGIN", value_delimiter = ' ')]
    plugin: Vec<String>,
    /// The parameter, as JSON; goes over that of the Plugin as what a Pool says does
    #[arg(long, value_name = "JSON", env = "WEIR_PLUGIN_TEST_PARAM", value_parser = json_value)]
    param: Option<Value>,
    /// `config` of the Pool, as a JSON object
    #[arg(long, value_name = "JSON", env = "WEIR_PLUGIN_TEST_CONFIG", value_parser = json_value, default_value = "{}")]
    config: Value,
    /// The request: a method, if it is not GET, and a URL or path
    #[arg(long, value_name = "REQUEST", env = "WEIR_PLUGIN_TEST_REQUEST", default_value = "GET http://localhost/")]
    request: Target,
    /// A field of its header; may be repeated (in the variable: one)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", env = "WEIR_PLUGIN_TEST_HEADER")]
    header: Vec<Header>,
    /// Where the client is
    #[arg(long, value_name = "ADDR", env = "WEIR_PLUGIN_TEST_CLIENT", default_value = "192.0.2.1")]
    client: IpAddr,
    /// A backend, NAME=ADDR and any of weight=N, score=N, inFlight=N, labels.NAME=VALUE after commas; may be repeated
    /// [default: web-1, web-2 and web-3]
    #[arg(long, value_name = "SERVER", env = "WEIR_PLUGIN_TEST_SERVER", value_delimiter = ' ')]
    server: Vec<ServerFlag>,
    /// The status of the backend's answer, for `done`
    #[arg(long, value_name = "STATUS", env = "WEIR_PLUGIN_TEST_STATUS", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// How often the request is made; the first time is shown in full, then the sums
    #[arg(long, value_name = "N", env = "WEIR_PLUGIN_TEST_REPEAT", default_value = "1")]
    repeat: NonZeroU32,
    /// Form of what is shown
    #[arg(long, value_name = "FORM", env = "WEIR_PLUGIN_TEST_OUTPUT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Runs the hooks; failure if one fails.
pub(crate) fn run(args: PluginArgs) -> anyhow::Result<ExitCode> {
    let PluginCommand::Test(args) = args.command;
    // As a worker's: what waits stays on this thread.
    let runtime = runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.context("cannot start a runtime")?.block_on(test(args))
}

async fn test(args: TestArgs) -> anyhow::Result<ExitCode> {
    let output = args.output;
    let (paths, setting, scenario, repeat) = split(args)?;
    let shown = scenario.request.uri.to_string();
    let title = format!("{} {shown}", scenario.request.method);
    let prepared = match prepare(&paths, &setting) {
        Ok(prepared) => prepared,
        Err(findings) => return refuse(&findings),
    };
    let rehearsal = match Rehearsal::new(prepared.resources.clone(), scenario).await {
        Ok(rehearsal) => rehearsal,
        Err(refused) => return refuse(&findings(&prepared, refused)?),
    };
    let mut report = Report::new(title);
    for _ in 0..repeat.get() {
        let run: Run = rehearsal.run().await;
        report.add(run);
    }
    match output {
        Output::Text => report.write(&mut io::stdout().lock())?,
        Output::Json => writeln!(io::stdout(), "{}", json::report(&report))?,
    }
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the planes need each.
fn split(args: TestArgs) -> anyhow::Result<(Vec<PathBuf>, Setting, Scenario, NonZeroU32)> {
    let TestArgs { paths, plugin, param, config, request, header, client, server, status, repeat, output: _ } = args;
    let Value::Object(config) = config else { anyhow::bail!("--config must be a JSON object") };
    let in_flight: BTreeMap<String, u32> =
        server.iter().map(|flag| (flag.server.name.clone(), flag.in_flight)).collect();
    ensure!(in_flight.len() == server.len(), "each --server needs a name of its own");
    let servers = server.into_iter().map(|flag| flag.server).collect();
    let (request, tls) = request.into_parts(header);
    let scenario = Scenario { request, tls, client: SocketAddr::new(client, 40_000), in_flight, status };
    Ok((paths, Setting { plugins: plugin, param, config, servers }, scenario, repeat))
}

/// What a proxy says, as findings.
fn findings(prepared: &Prepared, refused: Refused) -> anyhow::Result<Vec<Finding>> {
    match refused {
        Refused::Resources(rejected) => {
            Ok(rejected.iter().map(|rejected| prepared.finding(&rejected.key, &rejected.reason)).collect())
        }
        Refused::Request(refusal) => anyhow::bail!("--request: {}", refusal.text.trim_end()),
        Refused::NoRoute => anyhow::bail!("no pool takes the request"),
    }
}

fn refuse(findings: &[Finding]) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
    Ok(ExitCode::FAILURE)
}

fn json_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))
}
