"use strict";
// One value in clear for some seconds, under a watermark; gone as soon as nobody looks at it.
{
  const SVG = "http://www.w3.org/2000/svg";
  const ROWS = 3; // of the watermark
  const form = document.getElementById("reveal");
  const said = document.getElementById("reveal-said");
  const shown = new Set(); // what hides each value that is shown now
  let hidings = 0; // an answer that was asked for before the last one is not shown

  for (const button of document.querySelectorAll(".reveal-one")) {
    button.addEventListener("click", () => (button.hide ? button.hide() : ask(button)));
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideAll());
  document.addEventListener("visibilitychange", () => document.hidden && hideAll());
  for (const sign of ["blur", "pagehide", "beforeprint"]) window.addEventListener(sign, hideAll);
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());

  async function ask(button) {
    if (!form.reportValidity()) return;
    said.textContent = "";
    const before = hidings;
    const body = new FormData(form);
    body.set("field", button.dataset.field);
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body, cache: "no-store" });
      if (answer.redirected) location.reload(); // logged out
      else await take(button, answer, before);
    } catch {
      said.textContent = "没有成功，请稍后重试";
    }
    button.disabled = false;
  }

  async function take(button, answer, before) {
    const told = await answer.json();
    if (told.code === "step_up") location.assign(told.go_to);
    else if (!answer.ok) said.textContent = told.detail;
    else if (before !== hidings) said.textContent = "窗口切换过，没有显示";
    else show(button, told);
  }

  function show(button, told) {
    const masked = button.previousElementSibling;
    const clear = document.createElement("output");
    clear.className = "revealed";
    clear.append(told.value, watermark(told.mark));
    masked.hidden = true;
    masked.after(clear);
    said.textContent = told.warning;

    const until = Date.now() + told.seconds * 1000;
    const timer = setInterval(tick, 250);
    button.hide = hide;
    shown.add(hide);
    tick();

    function tick() {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) button.textContent = `隐藏（${left} 秒）`;
      else hide();
    }

    function hide() {
      clearInterval(timer);
      clear.remove();
      masked.hidden = false;
      button.textContent = `查看${button.dataset.words}`;
      button.hide = null;
      shown.delete(hide);
    }
  }

  function hideAll() {
    hidings += 1;
    for (const hide of shown) hide();
  }

  // Lines across the value, so that a photograph of the screen says whose screen it was.
  function watermark(text) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "watermark");
    svg.setAttribute("aria-hidden", "true");
    for (let row = 0; row < ROWS; row++) {
      const line = document.createElementNS(SVG, "text");
      line.setAttribute("x", String(row % 2 ? -40 : 4));
      line.setAttribute("y", String(18 + row * 20));
      line.setAttribute("transform", "rotate(-6)");
      line.textContent = `${text}  ${text}`;
      svg.append(line);
    }
    return svg;
  }
}
