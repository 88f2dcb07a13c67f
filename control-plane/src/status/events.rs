//! Kubernetes Events: what `kubectl describe` lists below an object. Bounded: so many at once, so many a second,
//! and what does not fit is dropped, since statuses say the same.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_proto::model::Key;

use super::{ConditionState, Programmed, Seen, Status, Transition};
use crate::api::API_VERSION;
use crate::api::condition::ConditionType;
use crate::pace::Pace;

/// Events that wait for their turn.
const WAITING: usize = 256;

/// At once, and a second: a person reads no more.
const BURST: u32 = 50;
const A_SECOND: u32 = 5;

/// The most that the API server takes.
const NOTE: usize = 1_024;
const NAME: usize = 253;

const CONTROLLER: &str = "weir.dev/control-plane";

/// What an Event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) is_warning: bool,
    /// One word.
    pub(super) reason: String,
    /// For people.
    pub(super) text: String,
}

/// Takes Events; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Events(mpsc::Sender<(ObjectReference, Note)>);

/// Sends them, one after the other.
pub(super) struct Sender {
    client: Client,
    /// The pod, for people.
    instance: String,
    waiting: mpsc::Receiver<(ObjectReference, Note)>,
}

/// Both ends.
pub(super) fn channel(client: Client, instance: String) -> (Events, Sender) {
    let (to, waiting) = mpsc::channel(WAITING);
    (Events(to), Sender { client, instance, waiting })
}

impl Events {
    /// Puts an Event in line, or drops it if the line is full.
    pub(super) fn tell(&self, key: &Key, seen: &Seen, note: Note) {
        if self.0.try_send((regarding(key, seen), note)).is_err() {
            tracing::debug!(resource = %key, "too many Events: one is dropped");
        }
    }
}

impl Sender {
    /// Sends until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.send_all() => {}
        }
    }

    async fn send_all(&mut self) {
        let mut pace = Pace::new(BURST, A_SECOND, Instant::now());
        while let Some((regarding, note)) = self.waiting.recv().await {
            tokio::time::sleep_until(pace.due()).await;
            pace.spend(Instant::now());
            self.send(regarding, note).await;
        }
    }

    async fn send(&self, regarding: ObjectReference, note: Note) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let event = event(&self.instance, regarding, note, Timestamp::now());
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(%error, "an Event cannot be written");
        }
    }
}

fn regarding(key: &Key, seen: &Seen) -> ObjectReference {
    ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(key.kind.as_str().to_owned()),
        namespace: Some(key.name.namespace().to_owned()),
        name: Some(key.name.name().to_owned()),
        uid: Some(seen.uid.to_string()),
        ..ObjectReference::default()
    }
}

fn event(instance: &str, regarding: ObjectReference, note: Note, now: Timestamp) -> Event {
    let Note { is_warning, reason, text } = note;
    let suffix = format!(".{:x}", now.as_nanosecond());
    let name = regarding.name.as_deref().unwrap_or_default();
    let name = format!("{}{suffix}", cut(name, NAME - suffix.len()).trim_end_matches(['.', '-']));
    let metadata = ObjectMeta { name: Some(name), namespace: regarding.namespace.clone(), ..ObjectMeta::default() };
    Event {
        metadata,
        event_time: Some(MicroTime(now)),
        type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(reason),
        note: Some(cut(&text, NOTE).to_owned()),
        action: Some("Check".to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(cut(instance, 128).to_owned()),
        ..Event::default()
    }
}

/// At most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most.min(text.len()))]
}

/// What the step from what was seen to `status` is worth telling: a resource that is refused, by us or by a proxy,
/// and one that is right again.
pub(super) fn notes(seen: &Seen, status: &Status) -> Vec<Note> {
    let [accepted, resolved, programmed] = status.conditions();
    let mut notes: Vec<Note> = [&accepted, &resolved].into_iter().filter_map(|c| refusal(seen, c)).collect();
    notes.extend(rejection(seen, &programmed));
    let was_bad = |kind| seen.holds(kind) == Some(false);
    let was_refused = was_bad(ConditionType::Accepted) || was_bad(ConditionType::ResolvedRefs);
    if was_refused && accepted.holds && resolved.holds {
        notes.push(Note::normal("Accepted", "nothing is wrong any more"));
    }
    notes
}

fn refusal(seen: &Seen, condition: &ConditionState) -> Option<Note> {
    let ConditionState { kind, holds, reason, message } = condition;
    (!holds && !seen.says(*kind, reason, message)).then(|| Note::warning(reason, message))
}

fn rejection(seen: &Seen, condition: &ConditionState) -> Option<Note> {
    let ConditionState { kind, holds, reason, message } = condition;
    let was_rejected = seen.says(*kind, Programmed::REJECTED, "");
    match *reason {
        Programmed::REJECTED if !was_rejected => Some(Note::warning(reason, message)),
        _ if *holds && was_rejected => Some(Note::normal(reason, message)),
        _ => None,
    }
}

impl Note {
    fn warning(reason: &str, text: &str) -> Self {
        Self { is_warning: true, reason: reason.to_owned(), text: text.to_owned() }
    }

    fn normal(reason: &str, text: &str) -> Self {
        Self { is_warning: false, ..Self::warning(reason, text) }
    }
}

impl From<&Transition> for Note {
    fn from(transition: &Transition) -> Self {
        let Transition { backend: _, address, up, reason } = transition;
        match (up, reason.as_str()) {
            (true, _) => Self::normal("EndpointUp", &format!("{address} is up again")),
            (false, "") => Self::warning("EndpointDown", &format!("{address} is ejected")),
            (false, why) => Self::warning("EndpointDown", &format!("{address} is ejected: {why}")),
        }
    }
}
