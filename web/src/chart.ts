/** The hydrograph itself: a uPlot figure of an aligned plume, coloured by the page's custom properties. */

import uPlot from "uplot";
import type { Plume } from "./documents";
import { number, quantity } from "./format";
import { align, BELOW_STRIP, ceiling, nearStart, type Aligned, type Fan } from "./series";

const FONT = '12px "Inter Variable", system-ui, sans-serif';
const DAY = 86400;

/** A custom property of the page as a colour; the canvas cannot read `var(--x)` itself. */
function ink(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || "gray";
}

const SHORT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });

/** Axis labels in UTC; the year stands at the first label and where it changes. */
function dates(_: uPlot, splits: number[], __: number, ___: number, step: number): string[] {
  let year = 0;
  return splits.map((split) => {
    const date = new Date(split * 1000);
    if (step >= 27 * DAY) return MONTH.format(date);
    const label = SHORT.format(date);
    const hour = step < DAY ? ` ${date.toISOString().slice(11, 16)}` : "";
    const changed = year !== 0 && date.getUTCFullYear() !== year;
    year = date.getUTCFullYear();
    return changed ? `${label} ${year}` : label + hour;
  });
}

/** One line of the chart: where its numbers are, and how it is drawn. */
interface Line {
  column: string;
  options: uPlot.Series;
}

function fanLines(fan: Fan, colour: string): Line[] {
  const edges = fan.bands.flatMap((band) => [band.upper, band.lower]);
  const hidden: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false } };
  return [
    ...edges.map((column) => ({ column, options: hidden })),
    { column: fan.median, options: { stroke: ink(colour), width: 2.25, points: { show: false } } },
  ];
}

/** Filled intervals; beside a what-if the baseline keeps only its widest one, so that the two can be told apart. */
function fanBands(fan: Fan, lines: Line[], colour: string, solo: boolean): uPlot.Band[] {
  const at = (column: string) => lines.findIndex((line) => line.column === column) + 1;
  const shown = solo ? fan.bands : fan.bands.slice(0, 1);
  return shown.map((band, depth) => ({
    series: [at(band.upper), at(band.lower)],
    fill: ink(depth === 0 ? `${colour}-wide` : `${colour}-narrow`),
  }));
}

function lines(aligned: Aligned): Line[] {
  const drawn: Line[] = [];
  if (aligned.driver) {
    const bars = uPlot.paths.bars!({ size: [0.72, 22, 1], align: 0 });
    drawn.push({
      column: aligned.driver,
      options: { scale: "driver", fill: ink("driver"), stroke: "transparent", width: 0, paths: bars, points: { show: false } },
    });
  }
  drawn.push(...fanLines(aligned.base, "forecast"));
  if (aligned.changed) drawn.push(...fanLines(aligned.changed, "whatif"));
  drawn.push({
    column: "fitted",
    options: { stroke: ink("fitted"), width: 1.5, dash: [5, 4], points: { show: false } },
  });
  drawn.push({
    column: "observed",
    options: { stroke: ink("observed"), width: 1.5, points: { show: true, size: 4.5, width: 0, fill: ink("observed") } },
  });
  return drawn;
}

/** Highest value that is drawn below the drivers' strip. */
function top(u: uPlot, view: Plume): number {
  const { min = 0, max = 0 } = u.scales.y!;
  return view.drivers[0] ? min! + (max! - min!) * BELOW_STRIP : max!;
}

function axes(view: Plume, narrow: boolean): uPlot.Axis[] {
  const shared = { stroke: ink("quiet"), font: FONT, ticks: { show: false } };
  const driver = view.drivers[0];
  const all: uPlot.Axis[] = [
    { ...shared, grid: { show: false }, values: dates, space: narrow ? 64 : 84, size: 34 },
    {
      ...shared,
      scale: "y",
      size: narrow ? 44 : 58,
      grid: { stroke: ink("line"), width: 1, filter: (u, splits) => splits.map((v) => (v <= top(u, view) ? v : null)) },
      filter: (u, splits) => splits.map((v) => (v <= top(u, view) ? v : null)),
      values: (_, splits) => splits.map((v) => (v === null ? "" : number(v))),
    },
  ];
  if (driver) {
    all.push({
      ...shared,
      scale: "driver",
      side: 1,
      size: narrow ? 30 : 44,
      grid: { show: false },
      space: 22,
      // Only the top of this axis carries bars: labels further down would name empty space.
      filter: (u, splits) => splits.map((v) => (v <= (u.scales.driver!.max ?? 0) * (1 - BELOW_STRIP) ? v : null)),
      values: (_, splits) => splits.map((v) => (v === null ? "" : number(v))),
    });
  }
  return all;
}

function text(u: uPlot, words: string, x: number, y: number, colour: string, align: CanvasTextAlign): void {
  const ratio = devicePixelRatio;
  u.ctx.font = `500 ${11.5 * ratio}px "Inter Variable", system-ui, sans-serif`;
  u.ctx.textAlign = align;
  u.ctx.textBaseline = "alphabetic";
  u.ctx.lineJoin = "round";
  u.ctx.lineWidth = 4 * ratio;
  u.ctx.strokeStyle = ink("paper");
  u.ctx.strokeText(words, x, y);
  u.ctx.fillStyle = colour;
  u.ctx.fillText(words, x, y);
}

function rule(u: uPlot, from: [number, number], to: [number, number], colour: string, dash: number[]): void {
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
  u.ctx.lineWidth = 1.25 * devicePixelRatio;
  u.ctx.strokeStyle = colour;
  u.ctx.moveTo(...from);
  u.ctx.lineTo(...to);
  u.ctx.stroke();
  u.ctx.restore();
}

/** Thresholds as labelled dashed lines; one that lies above the chart is named at its upper edge. */
function drawThresholds(u: uPlot, view: Plume): void {
  const { left, width } = u.bbox;
  const max = top(u, view);
  const above: string[] = [];
  for (const threshold of [...view.thresholds].sort((a, b) => a.value - b.value)) {
    const label = `${threshold.label} · ${quantity(threshold.value, view.unit)}`;
    if (threshold.value > max) {
      above.push(label);
      continue;
    }
    const y = u.valToPos(threshold.value, "y", true);
    rule(u, [left, y], [left + width, y], ink("threshold"), [6, 5]);
    text(u, label, left + 8 * devicePixelRatio, y - 6 * devicePixelRatio, ink("threshold"), "left");
  }
  // On a phone the two labels would collide; the table names every threshold anyway.
  if (above[0] && (u.width >= 560 || above.length === view.thresholds.length)) {
    const y = u.valToPos(max, "y", true) + 12 * devicePixelRatio;
    const x = u.valToPos(Date.parse(view.issued) / 1000, "x", true) - 10 * devicePixelRatio;
    text(u, `↑ ${above[0]}`, x, y, ink("threshold"), "right");
  }
}

function drawNow(u: uPlot, view: Plume): void {
  const { left, top, width, height } = u.bbox;
  const x = u.valToPos(Date.parse(view.issued) / 1000, "x", true);
  if (x < left || x > left + width) return;
  rule(u, [x, top], [x, top + height], ink("quiet"), [2, 3]);
  text(u, "now", x - 6 * devicePixelRatio, top + height - 8 * devicePixelRatio, ink("quiet"), "right");
}

function shadeForecast(u: uPlot, view: Plume): void {
  const { left, top, width, height } = u.bbox;
  const x = Math.max(left, u.valToPos(Date.parse(view.issued) / 1000, "x", true));
  u.ctx.fillStyle = ink("future");
  u.ctx.fillRect(x, top, Math.max(0, left + width - x), height);
}

function scales(view: Plume): uPlot.Scales {
  const values = view.thresholds.map((threshold) => threshold.value);
  return {
    x: { time: true },
    y: {
      range: (_, low, high) => {
        if (low === null || high === null) return [0, 1];
        return [low >= 0 ? 0 : low - (high - low) * 0.1, ceiling(high, values, view.drivers.length > 0)];
      },
    },
    driver: { dir: -1, range: (_, __, high) => [0, 4.2 * (high || 1)] },
  };
}

/** A drawn plume: hand it new documents with `show`, and tear it down with `destroy`. */
export class PlumeChart {
  private figure: uPlot | null = null;
  private signature = "";
  private view!: Plume;
  aligned!: Aligned;

  constructor(
    private readonly host: HTMLElement,
    private readonly onCursor: (index: number | null) => void,
  ) {}

  show(view: Plume, near: boolean): void {
    this.view = view;
    this.aligned = align(view);
    const drawn = lines(this.aligned);
    const signature = drawn.map((line) => line.column).join(" ") + view.unit;
    const data = [this.aligned.times, ...drawn.map((line) => this.aligned.columns.get(line.column)!)] as uPlot.AlignedData;
    if (this.figure && signature === this.signature) this.figure.setData(data, false);
    else this.build(drawn, data);
    this.signature = signature;
    const times = this.aligned.times;
    const end = times[times.length - 1] ?? 1;
    const start = near ? nearStart(view) : (times[0] ?? 0);
    // Half a step of air on both sides, so that bars and points at the edge are whole.
    this.figure!.setScale("x", { min: start - DAY / 2, max: end + DAY / 2 });
  }

  private build(drawn: Line[], data: uPlot.AlignedData): void {
    this.destroy();
    const { width, height } = this.size();
    const { base, changed } = this.aligned;
    const bands = [...fanBands(base, drawn, "forecast", !changed), ...(changed ? fanBands(changed, drawn, "whatif", true) : [])];
    this.figure = new uPlot(
      {
        width,
        height,
        tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "UTC"),
        padding: [8, 0, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: scales(this.view),
        axes: axes(this.view, width < 560),
        series: [{}, ...drawn.map((line) => line.options)],
        bands,
        hooks: {
          drawClear: [(u) => shadeForecast(u, this.view)],
          draw: [(u) => drawThresholds(u, this.view), (u) => drawNow(u, this.view)],
          setCursor: [(u) => this.onCursor(u.cursor.idx ?? null)],
        },
      },
      data,
      this.host,
    );
  }

  private size(): { width: number; height: number } {
    const width = Math.max(260, Math.floor(this.host.clientWidth));
    return { width, height: width < 560 ? 300 : Math.min(460, Math.max(340, Math.round(width * 0.46))) };
  }

  resize(): void {
    this.figure?.setSize(this.size());
  }

  /** Put the reading line at column `index`, as a pointer would. */
  point(index: number): void {
    const u = this.figure;
    if (!u) return;
    const left = u.valToPos(this.aligned.times[index]!, "x");
    u.setCursor({ left, top: u.over.clientHeight / 2 });
  }

  /** Columns that can be seen at the present range. */
  visible(): [number, number] {
    const [first, last] = this.figure?.series[0]?.idxs ?? [0, this.aligned.times.length - 1];
    return [first, last];
  }

  destroy(): void {
    this.figure?.destroy();
    this.figure = null;
  }
}
