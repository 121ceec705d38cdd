// The recent requests: a body of the table for each, so that two rows stay together.
import { make, write } from "./dom.js";
import { ENDPOINTS, SCREEN, clock, milliseconds, visible } from "./words.js";

const KEPT = 200; // entries
const NEW_FOR = 4000; // milliseconds an entry stays marked

const table = document.getElementById("requests");
const news = document.getElementById("news");
const onlyEndpoint = document.getElementById("only-endpoint");
const onlyTrouble = document.getElementById("only-trouble");
const entries = new WeakMap();

let run = "";
let seen = 0;

for (const choice of [onlyEndpoint, onlyTrouble]) choice.addEventListener("change", filterAll);

export async function refresh(ask) {
  let answer = await ask(`/_sim/journal?after=${seen}`);
  if (answer.run !== run) {
    // Another simulator than the one we read from: its numbers begin anew.
    for (const body of bodies()) body.remove();
    if (seen) answer = await ask("/_sim/journal?after=0");
  }
  const arrived = answer.run === run; // else this is the past, and no news
  ({ run, seq: seen } = answer);
  if (answer.entries.length) show(answer.entries, { arrived });
}

function show(fresh, { arrived }) {
  const scroll = document.getElementById("requests-scroll");
  const before = scroll.scrollHeight;
  for (const entry of fresh) table.tHead.after(body(entry, { arrived }));
  // Whoever reads further down keeps their place.
  if (scroll.scrollTop > 0) scroll.scrollTop += scroll.scrollHeight - before;
  for (const old of [...bodies()].slice(KEPT)) old.remove();
  filterAll();
  if (arrived) announce(fresh);
}

function announce(fresh) {
  const { endpoint, status, verdict } = fresh.at(-1);
  const more = fresh.length > 1 ? `新增 ${fresh.length} 个请求，最近` : "新请求";
  write(news, `${more}：${ENDPOINTS[endpoint]} ${status} ${visible(verdict).slice(0, 40)}`);
}

function bodies() {
  return table.tBodies;
}

function filterAll() {
  for (const body of bodies()) {
    const entry = entries.get(body);
    body.hidden = isElsewhere(entry) || (onlyTrouble.checked && outcome(entry) === "good");
  }
  const some = [...bodies()].some((body) => !body.hidden);
  table.hidden = !some;
  const empty = document.getElementById("no-requests");
  empty.hidden = some;
  if (bodies().length) write(empty, "没有符合条件的请求。");
}

function isElsewhere({ endpoint }) {
  const place = SCREEN.includes(endpoint) ? "screen" : endpoint;
  return onlyEndpoint.value !== "" && onlyEndpoint.value !== place;
}

function outcome({ verdict }) {
  if (verdict.startsWith("通过")) return "good";
  return verdict.startsWith("场景") ? "staged" : "bad";
}

function body(entry, { arrived }) {
  const whole = make("tbody", { role: "rowgroup", class: arrived ? "is-new" : "" });
  const id = `entry-${entry.seq}`;
  const button = make(
    "button",
    { type: "button", "aria-expanded": "false", "aria-controls": id },
    clock(entry.at),
  );
  const cell = (name, ...inside) => make("td", { role: "cell", class: name }, ...inside);
  const row = make(
    "tr",
    { role: "row" },
    make("th", { role: "rowheader", scope: "row", class: "time" }, button),
    cell("endpoint", ENDPOINTS[entry.endpoint]),
    cell("method code", entry.method),
    cell("status code", String(entry.status)),
    cell("took code", milliseconds(entry.milliseconds)),
    cell("device code", entry.device || "—"),
    cell("verdict", mark(entry)),
  );
  button.addEventListener("click", () => toggle(whole, button, entry, id));
  whole.append(row);
  entries.set(whole, entry);
  if (arrived) setTimeout(() => whole.classList.remove("is-new"), NEW_FOR);
  return whole;
}

function mark(entry) {
  const text = visible(entry.verdict) || "没有判定";
  return make("span", { class: `mark ${outcome(entry)}`, title: text }, text);
}

function toggle(whole, button, entry, id) {
  const opening = button.getAttribute("aria-expanded") === "false";
  button.setAttribute("aria-expanded", String(opening));
  whole.querySelector(".detail")?.remove();
  if (opening) {
    const inside = make("td", { role: "cell", colspan: "7" }, ...details(entry));
    whole.append(make("tr", { role: "row", class: "detail", id }, inside));
  }
}

function details(entry) {
  const facts = make("dl", { class: "facts" });
  const fact = (name, ...inside) =>
    facts.append(make("div", {}, make("dt", {}, name), make("dd", {}, ...inside)));
  // The string to sign follows below, one line to a line.
  fact("判定", visible(entry.verdict.replace(/。?待签名串是「.*$/s, "")) || "没有判定");
  fact("地址", code(`${entry.method} ${entry.target}`));
  fact("状态与用时", `${entry.status}，${entry.milliseconds} 毫秒`);
  if (entry.device) fact("终端", code(entry.device));
  if (entry.request_id) fact("Request-ID", code(entry.request_id));
  const parts = [facts];
  if (entry.to_sign.length) parts.push(...stringToSign(entry));
  if (Object.keys(entry.received).length) parts.push(...received(entry));
  return parts;
}

function stringToSign({ to_sign }) {
  const lines = make("ol", { class: "lines" });
  for (const line of to_sign) {
    const end = line.endsWith("\n") ? make("span", { class: "end" }, "⏎") : "";
    lines.append(make("li", {}, code(visible(line.replace(/\n$/, ""))), end));
  }
  const how = to_sign[0].endsWith("\n")
    ? "每行以一个换行（⏎）结束，最后一行也是"
    : "各行首尾相接，中间没有换行";
  return [make("h4", {}, "待签名串"), make("p", { class: "hint" }, how), lines];
}

function received({ received }) {
  const items = make("dl", { class: "facts" });
  for (const [name, value] of Object.entries(received)) {
    const title = name === "scheme" ? "认证类型" : name;
    items.append(make("div", {}, make("dt", {}, title), make("dd", {}, code(value))));
  }
  return [make("h4", {}, "收到的签名信息"), items];
}

function code(text) {
  return make("code", {}, text);
}
