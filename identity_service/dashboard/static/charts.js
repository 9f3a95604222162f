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

  // Steps of a span are whole units, as those of a number are whole tens.
  const step = (given) => {
    if (given?.unit !== "span") return undefined;
    const most = Math.max(1, ...given.lines.flatMap((line) => line.values.filter((value) => value !== null)));
    const unit = (spans.find(([size]) => most >= size) ?? spans[3])[0];
    return unit * ([1, 2, 5, 10, 20, 50, 100].find((n) => most / (unit * n) <= 6) ?? 200);
  };
  const axis = (given) => ({
    beginAtZero: true,
    grid: { color: read("line") },
    border: { display: false },
    ticks: { color: read("quiet"), callback: write(given?.unit), stepSize: step(given), maxRotation: 0, autoSkipPadding: 12 },
  });
  const named = () => ({ ...axis(), grid: { display: false }, ticks: { color: read("quiet"), maxRotation: 0, autoSkip: true, autoSkipPadding: 12 } });

  const band = (line, colour, limit, fill) => ({
    label: "", data: line[limit], borderWidth: 0, pointRadius: 0, fill, backgroundColor: `color-mix(in srgb, ${colour} 16%, transparent)`, isBand: true,
  });

  const lines = (given) => {
    const colours = series();
    const datasets = given.lines.flatMap((line, n) => {
      const colour = colours[n % colours.length];
      const own = { label: line.name, data: line.values, borderColor: colour, backgroundColor: colour, borderWidth: 2, pointRadius: given.labels.length > 40 ? 0 : 2.5, tension: 0, spanGaps: false, segment: { borderDash: (at) => (given.open?.[at.p1DataIndex] ? [5, 4] : undefined) } };
      return line.low ? [own, band(line, colour, "low", false), band(line, colour, "high", "-1")] : [own];
    });
    return { type: "line", data: { labels: given.labels, datasets }, options: options(given, { x: named(), y: axis(given) }) };
  };

  const bars = (given, across) => {
    const colours = series();
    const datasets = given.lines.map((line, n) => ({ label: line.name, data: line.values, backgroundColor: colours[n % colours.length], borderRadius: 4, maxBarThickness: 26 }));
    const scales = across ? { x: axis(given), y: named() } : { x: named(), y: axis(given) };
    const made = options(given, scales);
    if (across) made.indexAxis = "y";
    return { type: "bar", data: { labels: across ? given.labels.map(folded) : given.labels, datasets }, options: made };
  };

  // A long name goes over several lines where the screen is narrow: the chart would cut it off.
  const folded = (name) => {
    if (innerWidth > 700 || name.length <= 15) return name;
    const lines = [""];
    for (const word of name.split(" ")) {
      if (lines.at(-1).length + word.length > 15 && lines.at(-1)) lines.push("");
      lines.push(`${lines.pop()} ${word}`.trim());
    }
    return lines;
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
    return { type: "bar", data: { labels: [...given.labels.map(folded), given.total], datasets: [{ data, backgroundColor: colour, borderRadius: 3, maxBarThickness: 22, minBarLength: 2 }] }, options: made };
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

  const lying = (given) => given.labels.length > 12 || given.kind === "funnel" || (given.named && given.labels.some((name) => name.length > 7));
  const kinds = { line: lines, bar: (given) => bars(given, lying(given)), funnel: (given) => bars(given, true), sum: sums };

  const draw = () => {
    while (drawn.length) drawn.pop().destroy();
    for (const canvas of document.querySelectorAll("canvas[data-drawing]")) {
      const given = JSON.parse(canvas.dataset.drawing);
      const rows = given.kind === "sum" ? given.labels.length + 1 : given.kind !== "line" && lying(given) ? given.labels.length : 0;
      const more = given.labels.reduce((sum, name) => sum + Math.max(0, [folded(name)].flat().length - 2) * 14, 0);
      canvas.parentElement.style.setProperty("height", `${rows ? Math.max(90, rows * 28 + 60 + more) : 300}px`);
      drawn.push(new Chart(canvas, kinds[given.kind](given)));
    }
  };
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
