// Building and patching the page. Data only ever becomes text, never markup.

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function write(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

// Make the children of `parent` one per item, in order. Those that stay are not touched, or the
// focus and the scroll position would go with them.
export function patch(parent, items, { key, create, update = () => {} }) {
  const kept = new Map(items.map((item) => [String(key(item)), item]));
  for (const node of [...parent.children]) if (!kept.has(node.dataset.key)) node.remove();
  const present = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const [name, item] of kept) {
    const node = present.get(name) ?? create(item);
    node.dataset.key = name;
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}
