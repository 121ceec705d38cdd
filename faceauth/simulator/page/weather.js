// The scenarios: which there are, which are on, and the buttons that begin and end them.
import { make, patch, write } from "./dom.js";
import { DOCUMENTS, ENDPOINTS, PATHS } from "./words.js";

const active = document.getElementById("active");
const choice = document.getElementById("choice");
const clearAll = document.getElementById("clear-all");
const device = document.getElementById("device");
const list = document.getElementById("scenarios");
const often = document.getElementById("often-n");
const times = document.getElementById("times");
const told = document.getElementById("told");

// What a scenario may be told besides.
const seconds = (value) => ({ field: "seconds", label: "秒", type: "number", value, max: 600 });
const EXTRAS = {
  slow: seconds(3),
  drip: seconds(30),
  "rate-limited": { field: "retry_after", label: "秒后再来", type: "number", value: 7, max: 3600 },
  "credential-type": { field: "value", label: "证件类型", options: DOCUMENTS },
};

let scenarios = [];
let playing = [];

choice.addEventListener("change", showScenarios);
choice.addEventListener("submit", (event) => event.preventDefault());
times.addEventListener("input", () => (often.checked = true));
clearAll.addEventListener("click", () => clear({}, "全部场景"));

export function show(state) {
  ({ scenarios, active: playing } = state);
  showDevices(state.devices);
  showActive();
  showScenarios();
}

function showDevices(seen) {
  const chosen = device.value; // may have left the journal meanwhile
  const names = [...new Set([...seen, chosen])].filter(Boolean).sort();
  patch(device, ["", ...names], {
    key: (name) => name,
    create: (name) => make("option", { value: name }, name || "全部终端"),
  });
  device.value = chosen;
}

function showActive() {
  const places = new Map(); // the same scenario may be announced twice
  const numbered = playing.map((spell) => {
    const place = (places.get(spell.name) ?? 0) + 1;
    places.set(spell.name, place);
    return { ...spell, place };
  });
  patch(active, numbered, {
    key: ({ name, place }) => `${name} ${place}`,
    create: activeItem,
    update: (node, spell) => {
      write(node.querySelector("b"), spell.label);
      write(node.querySelector(".what"), describe(spell));
    },
  });
  document.getElementById("no-active").hidden = playing.length > 0;
  clearAll.hidden = playing.length < 2;
}

function activeItem(spell) {
  const button = make("button", { type: "button", "aria-label": `清除${spell.label}` }, "清除");
  button.addEventListener("click", () => clear({ name: spell.name }, spell.label));
  const words = make("span", {}, make("b"), " ", make("span", { class: "what" }));
  return make("li", {}, words, button);
}

function describe(spell) {
  const where = spell.endpoints.map((name) => ENDPOINTS[name]).join("、");
  const who = spell.device_id ? `，仅 ${spell.device_id}` : "";
  return `${where}${who}，${left(spell)}`;
}

function left(spell) {
  if (spell.left === null) return `直到清除，已 ${spell.played} 次`;
  return spell.left ? `还有 ${spell.left} 次` : "已用完，证书仍如此，直到清除";
}

function endpoint() {
  return choice.elements.endpoint.value;
}

function showScenarios() {
  write(document.getElementById("path"), PATHS[endpoint()]);
  const here = scenarios.filter((scenario) => scenario.endpoints.includes(endpoint()));
  const on = new Set(
    playing.filter((spell) => spell.endpoints.includes(endpoint())).map((spell) => spell.name),
  );
  patch(list, here, {
    key: (scenario) => scenario.name,
    create: scenarioItem,
    update: (node, { name }) => {
      node.classList.toggle("is-on", on.has(name));
      write(node.querySelector(".on"), on.has(name) ? "生效中" : "");
    },
  });
}

function scenarioItem(scenario) {
  const button = make(
    "button",
    { type: "button" },
    make("b", {}, scenario.label),
    make("span", { class: "explains" }, scenario.explains),
    make("span", { class: "on" }),
  );
  const item = make("li", {}, button);
  const extra = EXTRAS[scenario.name];
  const field = extra && extraField(extra);
  if (field) item.append(make("label", { class: "extra" }, field, ` ${extra.label}`));
  button.addEventListener("click", () => begin(scenario, field && { [extra.field]: Number(field.value) }));
  return item;
}

function extraField({ options, type, value, max }) {
  if (!options) return make("input", { type, value: String(value), min: "0", max: String(max) });
  const names = Object.entries(options);
  return make("select", {}, ...names.map(([number, name]) => make("option", { value: number }, `${number} ${name}`)));
}

async function begin(scenario, extra) {
  const chosen = choice.elements["how-often"].value;
  const count = chosen === "n" ? Number(times.value) : Number(chosen);
  const said = { name: scenario.name, times: count, endpoint: endpoint(), ...extra };
  if (device.value) said.device_id = device.value;
  const how = count ? `接下来 ${count} 次` : "直到清除";
  const where = ENDPOINTS[endpoint()];
  await tell("POST", said, `已设定：${scenario.label}，${where}${how}`);
}

async function clear(which, label) {
  await tell("DELETE", which, `已清除：${label}`);
}

async function tell(method, said, done) {
  try {
    const answer = await fetch("/_sim/scenario", {
      method,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(said),
    });
    write(told, answer.ok ? done : `没有设定：${(await answer.json()).message}`);
  } catch {
    write(told, "没有设定：模拟器没有应答");
  }
  document.dispatchEvent(new Event("weather"));
}
