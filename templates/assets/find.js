"use strict";
// The one box: whatever is scanned or typed outside a control belongs into it.
{
  const box = document.getElementById("find-box");
  const CONTROLS = "input, select, textarea";

  document.addEventListener("keydown", (event) => {
    const isText = event.key.length === 1 && event.key !== " " && event.key !== "/" && event.key !== "?";
    if (!isText || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!event.target.closest(CONTROLS)) box.focus(); // and the key itself lands there
  });

  // What was not found makes way for what comes next.
  box.addEventListener("focus", () => box.select());
  if (document.activeElement === box) box.select();

  // Coming back, nothing of the last patient is to be there.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
}
