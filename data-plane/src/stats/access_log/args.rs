//! The arguments of the access log.

use clap::Args;

use super::{Filter, Format, Settings, Target};

/// What is logged of requests; can be flattened into a command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access log")]
pub struct AccessLogArgs {
    /// Write a line per request to standard output or to a file, which SIGHUP opens anew
    #[arg(long, value_name = "stdout|PATH", env = "WEIR_ACCESS_LOG")]
    pub access_log: Option<Target>,
    /// What a line looks like: json, combined, or a text with fields such as '{client} "{method} {path}" {status}'
    #[arg(
        long,
        value_name = "json|combined|TEMPLATE",
        env = "WEIR_ACCESS_LOG_FORMAT",
        default_value = "json",
        requires = "access_log"
    )]
    pub access_log_format: Format,
    /// Which requests have a line: those with any of errors, slow>TIME, and of the others sample=SHARE, separated by
    /// commas, such as slow>500ms,sample=1%. Errors always have one [default: all]
    #[arg(
        long,
        value_name = "errors|slow>TIME|sample=SHARE,...",
        env = "WEIR_ACCESS_LOG_FILTER",
        requires = "access_log"
    )]
    pub access_log_filter: Option<Filter>,
}

impl AccessLogArgs {
    /// What they say, if there is to be a log.
    #[must_use]
    pub fn settings(self) -> Option<Settings> {
        let Self { access_log, access_log_format, access_log_filter } = self;
        let filter = access_log_filter.unwrap_or_default();
        access_log.map(|target| Settings { target, format: access_log_format, filter })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: AccessLogArgs,
    }

    fn parse(arguments: &[&str]) -> Result<Option<Settings>, clap::Error> {
        Program::try_parse_from(["weir"].iter().chain(arguments)).map(|program| program.args.settings())
    }

    #[test]
    fn without_a_target_there_is_no_log_and_nothing_to_say_of_it() {
        assert!(parse(&[]).unwrap().is_none());
        for flags in [["--access-log-format", "combined"], ["--access-log-filter", "errors"]] {
            let error = parse(&flags).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains("--access-log <stdout|PATH>"), "{error}");
        }
    }

    #[test]
    fn every_request_is_logged_as_json_unless_somebody_says_otherwise() {
        let settings = parse(&["--access-log", "stdout"]).unwrap().unwrap();
        assert_eq!((settings.filter, settings.format), (Filter::default(), Format::Json));
    }

    #[test]
    fn wrong_usage_names_what_is_wrong_and_what_is_near() {
        for (flag, value, hint) in [
            ("--access-log-format", "{statsu}", "\"statsu\" is no field, did you mean \"status\"?"),
            ("--access-log-format", "jsn", "\"jsn\" is no format"),
            ("--access-log-filter", "error", "did you mean \"errors\"?"),
            ("--access-log-filter", "slow>5", "no duration"),
            ("--access-log-filter", "sample=2", "no share"),
        ] {
            let error = parse(&["--access-log", "stdout", flag, value]).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(hint), "{value}: {error}");
        }
    }
}
