// The notice: nothing is ticked in advance, and both answers are one press away.
import { press, write } from "./wire.js";

const form = document.getElementById("consent");
const missing = document.getElementById("missing");
const purposes = document.getElementById("purposes");
const text = document.getElementById("text");
let turn = -1;

// Enter on a tick box ticks nothing and agrees to nothing: only the button does.
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("agree").addEventListener("click", () => {
  const lacking = boxes().filter((box) => box.dataset.required && !box.checked);
  for (const box of boxes()) mark(box, lacking.includes(box));
  if (lacking.length === 0) return answer(true);
  // Emptied first: the same words said again are said again.
  write(missing, "");
  write(missing, `还有 ${lacking.length} 个必选项没有勾选。不同意，请选“不刷脸”。`);
  lacking[0].focus();
});
form.addEventListener("change", (event) => {
  mark(event.target, false);
  write(missing, "");
});
document.getElementById("refuse").addEventListener("click", () => answer(false));

export function show({ notice, turn: now }) {
  turn = now;
  write(missing, "");
  text.replaceChildren(...paragraphs(notice?.text ?? ""));
  text.scrollTop = 0;
  purposes.replaceChildren(...(notice?.purposes ?? []).map(row));
}

function answer(granted) {
  const ticked = boxes().filter((box) => box.checked);
  press("answer", turn, { granted, purposes: granted ? ticked.map((box) => box.value) : [] });
}

function boxes() {
  return [...purposes.querySelectorAll("input")];
}

function mark(box, isMissing) {
  if (isMissing) box.setAttribute("aria-invalid", "true");
  else box.removeAttribute("aria-invalid");
}

function paragraphs(written) {
  return written
    .split(/\n+/)
    .filter((line) => line.trim())
    .map((line) => make("p", line));
}

function row({ code, label, required }) {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = code;
  box.autocomplete = "off";
  if (required) {
    box.dataset.required = "yes";
    box.required = true;
  }
  const kind = make("span", required ? "必选" : "可不选");
  kind.className = "kind";
  const whole = document.createElement("label");
  whole.append(box, make("span", label), kind);
  return whole;
}

function make(tag, words) {
  const node = document.createElement(tag);
  node.textContent = words;
  return node;
}
