//! The handle `request` of the contract.

use http::{HeaderName, HeaderValue};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::contract::types;
use super::host::{Host, Request};

type Handle = Resource<Request>;

impl types::Host for Host {}

impl types::HostRequest for Host {
    fn method(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().method().to_string())
    }

    fn scheme(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().scheme().to_owned())
    }

    fn host(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().host().to_owned())
    }

    fn path(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().path().to_owned())
    }

    fn query(&mut self, _: Handle) -> Result<Option<String>> {
        Ok(self.call()?.scene.session().query().map(str::to_owned))
    }

    fn client_address(&mut self, _: Handle) -> Result<String> {
        Ok(self.call()?.scene.session().client().to_string())
    }

    fn header(&mut self, _: Handle, name: String) -> Result<Option<String>> {
        Ok(self.call()?.scene.session().header(&name).map(|value| text(value.as_bytes())))
    }

    fn headers(&mut self, _: Handle) -> Result<Vec<types::Field>> {
        let field = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), text(value.as_bytes()));
        Ok(self.call()?.scene.session().headers().iter().map(field).collect())
    }

    fn cookie(&mut self, _: Handle, name: String) -> Result<Option<String>> {
        Ok(self.call()?.scene.session().cookie(&name).map(text))
    }

    fn drop(&mut self, _: Handle) -> Result<()> {
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
