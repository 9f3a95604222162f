// The tree explorer: lays a subtree out, draws it on a canvas, and lets a person walk through it.
// The canvas holds thousands of members where elements of their own would not; what is chosen is told in words
// beside it, and everything that the mouse can do the keyboard can, too.
"use strict";

(() => {
  const canvas = document.getElementById("tree");
  if (!canvas) return;
  const pen = canvas.getContext("2d");
  const words = JSON.parse(document.getElementById("tree-words").textContent);
  const language = document.documentElement.lang;
  const by = (id) => document.getElementById(id);
  const status = by("tree-status");
  const LABELLED = 90; // at most so many names at once: more cannot be read

  let all = []; // every member, inviters first
  let root = null; // the laid-out hierarchy
  let shown = []; // its nodes, folded ones left out
  let spots = null; // a quadtree of them, for the mouse
  let view = { x: 0, y: 0, k: 1 }; // screen = world * k + (x, y)
  let chosen = null;
  let found = new Set();
  let colourOf = () => "";
  let style = {};
  let waiting = 0;

  // -- data -------------------------------------------------------------------------------------------

  const load = async () => {
    const answer = await fetch(`/dashboard/tree.json?root=${encodeURIComponent(canvas.dataset.root)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const data = await answer.json();
    all = data.nodes.map((row, at) => {
      const one = Object.fromEntries(data.columns.map((name, place) => [name, row[place]]));
      one.at = at;
      one.children = [];
      one.folded = false;
      return one;
    });
    for (const one of all) {
      if (one.parent >= 0) {
        one.inviter = all[one.parent];
        one.inviter.children.push(one);
      }
    }
    for (let at = all.length - 1; at >= 0; at -= 1) { // invitees stand behind their inviters
      all[at].below = (all[at].below ?? 0) + 0;
      if (all[at].inviter) all[at].inviter.below = (all[at].inviter.below ?? 0) + all[at].below + 1;
    }
    status.textContent = (data.cut ? words.cut : words.all_shown).replace("{n}", all.length.toLocaleString(language));
    tellPath(data.path);
  };

  const tellPath = (path) => {
    by("above").replaceChildren(...path.map((one) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `/dashboard/tree?root=${encodeURIComponent(one.ref)}`;
      link.textContent = one.label;
      item.append(link);
      return item;
    }));
  };

  // -- layout -----------------------------------------------------------------------------------------

  const layOut = () => {
    root = d3.hierarchy(all[0], (one) => (one.folded ? null : one.children));
    const deepest = root.height || 1;
    if (by("layout").value === "round") {
      const leaves = root.leaves().length;
      const ring = Math.max(46, (leaves * 7) / (2 * Math.PI * deepest));
      d3.tree().size([2 * Math.PI, ring * deepest]).separation((a, b) => (a.parent === b.parent ? 1 : 2) / (a.depth || 1))(root);
      root.each((node) => {
        node.wx = node.y * Math.cos(node.x - Math.PI / 2);
        node.wy = node.y * Math.sin(node.x - Math.PI / 2);
      });
    } else {
      d3.tree().nodeSize([13, Math.max(90, 900 / deepest)])(root);
      root.each((node) => { node.wx = node.y; node.wy = node.x; });
    }
    shown = root.descendants();
    for (const node of shown) node.data.node = node;
    spots = d3.quadtree(shown, (node) => node.wx, (node) => node.wy);
  };

  const fit = () => {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const node of shown) {
      left = Math.min(left, node.wx); right = Math.max(right, node.wx);
      top = Math.min(top, node.wy); bottom = Math.max(bottom, node.wy);
    }
    const { clientWidth: width, clientHeight: height } = canvas;
    const k = Math.min(1.6, (width - 60) / (right - left || 1), (height - 60) / (bottom - top || 1));
    view = { k, x: width / 2 - ((left + right) / 2) * k, y: height / 2 - ((top + bottom) / 2) * k };
    draw();
  };

  // -- colours ----------------------------------------------------------------------------------------

  const readStyle = () => {
    const read = getComputedStyle(document.documentElement);
    for (const name of ["ink", "quiet", "line", "card", "accent", "good", "bad", "warn", "off"]) {
      style[name] = read.getPropertyValue(`--${name}`).trim();
    }
    style.series = [1, 2, 3, 4, 5, 6].map((n) => read.getPropertyValue(`--series-${n}`).trim());
  };

  const mixed = (from, to, share) => `color-mix(in srgb, ${to} ${Math.round(share * 100)}%, ${from})`;

  const colours = {
    state: () => {
      const of = { active: style.good, suspended: style.warn, banned: style.bad, erased: style.off };
      return [(one) => of[one.state], Object.entries(of).map(([state, colour]) => [words[state], colour])];
    },
    score: () => {
      // Ten steps are mixed once, not a colour for each member.
      const steps = Array.from({ length: 11 }, (_, n) => (n < 5 ? mixed(style.bad, style.warn, n / 5) : mixed(style.warn, style.good, (n - 5) / 5)));
      const solid = steps.map(resolved);
      const of = (one) => (one.score === null ? style.off : solid[Math.round(one.score * 10)]);
      return [of, [["0", solid[0]], ["0.5", solid[5]], ["1", solid[10]], [words.unknown, style.off]]];
    },
    country: () => {
      const counts = new Map();
      for (const one of all) if (one.country) counts.set(one.country, (counts.get(one.country) ?? 0) + 1);
      const first = [...counts].sort((a, b) => b[1] - a[1]).slice(0, style.series.length).map(([name]) => name);
      const of = new Map(first.map((name, n) => [name, style.series[n]]));
      return [(one) => of.get(one.country) ?? style.off, [...of, [words.other, style.off]]];
    },
    generation: () => {
      const top = all[0].generation;
      const of = (one) => style.series[(one.generation - top) % style.series.length];
      const most = all.reduce((high, one) => Math.max(high, one.generation), top);
      const first = Array.from({ length: Math.min(style.series.length, most - top + 1) }, (_, n) => [words.generation.replace("{n}", top + n), style.series[n]]);
      return [of, first];
    },
  };

  const resolved = (colour) => { // a canvas may not know color-mix
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = style.off;
    probe.fillStyle = colour;
    return probe.fillStyle;
  };

  const paint = () => {
    readStyle();
    const [of, legend] = colours[by("colour").value]();
    colourOf = of;
    by("legend").replaceChildren(...legend.map(([name, colour]) => {
      const item = document.createElement("li");
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.setProperty("--dot", colour);
      item.append(dot, name);
      return item;
    }));
    draw();
  };

  // -- drawing ----------------------------------------------------------------------------------------

  const draw = () => {
    if (!waiting && shown.length) waiting = requestAnimationFrame(drawNow);
  };

  const drawNow = () => {
    waiting = 0;
    const { clientWidth: width, clientHeight: height } = canvas;
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const at = (node) => [node.wx * view.k + view.x, node.wy * view.k + view.y];
    const inside = ([x, y]) => x > -40 && y > -40 && x < width + 40 && y < height + 40;
    drawLinks(at, inside);
    drawMembers(at, inside);
    drawLabels(at, width, height);
    if (!canvas.dataset.painted) canvas.dataset.painted = Math.round(performance.now()); // ms since the navigation
  };

  const drawLinks = (at, inside) => {
    pen.lineWidth = Math.min(1.2, Math.max(0.4, view.k));
    pen.strokeStyle = style.line;
    pen.beginPath();
    for (const node of shown) {
      if (!node.parent) continue;
      const [from, to] = [at(node.parent), at(node)];
      if (!inside(from) && !inside(to)) continue;
      pen.moveTo(from[0], from[1]);
      pen.lineTo(to[0], to[1]);
    }
    pen.stroke();
    if (!chosen) return;
    pen.strokeStyle = style.accent; // the chosen member's path to the root
    pen.lineWidth = 2.5;
    pen.beginPath();
    for (let node = chosen.node; node?.parent; node = node.parent) {
      pen.moveTo(...at(node.parent));
      pen.lineTo(...at(node));
    }
    pen.stroke();
  };

  const size = (node) => Math.max(1.6, Math.min(9, (3.2 + Math.sqrt(node.data.below ?? 0) * 0.22) * Math.sqrt(view.k)));

  const drawMembers = (at, inside) => {
    for (const node of shown) {
      const place = at(node);
      if (!inside(place)) continue;
      const one = node.data;
      const r = size(node);
      pen.fillStyle = colourOf(one);
      pen.beginPath();
      pen.arc(place[0], place[1], r, 0, 2 * Math.PI);
      pen.fill();
      if (one.hidden || one.folded) ring(place, r + 2.2, style.quiet, 1.4);
      if (found.has(one)) ring(place, r + 4, style.warn, 3);
      if (one === chosen) ring(place, r + 4, style.accent, 3);
    }
  };

  const ring = ([x, y], r, colour, width) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.stroke();
  };

  const drawLabels = (at, width, height) => {
    const visible = [];
    for (const node of shown) {
      const [x, y] = at(node);
      if (x > -20 && y > 0 && x < width && y < height) visible.push(node);
      if (visible.length > LABELLED && node.data !== chosen) break;
    }
    const named = visible.length <= LABELLED ? visible : chosen?.node ? [chosen.node] : [];
    pen.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    pen.textBaseline = "middle";
    for (const node of named) {
      const [x, y] = at(node);
      const left = x + size(node) + 4;
      pen.lineWidth = 3;
      pen.strokeStyle = style.card;
      pen.strokeText(node.data.label, left, y);
      pen.fillStyle = style.ink;
      pen.fillText(node.data.label, left, y);
    }
  };

  // -- choosing ---------------------------------------------------------------------------------------

  const choose = (one, { follow = false } = {}) => {
    chosen = one;
    by("chosen").hidden = !one;
    if (one) {
      const link = by("chosen-link");
      link.textContent = one.label;
      link.href = `/dashboard/members/${encodeURIComponent(one.ref)}`;
      by("chosen-root").href = `/dashboard/tree?root=${encodeURIComponent(one.ref)}`;
      by("chosen-state").textContent = words[one.state];
      by("chosen-score").textContent = one.score === null ? words.unknown : one.score.toLocaleString(language, { maximumFractionDigits: 3 });
      by("chosen-level").textContent = one.level;
      by("chosen-country").textContent = one.country ?? "–";
      by("chosen-generation").textContent = one.generation;
      by("chosen-joined").textContent = one.joined;
      by("chosen-below").textContent = (one.below ?? 0).toLocaleString(language);
      by("chosen-hidden").textContent = one.hidden ? words.more_below.replace("{n}", one.hidden.toLocaleString(language)) : "";
      by("fold").hidden = !one.children.length;
      by("fold").textContent = one.folded ? words.unfold : words.fold;
      if (follow && one.node) {
        const [x, y] = [one.node.wx * view.k + view.x, one.node.wy * view.k + view.y];
        const { clientWidth: width, clientHeight: height } = canvas;
        if (x < 40 || y < 40 || x > width - 40 || y > height - 40) {
          view.x += width / 2 - x;
          view.y += height / 2 - y;
        }
      }
    }
    draw();
  };

  const fold = (one) => {
    if (!one?.children.length) return;
    const before = [one.node.wx * view.k + view.x, one.node.wy * view.k + view.y];
    one.folded = !one.folded;
    layOut();
    view.x += before[0] - (one.node.wx * view.k + view.x); // what was folded stays under the hand
    view.y += before[1] - (one.node.wy * view.k + view.y);
    choose(one);
  };

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left - view.x) / view.k, (event.clientY - box.top - view.y) / view.k];
    return spots?.find(x, y, 14 / view.k)?.data ?? null;
  };

  const zoom = (factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const k = Math.min(12, Math.max(0.004, view.k * factor));
    view = { k, x: x - ((x - view.x) * k) / view.k, y: y - ((y - view.y) * k) / view.k };
    draw();
  };

  // -- mouse, finger, keyboard ------------------------------------------------------------------------

  const fingers = new Map();
  let moved = 0;

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      canvas.style.setProperty("cursor", under(event) ? "pointer" : "grab");
      return;
    }
    if (fingers.size === 2) pinch(event, before);
    else {
      view.x += event.clientX - before[0];
      view.y += event.clientY - before[1];
    }
    moved += Math.abs(event.clientX - before[0]) + Math.abs(event.clientY - before[1]);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    draw();
  });
  const pinch = (event, before) => {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    const box = canvas.getBoundingClientRect();
    const now = [event.clientX, event.clientY];
    zoom(apart(now) / apart(before), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
  };
  const letGo = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointerup", (event) => {
    letGo(event);
    if (moved < 6) choose(under(event));
  });
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("dblclick", (event) => fold(under(event)));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0016), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  const neighbour = {
    ArrowUp: (one) => one.inviter,
    ArrowDown: (one) => (one.folded ? null : one.children[0]),
    ArrowLeft: (one) => beside(one, -1),
    ArrowRight: (one) => beside(one, 1),
  };
  const beside = (one, step) => {
    const row = one.inviter?.children ?? [one];
    return row[(row.indexOf(one) + step + row.length) % row.length];
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const walk = neighbour[event.key];
    if (walk) choose(chosen ? walk(chosen) ?? chosen : all[0], { follow: true });
    else if (event.key === "Enter" && chosen) location.assign(by("chosen-link").href);
    else if (event.key === " ") fold(chosen);
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });

  // -- the bar ----------------------------------------------------------------------------------------

  const search = by("search");
  let turn = 0;
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    found = new Set(wanted ? all.filter((one) => one.label.toLowerCase().includes(wanted)) : []);
    turn = 0;
    status.textContent = !wanted ? words.all_shown.replace("{n}", all.length.toLocaleString(language))
      : found.size ? words.search_found.replace("{n}", found.size.toLocaleString(language)) : words.search_none;
    draw();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.size) return;
    event.preventDefault();
    const one = [...found][turn % found.size];
    turn += 1;
    let folded = false;
    for (let above = one.inviter; above; above = above.inviter) {
      folded ||= above.folded;
      above.folded = false;
    }
    if (folded) layOut();
    view.k = Math.max(view.k, 0.8);
    choose(one, { follow: true });
  });

  by("zoom-in").addEventListener("click", () => zoom(1.4));
  by("zoom-out").addEventListener("click", () => zoom(1 / 1.4));
  by("zoom-fit").addEventListener("click", fit);
  by("fold").addEventListener("click", () => fold(chosen));
  by("colour").addEventListener("change", paint);
  by("layout").addEventListener("change", () => { layOut(); fit(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new ResizeObserver(draw).observe(canvas);

  load().then(() => {
    layOut();
    paint();
    fit();
  }).catch(() => { status.textContent = words.failed; });
})();
