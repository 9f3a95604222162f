// Where the pages or tabs do not all fit, the one that is shown is brought into sight.
"use strict";

for (const here of document.querySelectorAll(".side [aria-current], .tabs [aria-current]")) {
  const row = here.closest(".side ul, .tabs");
  row.scrollLeft += here.getBoundingClientRect().left - row.getBoundingClientRect().left - 24;
}
