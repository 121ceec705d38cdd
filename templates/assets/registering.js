"use strict";
// Boxes about a person: the server judges them as they are left; a card reader fills two at once.
{
  const PAUSE = 400; // milliseconds without a key before what is typed is looked at
  const PATIENCE = 3000; // milliseconds a look may take
  const form = document.querySelector("form[data-check]");
  if (form) watch(form);

  function watch(form) {
    const box = (name) => form.elements.namedItem(name);
    const boxes = ["number", "name", "born"].map(box);
    const saidOf = (one) => document.getElementById(`${one.id}_error`);
    // Boxes somebody has been in: the others are not complained about yet.
    const left = new Set(boxes.filter((one) => saidOf(one).textContent).map((one) => one.name));
    let timer = 0;
    let turn = 0;
    let looking = Promise.resolve();
    let sending = "";
    // A press that ends is a click; until then nothing may move from under it.
    let pressed = Promise.resolve();

    form.addEventListener("pointerdown", () => {
      pressed = new Promise((end) => {
        for (const name of ["pointerup", "pointercancel"])
          window.addEventListener(name, () => setTimeout(end), { once: true });
      });
    });
    form.addEventListener("input", (event) => {
      // The date was read off the number that is being replaced.
      if (event.target === box("number") && box("born").readOnly) setBorn("", false);
      clearTimeout(timer);
      timer = setTimeout(check, PAUSE);
    });
    form.addEventListener("change", (event) => {
      left.add(event.target.name);
      check();
    });
    // Readers end with Enter: that goes on to the next box, and submits nothing half read.
    for (const one of boxes) {
      one.addEventListener("keydown", async (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        left.add(one.name);
        onward(one);
        const filled = await check();
        if (filled.includes(document.activeElement)) onward(document.activeElement);
      });
    }
    // Twice is once, after the last look: the server sees to it, this only spares the wait.
    form.addEventListener("submit", async (event) => {
      if (sending === "now") return void (sending = "sent");
      event.preventDefault();
      if (sending) return;
      sending = "soon";
      clearTimeout(timer);
      await looking;
      sending = "now";
      setTimeout(() => form.requestSubmit(event.submitter)); // not while this event goes on
    });
    window.addEventListener("pageshow", () => (sending = ""));
    check();

    function onward(from) {
      const next = boxes.slice(boxes.indexOf(from) + 1).find((one) => !one.value && !one.readOnly);
      (next || box("evidence")).focus();
    }

    // Have the server look, once it is done with what was asked before.
    function check() {
      clearTimeout(timer);
      const mine = ++turn;
      looking = looking.then(() => (mine === turn ? ask() : []));
      return looking;
    }

    // Return the boxes that were filled by the answer.
    async function ask() {
      try {
        const answer = await fetch(form.action, {
          method: "POST",
          body: new URLSearchParams(new FormData(form)),
          cache: "no-store",
          headers: { "X-Desk-Check": "1" },
          signal: AbortSignal.timeout(PATIENCE),
        });
        // Logged out, or no longer allowed: what is on the screen must go, and is not sent again.
        if (answer.redirected || answer.status === 403) location.replace(location.href);
        if (!answer.ok) throw new Error(String(answer.status));
        const found = await answer.json();
        await pressed;
        return show(found);
      } catch {
        await pressed;
        say(box("number"), "暂时不能核对，提交时再核对", false);
        return [];
      }
    }

    function show(found) {
      // A date that somebody typed and the number contradicts stays, and is complained about.
      const dated = found.dated && !found.errors.born;
      const filled = dated ? [box("born")] : [];
      if (found.name && !box("name").value) {
        box("name").value = found.name;
        box("number").value = found.number;
        filled.push(box("name"));
      }
      if (dated || box("born").readOnly) setBorn(dated ? found.born : "", dated);
      for (const one of boxes) {
        const doubt = found.doubts.find((other) => other.about === one.name);
        const error = left.has(one.name) ? found.errors[one.name] : "";
        say(one, error || (doubt && doubt.message) || "", Boolean(error));
      }
      offer(box("evidence"), found.evidence);
      const guardian = document.getElementById("guardian");
      if (guardian) guardian.hidden = !found.guardian;
      return filled;
    }

    function setBorn(value, isRead) {
      box("born").value = value;
      box("born").readOnly = isRead;
    }

    function say(one, words, isWrong) {
      const said = saidOf(one);
      if (said.textContent !== words) said.textContent = words;
      said.classList.toggle("is-doubt", !isWrong);
      one.setAttribute("aria-invalid", String(isWrong));
    }

    function offer(select, suitable) {
      for (const option of select.options) option.disabled = !suitable.includes(option.value);
      if (!select.selectedOptions.length || select.selectedOptions[0].disabled) {
        const first = Array.from(select.options).find((option) => !option.disabled);
        if (first) first.selected = true;
      }
    }
  }
}
