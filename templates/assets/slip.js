"use strict";
// P prints: on a patient's page it opens the slip, on the slip it prints once more.
{
  const ALONE = 200; // milliseconds; a scanner that reads "P123…" is faster with its next key
  const CONTROLS = "input, select, textarea";
  const button = document.querySelector("[data-print-key]");
  let waiting = 0;

  if (button && button.tagName === "BUTTON") button.addEventListener("click", () => window.print());

  document.addEventListener("keydown", (event) => {
    const wasWaiting = waiting;
    clearTimeout(waiting);
    waiting = 0;
    if (wasWaiting || event.repeat || event.key.toLowerCase() !== "p") return;
    if (!button || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!event.target.closest(CONTROLS)) waiting = setTimeout(press, ALONE);
  });

  function press() {
    waiting = 0;
    button.click();
  }

  if (document.querySelector("[data-print-now]")) window.addEventListener("load", () => window.print());
}
