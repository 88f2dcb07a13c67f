//! A backend of `weir plugin test`, as a flag says it.

use std::str::FromStr;

use weir_control_plane::rehearsal::Server;

/// A backend, and how many requests it has in flight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServerFlag {
    pub(super) server: Server,
    pub(super) in_flight: u32,
}

impl FromStr for ServerFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut items = text.split(',').map(|item| item.split_once('=').ok_or_else(|| format!("{item:?} has no =")));
        let (name, address) = items.next().unwrap_or_else(|| Err("is empty".to_owned()))?;
        let address = address.parse().map_err(|_| format!("{address:?} is no address with a port"))?;
        let mut flag = Self { server: Server::new(name, address), in_flight: 0 };
        for item in items {
            let (field, value) = item?;
            flag.set(field, value)?;
        }
        Ok(flag)
    }
}

impl ServerFlag {
    fn set(&mut self, field: &str, value: &str) -> Result<(), String> {
        let Self { server, in_flight } = self;
        match field {
            "weight" => server.weight = number(field, value)?,
            "score" => server.score = number(field, value)?,
            "inFlight" => *in_flight = number(field, value)?,
            _ => {
                let label = field.strip_prefix("labels.");
                let label = label.ok_or_else(|| format!("{field:?} is not weight, score, inFlight or labels.NAME"))?;
                server.labels.insert(label.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }
}

fn number<T: FromStr>(field: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{field}: {value:?} is no number that it can have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_an_address_and_what_plugins_go_by() {
        let flag: ServerFlag = "a=10.0.0.1:80,weight=3,score=-5,inFlight=7,labels.zone=x".parse().unwrap();
        assert_eq!((flag.server.name.as_str(), flag.server.address), ("a", ([10, 0, 0, 1], 80).into()));
        assert_eq!((flag.server.weight, flag.server.score, flag.in_flight), (3, -5, 7));
        assert_eq!(flag.server.labels["zone"], "x");
        for wrong in ["", "a", "a=b", "a=10.0.0.1:80,weigth=3", "a=10.0.0.1:80,weight=-1", "a=10.0.0.1:80,"] {
            assert!(wrong.parse::<ServerFlag>().is_err(), "{wrong:?}");
        }
    }
}
