// Draws what a page says in `data-drawing`: lines with their intervals, bars, funnels, and sums of lines that
// carry a score.  The numbers stand in a table beside each drawing, for everybody who reads rather than looks.
"use strict";

(() => {
  const read = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const series = () => [1, 2, 3, 4, 5, 6].map((n) => read(`series-${n}`));
  const drawn = [];

  const language = document.documentElement.lang;
  const number = (options) => (value) => new Intl.NumberFormat(language, options).format(value);
  const spans = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const written = {
    share: number({ style: "percent", maximumFractionDigits: 1 }),
    money: number({ style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: 4 }),
    span: (seconds) => {
      const [size, unit] = spans.find(([one]) => Math.abs(seconds) >= one) ?? spans[3];
      return number({ style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 })(seconds / size);
    },
  };
  const write = (unit) => (value) => (value === null ? "–" : (written[unit] ?? number({ maximumFractionDigits: 3 }))(value));

  const axis = (unit) => ({
    beginAtZero: true,
    grid: { color: read("line") },
    border: { display: false },
    ticks: { color: read("quiet"), callback: write(unit), maxRotation: 0, autoSkipPadding: 12 },
  });
  const named = () => ({ ...axis(), grid: { display: false }, ticks: { color: read("quiet"), maxRotation: 0, autoSkip: true, autoSkipPadding: 12 } });

  const band = (line, colour, limit, fill) => ({
    label: "", data: line[limit], borderWidth: 0, pointRadius: 0, fill, backgroundColor: `color-mix(in srgb, ${colour} 16%, transparent)`, isBand: true,
  });

  const lines = (given) => {
    const colours = series();
    const datasets = given.lines.flatMap((line, n) => {
      const colour = colours[n % colours.length];
      const own = { label: line.name, data: line.values, borderColor: colour, backgroundColor: colour, borderWidth: 2, pointRadius: given.labels.length > 40 ? 0 : 2.5, tension: 0, spanGaps: false };
      return line.low ? [own, band(line, colour, "low", false), band(line, colour, "high", "-1")] : [own];
    });
    return { type: "line", data: { labels: given.labels, datasets }, options: options(given, { x: named(), y: axis(given.unit) }) };
  };

  const bars = (given, across) => {
    const colours = series();
    const datasets = given.lines.map((line, n) => ({ label: line.name, data: line.values, backgroundColor: colours[n % colours.length], borderRadius: 4, maxBarThickness: 26 }));
    const scales = across ? { x: axis(given.unit), y: named() } : { x: named(), y: axis(given.unit) };
    const made = options(given, scales);
    if (across) made.indexAxis = "y";
    return { type: "bar", data: { labels: given.labels, datasets }, options: made };
  };

  // Each line begins where the one before ended; the last stands for the whole.
  const sums = (given) => {
    let at = 0;
    const steps = given.values.map((value) => { const from = at; at += value; return [from, at]; });
    const data = [...steps, [0, at]];
    const colour = data.map(([from, to], n) => (n === steps.length ? read("accent") : to >= from ? read("good") : read("bad")));
    const made = options(given, { x: axis(), y: { ...named(), ticks: { color: read("ink"), autoSkip: false } } });
    made.indexAxis = "y";
    made.plugins.tooltip.callbacks = { label: (item) => number({ signDisplay: "always", maximumFractionDigits: 3 })(item.dataIndex === steps.length ? at : given.values[item.dataIndex]) };
    return { type: "bar", data: { labels: [...given.labels, given.total], datasets: [{ data, backgroundColor: colour, borderRadius: 3, maxBarThickness: 22, minBarLength: 2 }] }, options: made };
  };

  const options = (given, scales) => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales,
    plugins: {
      legend: { display: (given.lines?.length ?? 0) > 1, labels: { color: read("ink"), boxWidth: 12, filter: (item, data) => !data.datasets[item.datasetIndex].isBand } },
      tooltip: { filter: (item) => !item.dataset.isBand, callbacks: { label: (item) => `${item.dataset.label}: ${write(given.unit)(item.raw)}` } },
    },
  });

  const kinds = { line: lines, bar: (given) => bars(given, given.labels.length > 12), funnel: (given) => bars(given, true), sum: sums };

  const draw = () => {
    while (drawn.length) drawn.pop().destroy();
    for (const canvas of document.querySelectorAll("canvas[data-drawing]")) {
      const given = JSON.parse(canvas.dataset.drawing);
      const rows = given.kind === "sum" ? given.labels.length + 1 : given.kind === "line" ? 0 : given.labels.length > 12 || given.kind === "funnel" ? given.labels.length : 0;
      canvas.parentElement.style.setProperty("height", `${Math.max(rows ? 90 : 300, rows * 28 + 60)}px`);
      drawn.push(new Chart(canvas, kinds[given.kind](given)));
    }
  };
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
