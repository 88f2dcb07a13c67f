//! The handle `session` of the contract.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::contract::types;
use super::host::{Call, Host, Session};
use crate::plugin::Change;
use crate::plugin::change::{HeaderChange, header_value};
use crate::plugin::set_cookie::set_cookie;
use crate::pool::Candidate;

type Handle = Resource<Session>;

impl types::HostSession for Host {
    fn param(&mut self, _: Handle) -> Result<String> {
        Ok(self.settings.param.to_string())
    }

    fn pool(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().pool().config.name.to_string())
    }

    fn rule(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().rule().to_owned())
    }

    fn config(&mut self, _: Handle) -> Result<String> {
        Ok(serde_json::to_string(self.call()?.scene.session().config())?)
    }

    fn candidates(&mut self, _: Handle) -> Result<Vec<types::Server>> {
        Ok(self.call()?.candidates.iter().map(server).collect())
    }

    fn server(&mut self, _: Handle) -> Result<Option<types::Server>> {
        Ok(self.call()?.scene.session().server().map(server))
    }

    fn set_request_header(&mut self, _: Handle, name: String, value: String) -> Result<()> {
        self.call()?.put(&name, value, |name, value| Change::Request(HeaderChange::Set(name, value)))
    }

    fn remove_request_header(&mut self, _: Handle, name: String) -> Result<()> {
        self.call()?.remove(&name, Change::Request)
    }

    fn set_response_header(&mut self, _: Handle, name: String, value: String) -> Result<()> {
        self.call()?.put(&name, value, |name, value| Change::Response(HeaderChange::Set(name, value)))
    }

    fn add_response_header(&mut self, _: Handle, name: String, value: String) -> Result<()> {
        self.call()?.put(&name, value, |name, value| Change::Response(HeaderChange::Add(name, value)))
    }

    fn remove_response_header(&mut self, _: Handle, name: String) -> Result<()> {
        self.call()?.remove(&name, Change::Response)
    }

    fn set_cookie(&mut self, _: Handle, name: String, value: String, attributes: String) -> Result<()> {
        let change = Change::Response(set_cookie(&name, &value, &attributes)?);
        self.call()?.change(change, name.len() + value.len() + attributes.len())
    }

    fn log(&mut self, _: Handle, text: String) -> Result<()> {
        Host::log(self, &text);
        Ok(())
    }

    fn drop(&mut self, _: Handle) -> Result<()> {
        Ok(())
    }
}

impl Call {
    fn put(
        &mut self,
        name: &str,
        value: String,
        change: fn(http::HeaderName, http::HeaderValue) -> Change,
    ) -> Result<()> {
        let bytes = name.len() + value.len();
        let name = self.header_name(name)?;
        let value = header_value(&name, value)?;
        self.change(change(name, value), bytes)
    }

    fn remove(&mut self, name: &str, change: fn(HeaderChange) -> Change) -> Result<()> {
        let removed = HeaderChange::Remove(self.header_name(name)?);
        self.change(change(removed), name.len())
    }

    fn header_name(&self, name: &str) -> Result<http::HeaderName> {
        Ok(self.scene.session().worker().names.changeable(name)?)
    }
}

fn server(candidate: &Candidate) -> types::Server {
    let Candidate { endpoint, weight, origin } = candidate;
    types::Server {
        name: endpoint.backend.name().to_owned(),
        address: endpoint.address.to_string(),
        weight: *weight,
        score: origin.backend.score,
        in_flight: endpoint.in_flight.current(),
        labels: origin.labels().into_iter().collect(),
    }
}
