"use strict";
// The board stays what it is outside: asked for every so often, changed only where it changed.
{
  const EVERY = 1500; // milliseconds between two looks: nothing is older than two seconds
  const PATIENCE = 8000; // milliseconds until a look is given up

  // The hospital's time, like every time on the page, whatever this computer believes.
  const CLOCK = new Intl.DateTimeFormat("zh-CN", {
    timeStyle: "medium",
    hourCycle: "h23",
    timeZone: "Asia/Shanghai",
  });

  const board = document.getElementById("board");
  const bar = document.getElementById("board-live");
  const state = bar.querySelector(".board-state");
  const news = bar.querySelector(".board-news");
  let etag = "";
  let timer = 0;
  let lastAt = new Date();

  document.addEventListener("visibilitychange", () => document.hidden || look());
  bar.hidden = false;
  say();
  wait();

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(look, EVERY);
  }

  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await refresh();
      lastAt = new Date();
      say();
    } catch {
      bar.classList.add("is-cut");
      state.textContent = `连接中断，正在重试；下面是 ${CLOCK.format(lastAt)} 的情况`;
    }
    wait();
  }

  function say() {
    bar.classList.remove("is-cut");
    state.textContent = `实时更新，最近 ${CLOCK.format(lastAt)}`;
  }

  async function refresh() {
    const headers = { "X-Desk-Refresh": "1" };
    if (etag) headers["If-None-Match"] = etag;
    const options = { cache: "no-store", headers, signal: AbortSignal.timeout(PATIENCE) };
    const answer = await fetch(bar.dataset.from, options);
    // Logged out, or no longer allowed: what is on the screen must go.
    if (answer.redirected || answer.status === 401 || answer.status === 403) location.reload();
    if (answer.status === 304) return;
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const before = keys(board);
    holding(() => merge(board, page.body, "part"));
    const arrived = [...keys(board)].filter((key) => !before.has(key)).length;
    if (arrived) news.textContent = `新增 ${arrived} 项`;
    etag = answer.headers.get("ETag") || "";
  }

  // What somebody points at, has the focus on or reads stays where it is: a click in that very
  // moment does what it was meant to. Where the page is too short to scroll, it is made longer.
  function holding(change) {
    const held = board.querySelector("li:hover") || board.querySelector("li:focus-within");
    const read = held || (window.scrollY ? [...board.querySelectorAll("li")].find(isBelowTop) : null);
    if (!held) board.style.padding = "";
    const before = read?.getBoundingClientRect().top;
    change();
    if (!read?.isConnected) return;
    const moved = () => read.getBoundingClientRect().top - before;
    window.scrollBy(0, moved());
    if (Math.abs(moved()) < 1) return;
    const side = moved() > 0 ? "paddingBottom" : "paddingTop";
    const unused = Math.max(0, window.innerHeight - board.getBoundingClientRect().bottom);
    const missing = moved() > 0 ? moved() + unused : -moved();
    board.style[side] = `${parseFloat(board.style[side] || 0) + missing}px`;
    window.scrollBy(0, moved());
  }

  function isBelowTop(row) {
    return row.getBoundingClientRect().top >= 0;
  }

  function keys(root) {
    return new Set([...root.querySelectorAll("[data-key]")].map((row) => row.dataset.key));
  }

  // Rows that stay, stay the same element: neither focus nor scrolling moves.
  function merge(here, there, name) {
    const known = new Map([...here.children].map((one) => [one.dataset[name], one]));
    const wanted = [...there.children].map((fresh) => kept(known.get(fresh.dataset[name]), fresh));
    for (const one of [...here.children]) if (!wanted.includes(one)) leave(one);
    let place = here.firstElementChild;
    for (const one of wanted) {
      if (one === place) place = place.nextElementSibling;
      else here.insertBefore(one, place);
    }
  }

  function kept(old, fresh) {
    if (!old) return fresh;
    if (old.outerHTML === fresh.outerHTML) return old;
    const [rows, freshRows] = [old, fresh].map((one) => one.querySelector("ul"));
    if (!rows || !freshRows || old.children.length !== fresh.children.length) return replaced(old, fresh);
    merge(rows, freshRows, "key");
    const others = [...fresh.children];
    [...old.children].forEach((one, place) => {
      const other = others[place];
      if (one === rows || one.outerHTML === other.outerHTML) return;
      if (one.matches("h2")) one.innerHTML = other.innerHTML; // the focus may be on it
      else one.replaceWith(other);
    });
    return old;
  }

  function replaced(old, fresh) {
    const held = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (held) (fresh.querySelector("button, a.button, a, h2") || heading(fresh)).focus();
    return fresh;
  }

  // Whoever was on it goes on at the heading: from there the next row is one key away.
  function leave(one) {
    const held = one.contains(document.activeElement);
    const next = heading(one.parentElement);
    one.remove();
    if (held) next.focus();
  }

  function heading(within) {
    return (within.closest("section") || board).querySelector("h2");
  }
}
