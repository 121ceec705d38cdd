// Time: what is left of this screen, asking whether anybody is still there, forgetting on time.
import { press, write } from "./wire.js";
import { isSpeaking } from "./voice.js";

const ASK = 20; // seconds before the notice is forgotten (WCAG 2.2.1: long enough to say no)
const TOUCHES = 5000; // milliseconds between two words to the program that somebody is there
const LATE = 3; // seconds after which we no longer wait for the program to say it
const EMPTY = 60; // seconds until an untouched first screen is as it was made
const dialog = document.getElementById("still");
let view = { step: "", turn: -1 };
let endsAt = Infinity;
let touchedAt = 0;
let idleSince = performance.now();

document.getElementById("stay").addEventListener("click", () => touch(true));
dialog.addEventListener("cancel", () => touch(true));
for (const kind of ["pointerdown", "keydown", "wheel", "change"]) {
  addEventListener(kind, () => touch(false), { passive: true, capture: true });
}
document.getElementById("text").addEventListener("scroll", () => touch(false), { passive: true });
setInterval(look, 500);

export function expect(next) {
  view = next;
  endsAt = next.seconds == null ? Infinity : performance.now() + next.seconds * 1000;
  idleSince = performance.now();
  look();
}

function touch(isAsked) {
  idleSince = performance.now();
  if (view.step !== "notice" || (!isAsked && (dialog.open || idleSince - touchedAt < TOUCHES))) return;
  touchedAt = idleSince;
  press("touch", view.turn);
}

function look() {
  const now = performance.now();
  const left = Math.ceil((endsAt - now) / 1000);
  if (view.step === "notice" && isSpeaking()) touch(false);
  if (view.step === "ready" && now - idleSince > EMPTY * 1000) {
    idleSince = now;
    document.dispatchEvent(new Event("nobody"));
  }
  if (left < -LATE) {
    endsAt = Infinity;
    document.dispatchEvent(new Event("overdue"));
    return;
  }
  for (const node of document.querySelectorAll("[data-fill='seconds']")) {
    write(node, Number.isFinite(left) ? Math.max(0, left) : "");
  }
  ask(view.step === "notice" && left <= ASK);
}

function ask(isNeeded) {
  if (isNeeded && !dialog.open) dialog.showModal();
  if (!isNeeded && dialog.open) dialog.close();
}
