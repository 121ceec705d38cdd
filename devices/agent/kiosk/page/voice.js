// Reading aloud for who asks for it. Only with a voice of this machine: others are made
// elsewhere, and what is on this screen does not leave it. Names and numbers are not spoken.

const button = document.getElementById("voice");
const synthesis = window.speechSynthesis;
let current = null;

if (synthesis) {
  synthesis.addEventListener("voiceschanged", offer);
  offer();
}
button.addEventListener("click", () => {
  const on = !isOn();
  button.setAttribute("aria-pressed", String(on));
  if (on) read(current);
  else synthesis.cancel();
});

export function read(section) {
  current = section;
  if (!synthesis) return;
  synthesis.cancel();
  if (!isOn() || !section) return;
  const spoken = new SpeechSynthesisUtterance(words(section));
  spoken.lang = "zh-CN";
  spoken.voice = own();
  spoken.rate = 0.9;
  synthesis.speak(spoken);
}

export function silence() {
  button.setAttribute("aria-pressed", "false");
  synthesis?.cancel();
}

export function isSpeaking() {
  return isOn() && Boolean(synthesis?.speaking);
}

function isOn() {
  return button.getAttribute("aria-pressed") === "true";
}

function offer() {
  button.hidden = !own();
}

function own() {
  return synthesis.getVoices().find((one) => one.localService && /^(zh|cmn)/i.test(one.lang)) ?? null;
}

function words(section) {
  const spoken = section.querySelectorAll("h1, p, legend, label, button");
  return [...spoken]
    .filter((node) => !node.closest("[data-unsaid], [hidden]") && node.textContent.trim())
    .map((node) => node.innerText.trim())
    .join("。");
}
