// The hosted join page's script.  All of it is comfort, except the proof of work, which nothing else can do.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  // -- a person sees the page: told once, as the plain join page does --------------------------------
  const { opened } = document.body.dataset;
  const seen = () => {
    if (document.visibilityState !== "visible") return; // prerendered, or in a tab behind
    document.removeEventListener("visibilitychange", seen);
    navigator.sendBeacon(opened);
  };
  if (opened) {
    document.addEventListener("visibilitychange", seen);
    seen();
  }

  // -- the proof of work ----------------------------------------------------------------------------
  const solve = (form) => {
    const status = byId("work");
    const field = form.elements.namedItem("altcha");
    const challenge = JSON.parse(form.dataset.challenge);
    const worker = new Worker(form.dataset.worker);
    const failed = () => {
      status.textContent = status.dataset.failed;
      form.dataset.failed = "";
    };
    worker.onerror = failed;
    worker.onmessage = ({ data: solution }) => {
      worker.terminate();
      field.value = btoa(JSON.stringify({ challenge, solution }));
      status.textContent = "";
      if ("wanted" in form.dataset) form.requestSubmit();
    };
    worker.postMessage(challenge.parameters);
    form.addEventListener("submit", (event) => {
      if (field.value || "failed" in form.dataset) return;
      event.preventDefault(); // it goes by itself when the work is done
      event.stopImmediatePropagation();
      form.dataset.wanted = "";
      status.textContent = status.dataset.working;
    });
    if ("send" in form.dataset) {
      form.dataset.wanted = "";
      status.textContent = status.dataset.working;
    }
  };
  for (const form of document.querySelectorAll("form[data-challenge]")) solve(form);

  // -- a form goes once -----------------------------------------------------------------------------
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if ("sent" in form.dataset) event.preventDefault();
      form.dataset.sent = "";
    });
  }
  addEventListener("pageshow", () => { // back again: it may be sent again
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // -- the phone's example follows the country --------------------------------------------------------
  const country = byId("country");
  const example = () => {
    byId("example-number").textContent = country.selectedOptions[0].dataset.example;
  };
  if (country) {
    country.addEventListener("change", example);
    addEventListener("pageshow", example); // a browser may have filled the choice in
  }

  // -- the one-time code ------------------------------------------------------------------------------
  const otp = byId("otp");
  if (otp && "OTPCredential" in window) {
    const waiting = new AbortController();
    otp.form.addEventListener("submit", () => waiting.abort());
    navigator.credentials.get({ otp: { transport: ["sms"] }, signal: waiting.signal }).then((message) => {
      otp.value = message.code;
      otp.form.requestSubmit();
    }).catch(() => {}); // typed by hand, or not wanted
  }

  const again = byId("again");
  const until = again && performance.now() + Number(again.dataset.seconds) * 1000;
  const count = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    again.disabled = left > 0;
    again.textContent = left > 0 ? again.dataset.in.replace("{seconds}", left) : again.dataset.words;
    if (left > 0) setTimeout(count, 250);
  };
  if (again) {
    byId("again-when")?.remove(); // the button says it now
    count();
  }

  // -- the recovery codes -------------------------------------------------------------------------------
  const codes = byId("codes");
  if (codes) {
    const copy = byId("copy");
    const print = byId("print");
    const status = byId("status");
    copy.hidden = print.hidden = false;
    print.addEventListener("click", () => window.print());
    copy.addEventListener("click", async () => {
      try {
        const lines = [...codes.children].map((line) => line.textContent);
        await navigator.clipboard.writeText(lines.join("\n"));
        status.textContent = copy.dataset.copied;
      } catch { // not on http, or not allowed: select them, so that one gesture is left
        getSelection().selectAllChildren(codes);
        status.textContent = copy.dataset.failed;
      }
    });
  }
})();
