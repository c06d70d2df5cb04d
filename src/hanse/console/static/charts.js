// Pictures of results with ECharts. Each reads the very rows that the tables below it show; nothing is reckoned anew.
"use strict";
(() => {
  const root = document.getElementById("charts");
  if (!root || !window.echarts) return;
  const read = (id) => (id ? JSON.parse(document.getElementById(id).textContent) : null);
  const told = read(root.dataset.result), words = read(root.dataset.words), areas = read(root.dataset.areas);
  const drawn = [];

  const look = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    return { ink: of("ink"), soft: of("soft"), line: of("line"), rule: of("rule"), sheet: of("sheet"), sea: of("sea"),
      brick: of("brick"), good: of("good"), warn: of("warn"), sans: of("sans"), paper: of("paper") };
  };
  const hues = (c) => [c.sea, c.brick, c.warn, c.good, c.soft];
  const number = (value) => value == null ? "–" : Math.round(value).toLocaleString("en");
  const percent = (value) => value == null ? "–" : `${(value * 100).toFixed(1)} %`;
  const unique = (values) => [...new Set(values)];

  // --- a frame: a chart, its choices, its name for who cannot see it ------------------------------------

  function frame(title, option, { tall = false, choices = [] } = {}) {
    const figure = document.createElement("figure");
    figure.className = "figure";
    const bar = document.createElement("div");
    bar.className = "row noprint";
    const chosen = {};
    for (const { key, label, values } of choices) {
      chosen[key] = values[0].value;
      if (values.length < 2) continue;
      const field = document.createElement("div"), name = document.createElement("label"), select = document.createElement("select");
      field.className = "field";
      select.id = `choice-${drawn.length}-${key}`;
      name.htmlFor = select.id;
      name.textContent = label;
      for (const { value, text } of values) select.add(new Option(text, value));
      select.addEventListener("change", () => { chosen[key] = select.value; draw(); });
      field.append(name, select);
      bar.append(field);
    }
    const box = document.createElement("div");
    box.className = tall ? "chart tall" : "chart";
    box.setAttribute("role", "img");
    if (bar.children.length) figure.append(bar);
    figure.append(box);
    root.append(figure);
    const chart = echarts.init(box, null, { renderer: "canvas" });
    const draw = () => {
      const c = look();
      const made = option(c, chosen);
      box.setAttribute("aria-label", title(chosen));
      chart.setOption({
        textStyle: { fontFamily: c.sans, color: c.ink }, animationDuration: 250,
        tooltip: { renderMode: "richText", confine: true, backgroundColor: c.sheet, borderColor: c.line, textStyle: { color: c.ink } },
        ...made,
      }, true);
      chart.resize();
    };
    draw();
    drawn.push({ chart, draw });
  }

  // Whiskers over bars, with their figure beside them: rows of [place on the category axis, low, high, text].
  function whiskers(rows, c, { lying = true, offset = 0, told = true } = {}) {
    const data = rows.map(([at, low, high]) => [at, low ?? 0, high ?? 0]);
    return {
      type: "custom", silent: true, z: 5, clip: false, tooltip: { show: false }, encode: lying ? { x: [1, 2], y: 0 } : { x: 0, y: [1, 2] }, data,
      renderItem(params, api) {
        const [at, low, , text] = rows[params.dataIndex];
        const ends = [api.value(1), api.value(2)].map((v) => api.coord(lying ? [v, at] : [at, v]));
        const shift = offset * (lying ? api.size([0, 1])[1] : api.size([1, 0])[0]);
        const [a, b] = ends.map(([x, y]) => (lying ? [x, y + shift] : [x + shift, y]));
        const cap = (p) => (lying ? { x1: p[0], y1: p[1] - 4, x2: p[0], y2: p[1] + 4 } : { x1: p[0] - 4, y1: p[1], x2: p[0] + 4, y2: p[1] });
        const style = { stroke: c.ink, lineWidth: 1.5, fill: null };
        const children = low == null ? [] : [a, b].map((p) => ({ type: "line", shape: cap(p), style }))
          .concat({ type: "line", shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style });
        if (told && text) children.push({ type: "text", x: lying ? b[0] + 8 : b[0], y: lying ? b[1] : b[1] - 6,
          style: { text, fill: low == null ? c.warn : c.ink, font: `12px ${c.sans}`, textVerticalAlign: lying ? "middle" : "bottom", textAlign: lying ? "left" : "center" } });
        return { type: "group", children };
      },
    };
  }

  const axes = (c, names, { lying = true, value = {}, category = {} } = {}) => {
    const values = { type: "value", axisLabel: { color: c.soft, hideOverlap: true }, splitLine: { lineStyle: { color: c.rule } }, nameTextStyle: { color: c.soft }, nameLocation: "middle", nameGap: 28, ...value };
    const categories = { type: "category", data: names, inverse: lying, axisTick: { show: false }, axisLine: { lineStyle: { color: c.line } },
      axisLabel: { color: c.ink, width: root.clientWidth < 600 ? 90 : 190, overflow: "truncate", interval: 0, ...(category.axisLabel ?? {}) } };
    return lying ? { xAxis: values, yAxis: categories } : { xAxis: categories, yAxis: values };
  };
  const grid = { left: 20, right: 90, top: 36, bottom: 36, containLabel: true };

  // --- funnel and report --------------------------------------------------------------------------------

  function funnel(rows) {
    const figure = (r) => r.people == null ? words.suppressed : `${number(r.people)}${r.rate == null ? "" : `   ${percent(r.rate)}`}`;
    const lines = (r) => r.people == null ? `${r.stage}\n${words.suppressed}: ${r.suppressed}`
      : [r.stage, `${number(r.people)} (${number(r.low)}–${number(r.high)})`, r.rate == null ? "" : `${words.rate}: ${percent(r.rate)} (${percent(r.rate_low)}–${percent(r.rate_high)})`].filter(Boolean).join("\n");
    const group = (r) => [r.leg, r.channel].filter(Boolean).join(" · ");
    const name = (s) => (s === "all" ? words.all : s);
    const groups = unique(rows.map(group)), segments = unique(rows.map((r) => r.segment));
    frame(({ group: g, segment: s }) => `${words.people}: ${[g, name(s)].filter(Boolean).join(", ")}`, (c, { group: g, segment: s }) => {
      const shown = rows.filter((r) => group(r) === (g ?? "") && r.segment === s);
      const stages = unique(shown.map((r) => r.stage)), arms = unique(shown.map((r) => r.arm));
      const series = [];
      arms.forEach((arm, i) => {
        const at = (stage) => shown.find((r) => r.arm === arm && r.stage === stage);
        const colour = hues(c)[i % 5];
        series.push({
          name: name(arm), type: "bar", barCategoryGap: "35%", barMaxWidth: 34, itemStyle: { color: colour, borderRadius: [0, 3, 3, 0] },
          data: stages.map((stage) => { const row = at(stage); return { value: row?.people ?? 0, row }; }),
          tooltip: { formatter: ({ data }) => data.row ? lines(data.row) : "" },
        });
        const step = 0.65 / arms.length;
        series.push(whiskers(stages.flatMap((stage, n) => { const r = at(stage); return r ? [[n, r.low, r.high, figure(r)]] : []; }), c,
          { offset: arms.length > 1 ? (i - (arms.length - 1) / 2) * step : 0 }));
      });
      return { grid: { ...grid, right: root.clientWidth < 600 ? 96 : 130 }, legend: arms.length > 1 ? { data: arms.map(name), top: 0, left: 0, textStyle: { color: c.ink } } : undefined, ...axes(c, stages, { value: { name: words.people } }), series };
    }, { choices: [
      { key: "group", label: words.part, values: groups.map((g) => ({ value: g, text: g || words.all })) },
      { key: "segment", label: words.segment, values: segments.map((s) => ({ value: s, text: name(s) })) },
    ] });
  }

  // --- overlap: an UpSet plot -----------------------------------------------------------------------------

  function upset(rows) {
    const crowds = rows.filter((r) => r.kind === "crowd"), names = crowds.map((r) => r.crowd);
    const regions = rows.filter((r) => r.kind === "region").sort((a, b) => (b.people ?? -1) - (a.people ?? -1)).slice(0, 40);
    const inside = (region, crowd) => region.crowd.split(" + ").includes(crowd);
    frame(() => `${words.in}: ${regions.map((r) => `${r.crowd} ${number(r.people)}`).join("; ")}`, (c) => {
      const dots = [], links = [];
      regions.forEach((region, x) => {
        const in_ = names.map((n, y) => [n, y]).filter(([n]) => inside(region, n)).map(([, y]) => y);
        names.forEach((n, y) => dots.push({ value: [x, y], itemStyle: { color: in_.includes(y) ? c.ink : c.rule } }));
        if (in_.length > 1) links.push([x, Math.min(...in_), Math.max(...in_)]);
      });
      const narrow = root.clientWidth < 600, left = narrow ? "34%" : "24%", matrix = `${Math.min(44, 8 + 7 * names.length)}%`;
      const bare = { show: false, type: "category", data: regions.map((_r, i) => i) };
      const crowdAxis = { type: "category", data: names, inverse: true, axisTick: { show: false }, axisLine: { show: false } };
      return {
        grid: [
          { left, right: 20, top: 36, height: `${80 - parseFloat(matrix)}%` },
          { left, right: 20, height: matrix, bottom: 16 },
          { left: 12, width: narrow ? "4%" : "9%", height: matrix, bottom: 16 },
        ],
        xAxis: [
          { ...bare, gridIndex: 0 }, { ...bare, gridIndex: 1 },
          { type: "value", gridIndex: 2, inverse: true, show: false },
        ],
        yAxis: [
          { type: "value", gridIndex: 0, name: words.in, nameTextStyle: { color: c.soft, align: "left" }, axisLabel: { color: c.soft }, splitLine: { lineStyle: { color: c.rule } } },
          { ...crowdAxis, gridIndex: 1, axisLabel: { color: c.ink, width: 120, overflow: "truncate", interval: 0 } },
          { ...crowdAxis, gridIndex: 2, axisLabel: { show: false } },
        ],
        series: [
          { type: "bar", xAxisIndex: 0, yAxisIndex: 0, barMaxWidth: 40, itemStyle: { color: c.sea, borderRadius: [3, 3, 0, 0] },
            data: regions.map((r) => ({ value: r.people ?? 0, row: r })),
            tooltip: { formatter: ({ data }) => `${data.row.crowd}\n${data.row.people == null ? `${words.suppressed}: ${data.row.suppressed}` : `${number(data.row.people)} (${number(data.row.low)}–${number(data.row.high)})`}` } },
          whiskers(regions.map((r, x) => [x, r.low, r.high, r.people == null ? "*" : number(r.people)]), c, { lying: false, told: regions.length < 24 }),
          { type: "custom", xAxisIndex: 1, yAxisIndex: 1, silent: true, data: links, encode: { x: 0, y: [1, 2] },
            renderItem: (_p, api) => { const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(0), api.value(2)]);
              return { type: "line", shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style: { stroke: c.ink, lineWidth: 3 } }; } },
          { type: "scatter", xAxisIndex: 1, yAxisIndex: 1, symbolSize: 13, silent: true, data: dots },
          { type: "bar", xAxisIndex: 2, yAxisIndex: 2, barMaxWidth: 18, itemStyle: { color: c.brick }, data: crowds.map((r) => ({ value: r.people ?? 0, row: r })),
            tooltip: { formatter: ({ data }) => `${data.row.crowd}\n${words.sizes}: ${number(data.row.people)} (${number(data.row.low)}–${number(data.row.high)})` } },
        ],
      };
    }, { tall: true });
  }

  // --- portrait: TGI beside 100 -----------------------------------------------------------------------------

  function portrait(rows) {
    const labels = unique(rows.map((r) => r.label));
    frame(({ label }) => `${words.tgi}: ${label}`, (c, { label }) => {
      const shown = rows.filter((r) => r.label === label);
      const most = Math.max(200, ...shown.map((r) => r.tgi_high ?? r.tgi ?? 0).filter(Number.isFinite));
      return {
        grid: { ...grid, right: 150 }, ...axes(c, shown.map((r) => r.value), { value: { name: words.tgi, min: 0, max: Math.min(Math.ceil(most / 50) * 50, 1000) } }),
        series: [
          { type: "bar", barMaxWidth: 26, stack: "tgi", silent: true, itemStyle: { color: "transparent" }, data: shown.map((r) => r.tgi == null ? 0 : Math.min(100, r.tgi)), tooltip: { show: false } },
          { type: "bar", barMaxWidth: 26, stack: "tgi", data: shown.map((r) => ({ value: r.tgi == null ? 0 : Math.abs(r.tgi - 100), row: r, itemStyle: { color: (r.tgi ?? 0) >= 100 ? c.sea : c.brick } })),
            tooltip: { formatter: ({ data: { row: r } }) => r.tgi == null ? `${r.value}\n${words.suppressed}: ${r.suppressed}` : `${r.value}\n${words.tgi} ${Math.round(r.tgi)} (${Math.round(r.tgi_low)}–${Math.round(r.tgi_high)})\n${words.share} ${percent(r.crowd_share)} / ${words.base} ${percent(r.base_share)}` },
            markLine: { silent: true, symbol: "none", data: [{ xAxis: 100 }], lineStyle: { color: c.ink, type: "solid", width: 1 }, label: { show: false } } },
          whiskers(shown.map((r, n) => [n, r.tgi_low, r.tgi_high, r.tgi == null ? words.suppressed : `${Math.round(r.tgi)}   ${percent(r.crowd_share)} / ${percent(r.base_share)}`]), c),
        ],
      };
    }, { choices: [{ key: "label", label: words.label, values: labels.map((l) => ({ value: l, text: l })) }] });
  }

  // --- lift: differences with their intervals ---------------------------------------------------------------

  function lift(rows) {
    const shown = rows.filter((r) => r.difference != null);
    const outcomes = unique(shown.map((r) => r.outcome));
    if (!outcomes.length) return;
    frame(({ outcome }) => `${words.difference}: ${outcome}`, (c, { outcome }) => {
      const of = shown.filter((r) => r.outcome === outcome);
      const share = of[0].kind === "share";
      const show = (v) => v == null ? "–" : share ? percent(v) : v.toFixed(2);
      const arms = unique(of.map((r) => r.arm));
      const names = of.map((r) => `${r.segment === "all" ? words.all : r.segment}${arms.length > 1 ? ` · ${r.arm}` : ""}`);
      return {
        grid: { ...grid, right: 130 },
        ...axes(c, names, { value: { name: words.difference, scale: true, axisLabel: { color: c.soft, formatter: (v) => share ? `${(v * 100).toFixed(1)} %` : v } } }),
        series: [
          whiskers(of.map((r, n) => [n, r.difference_low, r.difference_high, ""]), c),
          { type: "scatter", symbolSize: 12, itemStyle: { color: c.sea },
            data: of.map((r, n) => ({ value: [r.difference, n], row: r, itemStyle: { color: r.difference_low > 0 ? c.good : r.difference_high < 0 ? c.brick : c.soft } })),
            label: { show: true, position: "top", color: c.ink, formatter: ({ data: { row } }) => show(row.difference) },
            tooltip: { formatter: ({ data: { row } }) => `${row.segment}\n${show(row.difference)} (${show(row.difference_low)}–${show(row.difference_high)})\np = ${row.p_value == null ? "–" : row.p_value.toPrecision(2)}` },
            markLine: { silent: true, symbol: "none", data: [{ xAxis: 0 }], lineStyle: { color: c.ink, type: "solid", width: 1 }, label: { show: false } } },
        ],
      };
    }, { choices: [{ key: "outcome", label: words.label, values: outcomes.map((o) => ({ value: o, text: o })) }] });
  }

  // --- reach and attribution: bars with whiskers ----------------------------------------------------------------

  function reach(rows) {
    const frequency = rows.filter((r) => r.kind === "frequency");
    const segments = unique(frequency.map((r) => r.segment));
    frame(({ segment }) => `${words.times}: ${segment}`, (c, { segment }) => {
      const of = frequency.filter((r) => r.segment === segment);
      const last = of.length - 1;
      return {
        grid: { ...grid, right: 20 }, ...axes(c, of.map((r, i) => (i === last ? `${r.times} ${words.more}` : `${r.times}`)), { lying: false, value: { name: words.people, nameGap: 55 } }),
        series: [
          { type: "bar", barMaxWidth: 46, itemStyle: { color: c.sea, borderRadius: [3, 3, 0, 0] }, data: of.map((r) => ({ value: r.people ?? 0, row: r })),
            tooltip: { formatter: ({ data: { row: r } }) => r.people == null ? `${words.suppressed}: ${r.suppressed}` : `${words.times} ${r.times}\n${number(r.people)} (${number(r.low)}–${number(r.high)})` } },
          whiskers(of.map((r, n) => [n, r.low, r.high, r.people == null ? "*" : number(r.people)]), c, { lying: false, told: of.length < 24 }),
        ],
      };
    }, { choices: [{ key: "segment", label: words.segment, values: segments.map((s) => ({ value: s, text: s === "all" ? words.all : s })) }] });
  }

  function attribution(rows) {
    const of = rows.filter((r) => !["total", "rounding"].includes(r.channel)).sort((a, b) => (b.conversions ?? -1) - (a.conversions ?? -1));
    frame(() => words.credit, (c) => ({
      grid, ...axes(c, of.map((r) => r.channel), { value: { name: words.credit } }),
      series: [
        { type: "bar", barMaxWidth: 30, data: of.map((r) => ({ value: r.conversions ?? 0, row: r, itemStyle: { color: r.channel === "unattributed" ? c.soft : c.sea, borderRadius: [0, 3, 3, 0] } })),
          tooltip: { formatter: ({ data: { row: r } }) => r.conversions == null ? `${r.channel}\n${words.suppressed}: ${r.suppressed}` : `${r.channel}\n${number(r.conversions)} (${number(r.conversions_low)}–${number(r.conversions_high)})` } },
        whiskers(of.map((r, n) => [n, r.conversions_low, r.conversions_high, r.conversions == null ? words.suppressed : `${number(r.conversions)}   ${percent(r.share)}`]), c),
      ],
    }));
  }

  // --- concentration: a map, and the ranking ----------------------------------------------------------------

  async function concentration(levels) {
    levels = (levels ?? []).filter((l) => l.areas.length).sort((a, b) => (b.level === "h3") - (a.level === "h3"));
    if (!levels.length) return;
    echarts.registerMap("land", await (await fetch(root.dataset.land)).json());
    const named = levels.map((l, i) => ({ value: String(i), text: `${l.at} · ${l.level}` }));
    const targets = levels[0].targets.map((t) => ({ value: t, text: t }));
    const choices = [{ key: "level", label: words.level, values: named }, { key: "target", label: words.target, values: targets }];
    const said = (a, t) => `${a.label}\n${words.tgi} ${a.tgi[t] == null ? "–" : Math.round(a.tgi[t])}${a.tgi_low[t] == null ? "" : ` (${Math.round(a.tgi_low[t])}–${Math.round(a.tgi_high[t])})`}\n${words.people} ${number(a.people[t])} / ${number(a.base)}`;
    frame(({ level, target }) => `${words.tgi}: ${target}, ${levels[level].level}`, (c, { level, target }) => {
      const shown = levels[level].areas.filter((a) => a.tgi[target] != null);
      const rings = shown.flatMap((a) => a.ring ?? [[a.lon, a.lat]]);
      const [west, east] = ends(rings.map(([x]) => x)), [south, north] = ends(rings.map(([, y]) => y));
      const room = Math.max(east - west, north - south, 0.02) * 0.07, squeeze = Math.cos(((south + north) / 2) * Math.PI / 180);
      const ratio = ((east - west + 2 * room) * squeeze) / (north - south + 2 * room);
      const [wide, high] = [root.clientWidth, root.clientWidth < 600 ? 420 : 540];
      const values = shown.map((a) => a.tgi[target]);
      const item = (a) => ({ value: [a.lon, a.lat, a.tgi[target]], area: a });
      const common = { coordinateSystem: "geo", tooltip: { formatter: ({ data }) => said(data.area, target) } };
      return {
        geo: { map: "land", roam: true, scaleLimit: { min: 0.5, max: 200 }, aspectScale: squeeze,
          boundingCoords: [[west - room, north + room], [east + room, south - room]], silent: true, layoutCenter: ["50%", "50%"], layoutSize: ratio > 1 ? Math.min(wide, high * ratio) : Math.min(high, wide / ratio),
          itemStyle: { areaColor: c.paper, borderColor: c.line, borderWidth: 1 }, label: { show: false } },
        visualMap: { min: Math.min(50, ...values), max: Math.min(300, Math.max(150, ...values)), dimension: 2, calculable: true, right: 8, bottom: 12, text: [words.tgi, ""],
          textStyle: { color: c.ink }, inRange: { color: ["#2d6a8f", "#9fc5cf", "#f0e6d2", "#e0a070", "#9c3a21"] } },
        graphic: [{ type: "text", z: 10, left: 8, bottom: 6, silent: true, style: { text: words.land + (levels[level].left_out ? ` · ${levels[level].left_out} ${words.left}` : ""), fill: c.soft, fontSize: 11 } }],
        series: shown.length && shown[0].ring ? [{
          ...common, type: "custom", data: shown.map(item), encode: { tooltip: [2] },
          renderItem(params, api) {
            const points = shown[params.dataIndex].ring.map((p) => api.coord(p));
            return { type: "polygon", shape: { points }, style: { fill: api.visual("color"), stroke: c.sheet, lineWidth: 0.6, opacity: 0.9 } };
          },
        }] : [{ ...common, type: "scatter", data: shown.map(item), itemStyle: { borderColor: c.sheet, borderWidth: 1 },
          symbolSize: (v, p) => 6 + 18 * Math.sqrt(p.data.area.base / Math.max(...shown.map((a) => a.base))) }],
      };
    }, { tall: true, choices });
    frame(({ level, target }) => `${words.tgi}: ${target}, ${levels[level].level}`, (c, { level, target }) => {
      const top = levels[level].areas.filter((a) => a.tgi[target] != null).sort((a, b) => b.tgi[target] - a.tgi[target]).slice(0, 20);
      return {
        grid, ...axes(c, top.map((a) => a.label), { value: { name: words.tgi } }),
        series: [
          { type: "bar", barMaxWidth: 18, itemStyle: { color: c.sea, borderRadius: [0, 3, 3, 0] }, data: top.map((a) => ({ value: a.tgi[target], area: a })),
            tooltip: { formatter: ({ data }) => said(data.area, target) },
            markLine: { silent: true, symbol: "none", data: [{ xAxis: 100 }], lineStyle: { color: c.ink, type: "solid" }, label: { show: false } } },
          whiskers(top.map((a, n) => [n, a.tgi_low[target], a.tgi_high[target], `${Math.round(a.tgi[target])}`]), c),
        ],
      };
    }, { tall: true, choices });
  }

  // --- published products: a place over time, a day on the map, a scoreboard ---------------------------------

  function product() {
    const rows = told.rows;
    const said = (r) => r.value == null ? `${r.date}\n${words.withheld}: ${r.reason}` : [r.date, `${number(r.value)}${r.low == null ? "" : ` (${number(r.low)}–${number(r.high)})`}`, r.confidence == null ? "" : `${words.confidence} ${percent(r.confidence)}`].filter(Boolean).join("\n");
    if (rows.length) frame(() => `${told.place}: ${rows.filter((r) => r.value != null).slice(-7).map((r) => `${r.date} ${number(r.value)} (${number(r.low)}–${number(r.high)})`).join("; ")}`, (c) => {
      const band = (key) => rows.map((r) => (r.value == null || r.low == null ? null : key === "low" ? r.low : r.high - r.low));
      const area = { type: "line", stack: "interval", symbol: "none", silent: true, lineStyle: { opacity: 0 }, tooltip: { show: false } };
      const withheld = rows.flatMap((r) => (r.value == null ? [{ value: [r.date, 0], row: r }] : []));
      const long = rows.length > 60;
      return {
        grid: { ...grid, right: 24, bottom: long ? 70 : 36 }, legend: { data: [words.value, words.interval, ...(withheld.length ? [words.withheld] : [])], top: 0, left: 0, textStyle: { color: c.ink } },
        ...axes(c, rows.map((r) => r.date), { lying: false, value: { min: 0 }, category: { axisLabel: { color: c.soft, interval: "auto", hideOverlap: true } } }),
        dataZoom: long ? [{ type: "slider", start: 100 - 6000 / rows.length, end: 100, height: 18, bottom: 12, textStyle: { color: c.soft } }] : [],
        series: [
          { ...area, name: "low", data: band("low") },
          { ...area, name: words.interval, data: band("wide"), areaStyle: { color: c.sea, opacity: 0.2 }, itemStyle: { color: c.sea, opacity: 0.4 } },
          { name: words.value, type: "line", symbolSize: rows.length > 90 ? 3 : 6, itemStyle: { color: c.sea }, lineStyle: { color: c.sea, width: 2 }, data: rows.map((r) => ({ value: r.value, row: r })), tooltip: { formatter: ({ data }) => said(data.row) } },
          { name: words.withheld, type: "scatter", symbol: "emptyTriangle", symbolSize: 9, itemStyle: { color: c.warn }, data: withheld, tooltip: { formatter: ({ data }) => said(data.row) } },
        ],
      };
    });
    if (areas?.length) crowdMap(said);
  }

  async function crowdMap(said) {
    echarts.registerMap("land", await (await fetch(root.dataset.land)).json());
    frame(() => `${told.day}: ${areas.slice(0, 5).map((a) => `${a.label} ${number(a.value)}`).join("; ")}`, (c) => {
      const [west, east] = ends(areas.map((a) => a.lon)), [south, north] = ends(areas.map((a) => a.lat));
      const room = Math.max(east - west, north - south, 0.02) * 0.07, squeeze = Math.cos(((south + north) / 2) * Math.PI / 180);
      const ratio = ((east - west + 2 * room) * squeeze) / (north - south + 2 * room), most = Math.max(1, ...areas.map((a) => a.value));
      const [wide, high] = [root.clientWidth, root.clientWidth < 600 ? 420 : 540];
      return {
        geo: { map: "land", roam: true, scaleLimit: { min: 0.5, max: 200 }, aspectScale: squeeze, boundingCoords: [[west - room, north + room], [east + room, south - room]], silent: true,
          layoutCenter: ["50%", "50%"], layoutSize: ratio > 1 ? Math.min(wide, high * ratio) : Math.min(high, wide / ratio), itemStyle: { areaColor: c.paper, borderColor: c.line, borderWidth: 1 }, label: { show: false } },
        visualMap: { min: 0, max: most, dimension: 2, calculable: true, right: 8, bottom: 12, text: [words.value, ""], textStyle: { color: c.ink }, inRange: { color: ["#9fc5cf", "#f0e6d2", "#e0a070", "#9c3a21"] } },
        graphic: [{ type: "text", z: 10, left: 8, bottom: 6, silent: true, style: { text: `${told.day} · ${number(areas.length)} ${words.places} · ${words.land}`, fill: c.soft, fontSize: 11 } }],
        series: [{ type: "scatter", coordinateSystem: "geo", itemStyle: { borderColor: c.sheet, borderWidth: 1 }, data: areas.map((a) => ({ value: [a.lon, a.lat, a.value], area: a })),
          symbolSize: (v) => 5 + 19 * Math.sqrt(v[2] / most), tooltip: { formatter: ({ data }) => `${data.area.label}\n${said(data.area)}` } }],
      };
    }, { tall: true });
  }

  function scoreboard() {
    const named = (d) => told.names[d] ?? d, group = (g) => told.groups[g] ?? g;
    const dimensions = unique(told.rows.map((r) => r.dimension)).filter((d) => d !== "all");
    frame(({ by }) => `${words.share}: ${named(by)}`, (c, { by }) => {
      const of = told.rows.filter((r) => r.dimension === by && r.p30_published != null).slice(-31);
      return {
        grid: { ...grid, right: 150 }, ...axes(c, of.map((r) => group(r.group)), { value: { name: words.share, min: 0, max: 1, axisLabel: { color: c.soft, formatter: (v) => `${Math.round(v * 100)} %` } } }),
        series: [
          { type: "bar", barMaxWidth: 24, itemStyle: { color: c.sea, borderRadius: [0, 3, 3, 0] }, data: of.map((r) => ({ value: r.p30_published, row: r })),
            label: { show: true, position: "right", color: c.ink, formatter: ({ data: { row: r } }) => `${percent(r.p30_published)}  (${words.published} ${Math.round(r.published_share * 100)} %)` },
            tooltip: { formatter: ({ data: { row: r } }) => `${group(r.group)}\n${words.share} ${percent(r.p30_published)}\n${words.published} ${percent(r.published_share)}\n${number(r.days)}` } },
        ],
      };
    }, { tall: true, choices: [{ key: "by", label: words.label, values: dimensions.map((d) => ({ value: d, text: named(d) })) }] });
  }

  const ends = (values) => [Math.min(...values), Math.max(...values)];

  const draws = {
    funnel: () => funnel(told.rows), journey: () => funnel(told.rows.filter((r) => !r.breakdown || r.breakdown === "all")),
    overlap: () => upset(told.rows), portrait: () => portrait(told.rows), lift: () => lift(told.rows), reach: () => reach(told.rows),
    attribution: () => attribution(told.rows), concentration: () => concentration(areas),
    product, scoreboard,
  };
  draws[told.computation]?.();
  window.addEventListener("resize", () => drawn.forEach(({ chart }) => chart.resize()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(({ draw }) => draw()));
  window.addEventListener("beforeprint", () => drawn.forEach(({ chart }) => chart.resize()));
})();
