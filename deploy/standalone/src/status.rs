//! `weir status` and `weir top`: pools and backends of one or many proxies, for a terminal.

mod figures;
mod merge;
mod proxies;
mod screen;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin_url::AdminUrl;
use crate::cli::duration;
use crate::ink::Ink;
use figures::Figures;
use proxies::Proxies;
use screen::Screen;
use table::render;

/// Which proxies are asked for which pools.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only pools with this in their names
    #[arg(value_name = "POOL")]
    search: Option<String>,
    /// Admin server of a proxy, such as 10.0.0.5:9900; may be repeated (in the variable: separated by spaces)
    #[arg(long, value_name = "URL", env = "WEIR_ADMIN_URL", value_delimiter = ' ', default_value = "127.0.0.1:9900")]
    admin: Vec<AdminUrl>,
    /// Ask all proxies of a control plane instead: its admin server, such as 10.0.0.5:9801
    #[arg(long, value_name = "URL", env = "WEIR_CONTROL_PLANE_URL")]
    control_plane: Option<AdminUrl>,
    /// Only pools of which something is not up
    #[arg(long, env = "WEIR_PROBLEMS")]
    problems: bool,
}

/// What `weir status` may be told.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    wanted: Wanted,
}

/// What `weir top` may be told.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Time from one look to the next
    #[arg(long, value_name = "TIME", env = "WEIR_INTERVAL", default_value = "1s", value_parser = pause)]
    interval: Duration,
    /// End after so many looks
    #[arg(long, value_name = "N", env = "WEIR_COUNT")]
    count: Option<u64>,
}

fn pause(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("must be > 0".to_owned()) } else { Ok(time) })
}

/// Shows the figures once; the exit status is 1 if something is not up.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let figures = Proxies::from(args.wanted).read().await?;
    let text = render(&figures, Ink::of(&io::stdout()), usize::MAX);
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if figures.all_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows them again and again, until ctrl-c.
pub(crate) async fn top(args: TopArgs) -> anyhow::Result<ExitCode> {
    let TopArgs { wanted, interval: pause, count } = args;
    let (proxies, mut looks) = (Proxies::from(wanted), interval(pause));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut screen = Screen::open(io::stdout().is_terminal())?;
    for _ in 0..count.unwrap_or(u64::MAX) {
        tokio::select! {
            biased;
            _ = ctrl_c() => break,
            shown = async {
                looks.tick().await;
                show(&mut screen, proxies.read().await)
            } => shown?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A proxy that is away is no reason to end: it may come back.
fn show(screen: &mut Screen, figures: anyhow::Result<Figures>) -> io::Result<()> {
    let text = match &figures {
        Ok(figures) => render(figures, Ink::of(&io::stdout()), screen.lines()),
        Err(error) => format!("{error:#}\n"),
    };
    screen.show(&text)
}
