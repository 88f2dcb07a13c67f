//! A real browser that a test looks through: Chromium, driven by its own driver in the protocol of W3C WebDriver.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::ensure;
use http::{Method, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::full;
use crate::program::Program;
use crate::{send, within};

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

/// The key of an element's name in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser; ends when dropped.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    session: String,
    _driver: Program,
    _profile: TempDir,
}

impl Browser {
    /// A window of this size.
    ///
    /// # Panics
    /// If Chromium or its driver cannot be started.
    pub async fn start(width: u32, height: u32) -> Self {
        let driver = Program::start_file(Path::new("chromedriver"), &["--port=0"]);
        let line = driver.line("started successfully on port").await;
        let port: u16 =
            line.trim_end_matches('.').rsplit(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(format!("--window-size={width},{height}"));
        let wanted = json!({"goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"}});
        let wanted = json!({"capabilities": {"alwaysMatch": wanted}});
        let session =
            within("a browser", command(address, Method::POST, "/session", &wanted)).await.expect("a browser");
        let session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        Self { address, session, _driver: driver, _profile: profile }
    }

    async fn ask(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        within(path, command(self.address, Method::POST, &format!("{}{path}", self.session), body)).await
    }

    /// The path of the first element that a CSS selector finds.
    async fn element(&self, selector: &str) -> anyhow::Result<String> {
        let found = self.ask("/element", &json!({"using": "css selector", "value": selector})).await?;
        Ok(format!("/element/{}", found[ELEMENT].as_str().unwrap_or_default()))
    }

    /// Loads a page.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub async fn open(&self, url: &str) {
        self.ask("/url", &json!({"url": url})).await.expect("a page");
    }

    /// What a script in the page returns.
    ///
    /// # Panics
    /// If it throws.
    pub async fn run(&self, script: &str) -> Value {
        self.ask("/execute/sync", &json!({"script": script, "args": []})).await.expect("a script that works")
    }

    /// The text of the first element that a CSS selector finds, if there is one.
    pub async fn text(&self, selector: &str) -> Option<String> {
        let script = format!("return document.querySelector({})?.textContent ?? null", json!(selector));
        self.run(&script).await.as_str().map(str::to_owned)
    }

    /// Clicks on an element as a person would: it must be visible.
    ///
    /// # Panics
    /// If it is not there or cannot be clicked on.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await.expect(selector);
        self.ask(&format!("{element}/click"), &json!({})).await.expect(selector);
    }

    /// Types into a field in place of what is in it.
    ///
    /// # Panics
    /// If it is no field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await.expect(selector);
        self.ask(&format!("{element}/clear"), &json!({})).await.expect(selector);
        self.ask(&format!("{element}/value"), &json!({"text": text})).await.expect(selector);
    }

    /// Asks the page for `dark` or `light` colours.
    ///
    /// # Panics
    /// If the browser cannot.
    pub async fn prefer(&self, colours: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.ask("/goog/cdp/execute", &command).await.expect("colours");
    }

    /// What the page and the browser wrote to the console since the last call, but for what is only a hint.
    ///
    /// # Panics
    /// If the browser does not tell.
    pub async fn console(&self) -> Vec<String> {
        let log = self.ask("/se/log", &json!({"type": "browser"})).await.expect("a log");
        let entries = log.as_array().cloned().unwrap_or_default();
        let serious = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].to_string()).collect()
    }

    /// Closes the window.
    pub async fn close(self) {
        // The driver ends with this value in any case.
        let _ = command(self.address, Method::DELETE, &self.session, &json!({})).await;
    }
}

/// What the driver answers to a command.
async fn command(driver: SocketAddr, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = send(driver, request.body(full(body.to_string()))?).await?;
    let (status, mut said) = (response.status, response.json());
    ensure!(status == 200, "{path}: {said}");
    Ok(said["value"].take())
}
