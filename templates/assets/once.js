// Forms that are sent once: a second click would show the same code again, in a session that ended.
(() => {
  "use strict";

  const forms = document.querySelectorAll("form.once");
  const buttons = [...forms].flatMap((form) => [...form.querySelectorAll("[type=submit]")]);

  for (const form of forms) {
    form.addEventListener("submit", () => {
      for (const button of form.querySelectorAll("[type=submit]")) button.disabled = true;
    });
  }
  // Whoever comes back by the browser's own button finds the page as they left it.
  window.addEventListener("pageshow", () => {
    for (const button of buttons) button.disabled = false;
  });
})();
