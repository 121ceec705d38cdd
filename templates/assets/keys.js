"use strict";
// What the desk does without a mouse.
{
  const dialog = document.getElementById("keys");
  const finder = document.getElementById("find-box") || document.getElementById("quick-box");
  const register = document.querySelector('#pages [data-key="n"]');

  // Keys without a modifier can be turned off (WCAG 2.1.4); this browser remembers.
  const OFF = "single-keys-off";
  const SINGLE = ["/", "?", "？", "p", "P"];

  if (dialog) {
    const single = document.getElementById("keys-single");
    single.checked = !localStorage.getItem(OFF);
    single.addEventListener("change", () => {
      if (single.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
    });
    document.getElementById("keys-open").addEventListener("click", () => dialog.showModal());
    dialog.querySelector("button").addEventListener("click", () => dialog.close());
  }

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    if (event.altKey) {
      if (event.code !== "KeyN" || !register) return;
      register.click();
    } else if (isTyping(event.target)) {
      return;
    } else if (SINGLE.includes(event.key) && localStorage.getItem(OFF)) {
      event.stopImmediatePropagation(); // other scripts of this page have keys as well
      return;
    } else if (event.key === "/" && finder) {
      finder.focus();
      finder.select();
    } else if ((event.key === "?" || event.key === "？") && dialog && !dialog.open) {
      dialog.showModal();
    } else {
      return;
    }
    event.preventDefault();
  });

  function isTyping(element) {
    return element.closest("input, select, textarea, [contenteditable], dialog[open]") !== null;
  }
}
