"use strict";
// Lists: filters that close, and a face-session list that stays fresh by itself.
{
  const EVERY = 3000; // milliseconds between two looks
  const NEW_FOR = 15000; // milliseconds a new row stays marked
  // A refresh does not renew the login. Nobody at the desk for this long, and we
  // stop asking, so that the idle timeout still ends the session.
  const ABSENT = 10 * 60 * 1000; // milliseconds

  // The hospital's time, like every time on the page, whatever this computer believes.
  const CLOCK = new Intl.DateTimeFormat("zh-CN", {
    timeStyle: "medium",
    hourCycle: "h23",
    timeZone: "Asia/Shanghai",
  });

  const openFilter = () => document.querySelector("#changelist-filter details[open]");

  document.addEventListener("click", (event) => {
    const open = openFilter();
    if (open && !open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const open = openFilter();
    if (open && event.key === "Escape") {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  const bar = document.getElementById("live");
  if (bar) stayFresh(bar);

  function stayFresh(bar) {
    const state = bar.querySelector(".live-state");
    const news = bar.querySelector(".live-news");
    const button = bar.querySelector("button");
    const firstSeen = new Map(rows(document).map((row) => [key(row), 0]));
    let stopped = false;
    let lastHand = Date.now();
    let timer = 0;

    for (const sign of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      document.addEventListener(sign, () => (lastHand = Date.now()), { passive: true });
    }
    button.addEventListener("click", () => {
      stopped = !stopped;
      button.setAttribute("aria-pressed", String(stopped));
      button.textContent = stopped ? "继续刷新" : "暂停刷新";
      look();
    });
    document.addEventListener("visibilitychange", () => document.hidden || look());
    bar.hidden = false;
    state.textContent = "自动刷新，每 3 秒一次";
    wait();

    function wait() {
      clearTimeout(timer);
      timer = setTimeout(look, EVERY);
    }

    async function look() {
      clearTimeout(timer);
      try {
        const pause = whyPause();
        state.textContent = pause || (await refresh());
      } catch {
        state.textContent = "暂时连不上服务器，正在重试";
      }
      wait();
    }

    function whyPause() {
      if (stopped) return "已暂停";
      if (document.hidden) return "页面不可见，已暂停";
      if (Date.now() - lastHand > ABSENT) return "长时间无人操作，已暂停；动一下鼠标即继续";
      if (document.querySelector("#result_list .action-select:checked")) return "已勾选，暂停刷新";
      const busy = "#changelist-filter, #toolbar, #result_list";
      if (openFilter() || document.activeElement.closest(busy)) return "正在操作，暂停刷新";
      const selection = document.getSelection();
      const table = document.getElementById("result_list");
      if (table && !selection.isCollapsed && selection.containsNode(table, true)) {
        return "已选中文字，暂停刷新";
      }
      return "";
    }

    async function refresh() {
      const answer = await fetch(location.href, { cache: "no-store", headers: { "X-Desk-Refresh": "1" } });
      // Logged out, or no longer allowed: what is on the screen must go.
      if (answer.redirected || answer.status === 403) location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const pause = whyPause(); // somebody may have begun while we waited
      if (pause) return pause;
      swap(page);
      return `自动刷新，最近 ${CLOCK.format(new Date())}`;
    }

    function swap(page) {
      const fresh = rows(page);
      const arrived = fresh.filter((row) => !firstSeen.has(key(row)));
      for (const row of arrived) firstSeen.set(key(row), Date.now());
      for (const row of fresh) {
        row.classList.toggle("is-new", Date.now() - firstSeen.get(key(row)) < NEW_FOR);
      }
      if (rows(document).length && fresh.length) {
        // Only the rows: the scroll position and the table's listeners stay.
        document.querySelector("#result_list tbody").replaceChildren(...fresh);
      } else {
        replace("live-rows", page);
      }
      replace("live-count", page);
      if (arrived.length) news.textContent = `新增 ${arrived.length} 个会话`;
    }

    function replace(id, page) {
      document.getElementById(id).replaceChildren(...page.getElementById(id).childNodes);
    }
  }

  function rows(page) {
    return Array.from(page.querySelectorAll("#result_list tbody tr"));
  }

  function key(row) {
    return row.querySelector("a").getAttribute("href");
  }
}
