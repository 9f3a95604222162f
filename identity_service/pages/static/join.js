// The join page's script: tells once that a person sees the page, copies the code, and leads on.
// It is a file of its own because the page's policy allows no script inside the page.
"use strict";

(() => {
  const onward = document.getElementById("onward");
  const LEAD_ON_AFTER = 1500; // long enough to see where one is, and for the beacon to leave

  const leadOn = () => {
    // Who came back with the browser's button wants to stay.
    const [entry] = performance.getEntriesByType("navigation");
    if (onward && entry?.type !== "back_forward") {
      setTimeout(() => location.assign(onward.href), LEAD_ON_AFTER);
    }
  };

  const seen = () => {
    // A page that is prerendered or opened in the background has not been seen by anybody.
    if (document.visibilityState !== "visible") return;
    document.removeEventListener("visibilitychange", seen);
    navigator.sendBeacon(`${location.pathname}/opened`);
    leadOn();
  };
  document.addEventListener("visibilitychange", seen);
  seen();

  const copy = document.getElementById("copy");
  const status = document.getElementById("status");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const code = document.getElementById("code");
    try {
      await navigator.clipboard.writeText(code.textContent.trim());
      status.textContent = copy.dataset.copied;
    } catch { // not on http, or not allowed: select it, so that one gesture is left
      getSelection().selectAllChildren(code);
      status.textContent = copy.dataset.failed;
    }
  });
})();
