// Changes of resources, each confirmed by a person.

import { change } from "./api.js";
import { by, text } from "./dom.js";

/// What is to be done when the open question is answered with yes.
let act = null;

/// `done` is called after each change.
export function setUp(done) {
  by("ask-no").onclick = () => by("ask").close();
  by("ask-form").onsubmit = async (event) => {
    event.preventDefault();
    by("ask-yes").disabled = true;
    try {
      await act();
      by("ask").close();
      done();
    } catch (error) {
      text(by("ask-error"), error.message).hidden = false;
    } finally {
      by("ask-yes").disabled = false;
    }
  };
}

function ask(title, more, weight, doIt) {
  text(by("ask-title"), title);
  text(by("ask-text"), more);
  by("ask-error").hidden = true;
  by("ask-weight-label").hidden = weight === null;
  by("ask-weight").required = weight !== null;
  by("ask-weight").value = weight ?? "";
  act = doIt;
  by("ask").showModal();
}

const namespaceOf = (pool) => pool.name.split("/")[0];
const nameOf = (pool) => pool.name.split("/")[1];

/// What the buttons of pools and backends do.
export const edit = {
  pool(pool) {
    const enabled = !pool.enabled;
    const more = enabled ? "It takes requests again." : "Requests go to the next pool of their chain, or are answered 503.";
    ask(`${enabled ? "Enable" : "Disable"} pool ${pool.name}?`, more, null, () => change("pools", namespaceOf(pool), nameOf(pool), { enabled }));
  },
  backend(pool, backend) {
    const enabled = !backend.enabled;
    const more = enabled ? "It takes requests again, with its counters at zero." : "Requests that run finish; no new ones go there.";
    ask(`${enabled ? "Enable" : "Disable"} ${backend.name} of ${pool.name}?`, more, null, () => change("backends", namespaceOf(pool), backend.name, { enabled }));
  },
  weight(pool, backend) {
    ask(`Weight of ${backend.name} of ${pool.name}`, "Its share of the pool's requests; 0 = no new ones.", backend.weight, () =>
      change("backends", namespaceOf(pool), backend.name, { weight: by("ask-weight").valueAsNumber }));
  },
};
