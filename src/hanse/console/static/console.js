// A light touch: progress while it happens, a word before what cannot be undone. Every page works without it.
"use strict";
(() => {
  const part = (name, root = document) => root.querySelector(`[data-${name}]`);

  document.addEventListener("submit", (event) => {
    const ask = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (ask && !window.confirm(ask)) event.preventDefault();
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = button.dataset.copied;
    });
  }

  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  const live = part("events");
  if (live) watch(live);

  function watch(live) {
    const source = new EventSource(live.dataset.events);
    const roles = part("roles", live), log = part("log"), step = part("step", live);
    const show = (said) => {
      if (step && said.step) step.textContent = live.dataset[`step${said.step.replaceAll(" ", "")}`] ?? said.step;
      if (roles) for (const [who, [what, share]] of Object.entries(said.roles ?? {}).sort()) bar(roles, who, what, share);
      for (const line of said.log ?? []) {
        if (!log || Number(log.dataset.last ?? 0) >= line.number) continue;
        log.dataset.last = line.number;
        const item = document.createElement("li");
        item.textContent = `${line.at.slice(11, 19)}  ${line.message}`;
        log.append(item);
      }
    };
    source.addEventListener("progress", (event) => show(JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      source.close();
      show(JSON.parse(event.data));
      window.location.reload();
    });
  }

  function bar(root, who, what, share) {
    const id = `role-${who.replace(/[^a-z0-9]+/gi, "-")}`;
    let row = document.getElementById(id);
    if (!row) {
      row = document.createElement("div");
      row.id = id;
      row.innerHTML = '<div class="row small"><span></span><span class="soft"></span></div><progress max="1"></progress>';
      row.querySelector("progress").setAttribute("aria-label", who);
      root.append(row);
    }
    const [name, at] = row.querySelectorAll("span");
    name.textContent = who;
    at.textContent = what;
    row.querySelector("progress").value = share;
  }
})();
