// The page shows what it is told, says what was pressed, and forgets with every new screen.
import * as consent from "./consent.js";
import * as still from "./still.js";
import * as voice from "./voice.js";
import { press, write, writeClauses } from "./wire.js";

const RETRY = 2000; // milliseconds between two looks whether the program is there again
const PATH = { notice: "notice", look: "look", confirm: "confirm", working: "working", seeking: "working" };
const SPOKEN_BY_READERS = ["look", "confirm", "working", "seeking", "done", "ended", "closed", "gone"];
const large = document.getElementById("large");
let view = { step: "", turn: -1 };

listen();
large.addEventListener("click", () => setLarge(large.getAttribute("aria-pressed") !== "true"));
document.getElementById("start").addEventListener("click", () => press("start", view.turn));
document.getElementById("again").addEventListener("click", () => press("start", view.turn));
for (const button of document.querySelectorAll("[data-press]")) {
  button.addEventListener("click", () => press(button.dataset.press, view.turn));
}
document.addEventListener("nobody", () => {
  // Nobody has touched the first screen for a while: the next person finds it as it was made.
  setLarge(false);
  voice.silence();
});
document.addEventListener("overdue", () => show({ step: "wait", turn: view.turn }));

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("message", (event) => show(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    events.close();
    show({ step: "gone", turn: view.turn });
    setTimeout(returnWhenThere, RETRY);
  });
}

async function returnWhenThere() {
  try {
    if ((await fetch("/", { cache: "no-store" })).ok) return location.reload();
  } catch {
    // Still away.
  }
  setTimeout(returnWhenThere, RETRY);
}

function show(next) {
  const isNew = seen(next) !== seen(view);
  view = next;
  still.expect(view);
  if (!isNew) return;
  fill(view);
  consent.show(view);
  for (const section of document.querySelectorAll("section[data-step]")) {
    section.hidden = section.dataset.step !== view.step;
  }
  showPath(PATH[view.step]);
  const section = document.querySelector(`section[data-step="${view.step}"]`);
  scrollTo(0, 0);
  section.querySelector("h1").focus();
  tell(section);
  voice.read(section);
}

// All of a view but its time: a touch gives more of that, and the screen stays as it is.
function seen(one) {
  return JSON.stringify({ ...one, seconds: null });
}

function fill({ words = {}, notice = {}, number = "", masked_name = "", may_take_back = false }) {
  const texts = {
    title: words.title,
    sentence: words.sentence,
    advice: words.advice,
    "notice-title": notice.title,
    fallback: notice.fallback,
    "masked-name": masked_name,
    number,
  };
  for (const [name, text] of Object.entries(texts)) {
    for (const node of document.querySelectorAll(`[data-fill="${name}"]`)) writeClauses(node, text ?? "");
  }
  for (const button of document.querySelectorAll("[data-press='withdraw']")) button.hidden = !may_take_back;
  const again = document.getElementById("again");
  again.hidden = !words.retry;
  write(again, words.on_request ? "我要重新办理" : "重新开始");
}

// The heading gets the focus and is read by that; a screen that came by itself says the rest too.
function tell(section) {
  const parts = section.querySelectorAll("dl > div, .lead, .advice");
  const said = SPOKEN_BY_READERS.includes(view.step);
  write(document.getElementById("told"), said ? [...parts].map((part) => part.innerText).join(" ") : "");
}

function showPath(at) {
  const path = document.getElementById("path");
  path.hidden = !at;
  for (const item of path.children) {
    if (item.dataset.at === at) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
}

function setLarge(on) {
  large.setAttribute("aria-pressed", String(on));
  if (on) document.documentElement.dataset.type = "large";
  else delete document.documentElement.dataset.type;
}
