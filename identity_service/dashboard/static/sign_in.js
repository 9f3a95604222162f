// The door: the link's token stands behind `#`, which no server sees; take it from there, and post it.
"use strict";

(() => {
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", location.pathname); // out of the browser's history
  document.getElementById("token").value = token;
  document.getElementById("door").requestSubmit();
})();
