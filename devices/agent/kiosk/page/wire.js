// Saying what was pressed. What came of it arrives with the next view.

export async function press(button, turn, more = {}) {
  try {
    await fetch(`/${button}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ turn, ...more }),
    });
  } catch {
    // The stream of views notices as well, and says so on the screen.
  }
}

export function write(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

// A line breaks between clauses, as long as they fit: Chinese has no spaces to break at.
export function writeClauses(node, text) {
  const clauses = text.match(/[^，。；：？]+[，。；：？]*|[，。；：？]+/g) ?? [];
  node.replaceChildren(
    ...clauses.map((clause) => {
      const span = document.createElement("span");
      span.textContent = clause;
      return span;
    }),
  );
}
