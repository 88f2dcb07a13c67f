//! `weir demo`: three servers, both planes, steady traffic, live figures, and a summary that adds up.

mod cycle;
mod figures;
mod manifests;
mod servers;
mod table;
mod traffic;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use weir_control_plane::status::{Line, LineSink};
use weir_proto::process::shutdown;

use crate::cli;
use crate::planes::{PlaneArgs, Planes};
use figures::Sources;
use manifests::SERVERS;
use servers::Server;
use table::Screen;
use traffic::Tally;

/// Requests that the demo sends per second.
const RATE: u32 = 40;
/// Time between two looks at whether the play has failed.
const ENDED_POLL: Duration = Duration::from_millis(100);
/// Lines that may wait to be shown.
const EVENTS: usize = 32;

/// What `weir demo` may be told.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    planes: PlaneArgs,
    /// Port of the first of the three servers on 127.0.0.1; the others take the next two. 0: any free ports
    #[arg(long, value_name = "PORT", env = "WEIR_BACKEND_PORT", default_value_t = SERVERS[0].1,
          value_parser = clap::value_parser!(u16).range(..=65_533))]
    backend_port: u16,
    /// End by itself after this time, such as 5s
    #[arg(long, value_name = "TIME", env = "WEIR_EXIT_AFTER", value_parser = cli::duration)]
    exit_after: Option<Duration>,
}

/// Runs until a signal, or for as long as asked.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut servers = start_servers(args.backend_port).await?;
    let addresses = [0, 1, 2].map(|i: usize| servers[i].address());
    let folder = manifests::write(&addresses)?;
    let (say, events) = mpsc::channel(EVENTS);
    let planes = Planes::start(folder.path(), &args.planes, findings(say.clone())).await?;
    planes.ready().await?;
    let (_, weir) = *planes.listeners().first().context("the demo needs a listener")?;

    let mut screen = Screen::new();
    screen.say(&introduction(&planes, weir, folder.path()))?;
    let tally = Arc::<Mutex<Tally>>::default();
    let sources = Sources::new(planes.admin(), &servers, tally.clone());
    let last = servers.pop().context("there are three servers")?;
    let play = Play::start(weir, last, tally, (say, events));
    let watched = watch(&mut screen, &sources, play, args.exit_after).await;

    planes.stop().await?;
    watched?;
    screen.say(&summary(&sources))?;
    verdict(&sources)
}

async fn start_servers(first_port: u16) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for (place, (name, _)) in (0..).zip(SERVERS) {
        let port = if first_port == 0 { 0 } else { first_port + place };
        servers.push(Server::start(name, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?);
    }
    Ok(servers)
}

/// Shows what is wrong with the manifests, which people are asked to edit.
fn findings(say: mpsc::Sender<String>) -> LineSink {
    LineSink::new(move |line| {
        let (Line::Wrong(text) | Line::Right(text)) = line;
        // Full only if a person broke dozens of things at once: the first of them are enough.
        let _ = say.try_send(format!("-- {text}"));
    })
}

/// Lines to show, and who may send them.
type Events = (mpsc::Sender<String>, mpsc::Receiver<String>);

/// What happens by itself while the figures are shown.
struct Play {
    stop: CancellationToken,
    traffic: JoinHandle<()>,
    cycle: JoinHandle<anyhow::Result<()>>,
    events: mpsc::Receiver<String>,
}

impl Play {
    fn start(weir: SocketAddr, mut server: Server, tally: Arc<Mutex<Tally>>, (say, events): Events) -> Self {
        let stop = CancellationToken::new();
        let traffic = tokio::spawn(traffic::run(weir, RATE, tally, stop.clone()));
        let until = stop.clone();
        let cycle = tokio::spawn(async move { cycle::run(&mut server, say, until).await });
        Self { stop, traffic, cycle, events }
    }

    /// Lets the running request finish.
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        drop(self.events);
        self.traffic.await?;
        self.cycle.await?
    }
}

/// Shows figures and events until it is time to end.
async fn watch(screen: &mut Screen, sources: &Sources, mut play: Play, end: Option<Duration>) -> anyhow::Result<()> {
    let told_to_stop = shutdown::on_signal()?;
    let end = async {
        tokio::select! {
            () = told_to_stop.cancelled() => {}
            () = after(end) => {}
        }
    };
    let mut end = std::pin::pin!(end);
    let mut clock = interval(screen.period());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut end => return play.stop().await,
            Some(event) = play.events.recv() => screen.say(&event)?,
            // It ends by itself only with an error, which `stop` gives.
            () = ended(&play.cycle) => return play.stop().await,
            _ = clock.tick() => screen.show(&sources.read().await?)?,
        }
    }
}

async fn ended<T>(task: &JoinHandle<T>) {
    while !task.is_finished() {
        sleep(ENDED_POLL).await;
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

fn introduction(planes: &Planes, weir: SocketAddr, folder: &Path) -> String {
    let (admin, api, folder) = (planes.admin(), planes.api(), folder.display());
    format!(
        "Weir balances over three servers of this demo, of which one goes down and comes back.

  curl -i http://{weir}/                     x-weir-backend says who answered
  curl http://{admin}{state}    the state of the pool
  curl http://{admin}/metrics                 figures for Prometheus
  curl http://{api}/api/v1/proxies          what the control plane knows of the proxy

Edit {folder}/{edit}: a weight, or `enabled: false`, and watch the figures. Ctrl-c ends.
",
        state = figures::STATE_PATH,
        edit = manifests::EDIT,
    )
}

fn summary(sources: &Sources) -> String {
    let tally = sources.tally();
    let parts: Vec<_> = sources.by_server().map(|(name, count)| format!("{name} {count}")).collect();
    format!(
        "\nsent      {} requests of the demo\nanswered  {} = {}\nfailed    {}",
        tally.sent,
        tally.all_answered(),
        parts.join(" + "),
        tally.failed
    )
}

/// Failure if a request failed, or client and servers disagree on who answered how many.
fn verdict(sources: &Sources) -> anyhow::Result<ExitCode> {
    let tally = sources.tally();
    let agree = sources.by_server().all(|(name, count)| tally.answered.get(name).copied().unwrap_or(0) == count);
    anyhow::ensure!(agree, "the servers' own counts differ: clients were answered {:?}", tally.answered);
    anyhow::ensure!(tally.sent == tally.all_answered() + tally.failed, "some requests are unaccounted for");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
