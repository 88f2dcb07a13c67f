//! A Plugin of a component, with one parameter.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use weir_proto::model::{Invalid, Plugin, Wasm, WasmInstance};

use super::contract::types;
use super::engine;
use super::instance::{Instance, Said};
use super::module::Module;
use super::modules::Modules;
use crate::plugin::change::{header_name, header_value};
use crate::plugin::local::LocalKey;
use crate::plugin::stats::Hook;
use crate::plugin::{Candidates, Failure, Flow, Halt, Hooks, Outcome, Session, Stage, Step, halt};

/// What is the same for all instances of a stage.
#[derive(Debug)]
pub(super) struct Settings {
    /// `namespace/name` of the Plugin, for the log.
    pub(super) name: String,
    /// The parameter, as JSON.
    pub(super) param: String,
    /// Most bytes of memory.
    pub(super) memory_limit: u64,
    /// Time that a call may take.
    pub(super) epochs: u64,
}

/// A Plugin of a component, without a parameter.
#[derive(Debug, Clone)]
pub struct Program {
    module: Arc<Module>,
    plugin: Arc<Plugin>,
    instance: WasmInstance,
    memory_limit: u64,
}

impl Program {
    /// That of a component which was prepared.
    ///
    /// # Errors
    /// If it could not be prepared; names the field.
    pub fn new(plugin: &Plugin, wasm: &Wasm, modules: &Modules) -> Result<Self, Invalid> {
        let module = modules.prepared(wasm)?;
        let Wasm { source: _, memory_limit, instance } = *wasm;
        Ok(Self { module, plugin: Arc::new(plugin.clone()), instance, memory_limit })
    }

    /// Its stage with this parameter.
    #[must_use]
    pub fn stage(&self, param: &Value) -> Arc<dyn Stage> {
        let settings = Settings {
            name: self.plugin.name.to_string(),
            param: param.to_string(),
            memory_limit: self.memory_limit,
            epochs: engine::epochs(self.plugin.timeout),
        };
        Arc::new(WasmStage {
            module: self.module.clone(),
            settings: Arc::new(settings),
            instance: self.instance,
            key: LocalKey::default(),
        })
    }
}

/// A Plugin with a parameter.
#[derive(Debug)]
struct WasmStage {
    module: Arc<Module>,
    settings: Arc<Settings>,
    instance: WasmInstance,
    key: LocalKey,
}

impl WasmStage {
    /// Runs a hook of an instance. One that fails is dropped, also if its answer alone was wrong.
    fn with<R>(
        &self,
        hook: Hook,
        session: &Session<'_>,
        run: impl FnOnce(&mut Instance) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if self.instance == WasmInstance::PerRequest {
            return run(&mut self.module.instantiate(Some(hook), &self.settings)?);
        }
        let slot = session.worker().locals.get(&self.key, || Ok(RefCell::new(None)))?;
        // Out of its place while it runs: a panic takes it along.
        let mut instance = match slot.take() {
            Some(instance) => instance,
            None => self.module.instantiate(None, &self.settings)?,
        };
        let result = run(&mut instance)?;
        slot.replace(Some(instance));
        Ok(result)
    }

    fn step(
        &self,
        hook: Hook,
        session: &mut Session<'_>,
        run: impl FnOnce(&mut Instance) -> Result<Said<Option<types::Halt>>, Failure>,
    ) -> Step {
        let (answer, changes) = self.with(hook, session, |instance| {
            let Said { answer, changes } = run(instance)?;
            Ok((answer.map(answer_of).transpose()?, changes))
        })?;
        session.change_all(changes);
        Ok(answer.map_or(Flow::GoOn, Flow::from))
    }
}

impl Stage for WasmStage {
    fn hooks(&self) -> Hooks {
        self.module.hooks()
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let scene = session.keep();
        self.step(Hook::Pre, session, |instance| instance.pre(scene))
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let (scene, all) = (session.keep(), candidates.iter().cloned().collect());
        self.with(Hook::Balance, session, |instance| {
            let Some(places) = instance.balance(scene, all)?.answer else { return Ok(()) };
            let wrong = || Failure::bad_answer(format!("it keeps {places:?}: not each a candidate, and each once"));
            let kept = candidates.keep(places.iter().map(|place| *place as usize));
            if kept { Ok(()) } else { Err(wrong()) }
        })
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        let scene = session.keep();
        self.step(Hook::Post, session, |instance| instance.post(scene))
    }

    fn done(&self, session: &mut Session<'_>, outcome: &Outcome) -> Result<(), Failure> {
        let scene = session.keep();
        self.with(Hook::Done, session, |instance| instance.done(scene, outcome.into()))
    }
}

impl From<&Outcome> for types::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let Outcome { status, duration, upstream, bytes } = *outcome;
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { status, duration: nanoseconds(duration), upstream: upstream.map(nanoseconds), bytes }
    }
}

/// The answer that a component wants, if it is one.
fn answer_of(wanted: types::Halt) -> Result<Halt, Failure> {
    let types::Halt { status, message, content_type, headers } = wanted;
    let status = status.map(|status| halt::status(status.into())).transpose()?;
    let mut answer = Halt { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), ..Halt::default() };
    if let Some(message) = message {
        answer.body = Bytes::from(message);
    }
    if let Some(content_type) = content_type {
        answer = answer.with(CONTENT_TYPE, header_value(&CONTENT_TYPE, content_type)?);
    }
    for (name, value) in headers {
        let name = header_name(&name)?;
        let value = header_value(&name, value)?;
        answer.headers.append(name, value);
    }
    Ok(answer)
}
