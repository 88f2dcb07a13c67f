//! A real browser that a test looks through: Chromium, driven by its own driver.

use std::path::Path;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::program::Program;
use crate::within;

/// As root it has no sandbox; what it would load by itself cannot be loaded here.
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A window of a browser; ends when dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Program,
    _profile: TempDir,
}

/// What the driver knows besides WebDriver: the path below the session, and what it is told.
#[derive(Debug)]
struct Extension(&'static str, Value);

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// A window of this size.
    ///
    /// # Panics
    /// If Chromium or its driver cannot be started.
    pub async fn start(width: u32, height: u32) -> Self {
        let driver = Program::start_file(Path::new("chromedriver"), &["--port=0"]);
        let line = driver.line("started successfully on port").await;
        let port = line.trim_end_matches('.').rsplit(' ').next().expect("a port").to_owned();
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(format!("--window-size={width},{height}"));
        let wanted = json!({
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(wanted) = wanted else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let url = format!("http://127.0.0.1:{port}");
        let client = within("a browser", builder.capabilities(wanted).connect(&url)).await.expect("a browser");
        Self { client, _driver: driver, _profile: profile }
    }

    /// Loads a page.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub async fn open(&self, url: &str) {
        within("a page", self.client.goto(url)).await.expect("a page");
    }

    /// What a script in the page returns.
    ///
    /// # Panics
    /// If it throws.
    pub async fn run(&self, script: &str) -> Value {
        within("a script", self.client.execute(script, Vec::new())).await.expect("a script that works")
    }

    /// The text of the first element that a CSS selector finds, if there is one.
    pub async fn text(&self, selector: &str) -> Option<String> {
        let element = self.client.find(Locator::Css(selector)).await.ok()?;
        element.text().await.ok()
    }

    /// Clicks on an element as a person would: it must be visible.
    ///
    /// # Panics
    /// If it is not there or cannot be clicked on.
    pub async fn click(&self, selector: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect(selector);
        element.click().await.expect(selector);
    }

    /// Types into a field in place of what is in it.
    ///
    /// # Panics
    /// If it is no field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect(selector);
        element.clear().await.expect(selector);
        element.send_keys(text).await.expect(selector);
    }

    /// Asks the page for `dark` or `light` colours.
    ///
    /// # Panics
    /// If the browser cannot.
    pub async fn prefer(&self, colours: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.client.issue_cmd(Extension("goog/cdp/execute", command)).await.expect("colours");
    }

    /// What the page and the browser wrote to the console since the last call, but for what is only a hint.
    ///
    /// # Panics
    /// If the browser does not tell.
    pub async fn console(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Extension("se/log", json!({"type": "browser"}))).await.expect("a log");
        let entries = log.as_array().cloned().unwrap_or_default();
        let serious = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].to_string()).collect()
    }

    /// The window as a PNG.
    ///
    /// # Panics
    /// If the browser cannot.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a screenshot")
    }

    /// Closes the window.
    pub async fn close(self) {
        // The driver ends with this value in any case.
        let _ = self.client.close().await;
    }
}
