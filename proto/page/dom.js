// Elements are made once and changed where something is different: nothing flickers, moves, or loses the focus.
// All text goes in as text, never as markup.

/// An element; `given` are properties, `class` and `data-...` attributes.
export function element(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/// Sets a text if it is another one.
export function text(node, value) {
  const wanted = String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

/// Sets the class if it is another one.
export function style(node, name) {
  if (node.getAttribute("class") !== name) node.setAttribute("class", name);
  return node;
}

/// Makes the children of `parent` those of `items`, in their order: each is made once for its key, and updated.
export function list(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let child = known.get(name);
    known.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const gone of known.values()) gone.remove();
}

/// The element of this id.
export const by = (id) => document.getElementById(id);
