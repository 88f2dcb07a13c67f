//! Answers 403 to requests without the header that the parameter names, and marks the answers to the others.

wit_bindgen::generate!({
    path: ["../../../../proto/wit/v0.1", "../wit"],
    world: "example:gate/gate",
    generate_all,
});

use exports::weir::plugin::{post, pre};
use weir::plugin::types::{Halt, Request, Session};

struct Gate;

impl pre::Guest for Gate {
    fn run(request: &Request, session: &Session) -> Option<Halt> {
        let param: serde_json::Value = serde_json::from_str(&session.param()).expect("a parameter in JSON");
        // Without one nobody passes: a plugin that traps has its request answered 500.
        let header = param["header"].as_str().expect("the parameter's field header");
        if request.header(header).is_some() {
            return None;
        }
        let message = Some(format!("{header} is missing\n"));
        Some(Halt { status: Some(403), message, content_type: None, headers: Vec::new() })
    }
}

impl post::Guest for Gate {
    fn run(_request: &Request, session: &Session) -> Option<Halt> {
        session.add_response_header("x-gate", "rust");
        None
    }
}

export!(Gate);
