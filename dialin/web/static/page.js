// SPDX-License-Identifier: GPL-3.0-or-later
// What a page can do beyond reading and forms: copy, print, and show changes as they happen.
// Everything is readable without it.
"use strict";

const body = document.body;
document.documentElement.classList.add("has-script");

const say = (text) => {
  const said = document.getElementById("said");
  if (said) said.textContent = text;
};

// Copy what an element says; where that is not allowed, mark it for copying by hand.
const copy = async (button) => {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 2000);
    say(body.dataset.copied);
  } catch {
    getSelection().selectAllChildren(source);
    say(body.dataset.notCopied);
  }
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy) copy(button);
  if (button?.hasAttribute("data-print")) print();
});

// What changes by itself: the console names its parts, a room page has these.
const parts = (body.dataset.parts ?? "service join count callers invite").split(" ");

// An order to a caller needs no new page while the list changes by itself.
let isLive = false;
document.addEventListener("submit", (event) => {
  const isInPart = parts.some((name) => document.getElementById(name)?.contains(event.target));
  if (!isLive || !isInPart || event.target.method !== "post") return;
  event.preventDefault();
  fetch(event.target.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(event.target)),
    redirect: "manual",
  }).catch(() => event.target.submit());
});

// Put new HTML into a part of the page, and the focus back to where it was.
const show = (name, html) => {
  const part = document.getElementById(name);
  if (!part) return;
  const focused = document.activeElement?.id;
  part.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus();
};

const follow = (address) => {
  const live = document.getElementById("live");
  const stream = new EventSource(address);
  for (const name of parts) {
    stream.addEventListener(name, (event) => show(name, event.data));
  }
  stream.addEventListener("open", () => {
    isLive = true;
    live.textContent = live.dataset.live;
  });
  stream.addEventListener("error", () => {
    isLive = false;
    live.textContent = live.dataset.off;
  });
  stream.addEventListener("end", () => {
    stream.close();
    isLive = false;
    live.textContent = live.dataset.ended;
  });
};

if (body.dataset.events) follow(body.dataset.events);
