// The page looks at the simulator every second, for as long as somebody looks at the page.
import { make, patch, write } from "./dom.js";
import * as journal from "./journal.js";
import * as weather from "./weather.js";
import { DOCUMENTS, ENDPOINTS } from "./words.js";

const EVERY = 1000; // milliseconds between two looks
const GONE = "连接断开：模拟器没有应答，正在重试";
const PATIENCE = 5000; // milliseconds for an answer

class Gone extends Error {}

const button = document.getElementById("pause");
const link = document.getElementById("link");
const state = document.getElementById("link-state");
let paused = false;
let looking = false;
let timer = 0;

button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  write(button, paused ? "继续刷新" : "暂停刷新");
  look();
});
document.addEventListener("visibilitychange", () => document.hidden || look());
document.addEventListener("weather", () => showState().catch(() => say(GONE, "off")));
write(document.getElementById("base-url"), location.origin);
look();

async function look() {
  clearTimeout(timer);
  if (looking) return;
  if (paused || document.hidden) return say(paused ? "已暂停" : "页面不可见，已暂停", "paused");
  looking = true;
  try {
    await Promise.all([journal.refresh(ask), showState()]);
    say("已连接，每秒刷新", "on");
  } catch (error) {
    say(GONE, "off");
    if (!(error instanceof Gone)) throw error;
  } finally {
    looking = false;
    timer = setTimeout(look, EVERY);
  }
}

async function ask(address) {
  try {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) return await answer.json();
  } catch {
    // Not there, too slow, or gone halfway through: all one to whoever looks.
  }
  throw new Gone();
}

function say(words, name) {
  write(state, words);
  link.dataset.state = name;
}

async function showState() {
  const now = await ask("/_sim/state");
  showMerchant(now.merchant);
  showPeople(now.people);
  weather.show(now);
  const counts = Object.entries(now.counts).map(([name, count]) => `${ENDPOINTS[name]} ${count}`);
  write(document.getElementById("counts"), counts.join(" · "));
}

function showMerchant({ mch_id, appid, partner }) {
  write(document.getElementById("direct"), `${mch_id} / ${appid}`);
  write(document.getElementById("partner"), `${partner.mch_id} / ${partner.appid}`);
  write(document.getElementById("hospitals"), partner.hospitals.join("、"));
}

function showPeople(people) {
  patch(document.querySelector("#people tbody"), people, {
    key: (person) => person.id,
    create: (person) =>
      make(
        "tr",
        {},
        make("th", { scope: "row", class: "code" }, person.id),
        make("td", {}, person.name),
        make("td", {}, DOCUMENTS[person.document_type] ?? String(person.document_type)),
        make("td", {}, person.note || "—"),
      ),
  });
}
