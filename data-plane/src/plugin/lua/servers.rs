//! Candidates as tables, and which of them an answer names.

use std::collections::HashMap;
use std::ffi::c_void;

use mlua::{Lua, Table, Value};

use crate::plugin::{Candidates, Failure};
use crate::pool::Candidate;

/// The tables of one call, in the order of the candidates.
#[derive(Debug)]
pub(super) struct Servers {
    list: Table,
    /// Held besides the list, which is the script's to change.
    tables: Vec<Table>,
}

impl Servers {
    /// The candidates left.
    pub(super) fn new(lua: &Lua, candidates: &Candidates<'_>) -> mlua::Result<Self> {
        let tables: Vec<Table> = candidates.iter().map(|candidate| table(lua, candidate)).collect::<Result<_, _>>()?;
        Ok(Self { list: lua.create_sequence_from(&tables)?, tables })
    }

    /// `session.servers`.
    pub(super) fn list(&self) -> Table {
        self.list.clone()
    }

    /// Leaves the candidates that an answer names: a list of them, one, or all if it is nothing.
    pub(super) fn keep(&self, answer: &Value, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let table = match answer {
            Value::Nil => return Ok(()),
            Value::Table(table) => table,
            other => return Err(Failure::bad_answer(format!("returns a {} in place of servers", other.type_name()))),
        };
        let places = self.places();
        if let Some(place) = places.get(&table.to_pointer()) {
            candidates.keep_only(*place);
            return Ok(());
        }
        let mut kept = Vec::with_capacity(table.raw_len());
        for entry in table.pairs::<Value, Value>() {
            let (_, server) = entry.map_err(|error| Failure::bad_answer(error.to_string()))?;
            let place = server.as_table().and_then(|server| places.get(&server.to_pointer()).copied());
            kept.push(place.ok_or_else(|| Failure::bad_answer("returns a server that is no candidate"))?);
        }
        if candidates.keep(kept) { Ok(()) } else { Err(Failure::bad_answer("returns a server twice")) }
    }

    /// The tables are held, so that no other has the address of one.
    fn places(&self) -> HashMap<*const c_void, usize> {
        self.tables.iter().map(Table::to_pointer).zip(0..).collect()
    }
}

/// One server.
pub(super) fn table(lua: &Lua, Candidate { endpoint, weight, origin }: &Candidate) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 6)?;
    table.raw_set("name", endpoint.backend.name())?;
    table.raw_set("address", endpoint.address.to_string())?;
    table.raw_set("weight", *weight)?;
    table.raw_set("score", origin.backend.score)?;
    table.raw_set("in_flight", endpoint.in_flight.current())?;
    let labels = origin.backend.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    table.raw_set("labels", lua.create_table_from(labels)?)?;
    Ok(table)
}
