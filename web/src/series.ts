/** A plume laid out on one common time axis, as the chart needs it. */

import type { Plume, Quantiles } from "./documents";

/** `undefined` means "nothing was asked here", `null` "asked, and missing". */
export type Column = (number | null | undefined)[];

export interface Band {
  /** Positions in `columns` of the lower and upper edge. */
  lower: string;
  upper: string;
  /** 0.9 for the band between the 5 % and the 95 % quantile. */
  width: number;
}

export interface Fan {
  bands: Band[];
  median: string;
}

export interface Aligned {
  times: number[];
  columns: Map<string, Column>;
  /** The forecast as it stands, and the what-if beside it when there is one. */
  base: Fan;
  changed: Fan | null;
  driver: string | null;
}

function seconds(time: string): number {
  return Date.parse(time) / 1000;
}

export function middle(levels: number[]): number {
  let best = 0;
  levels.forEach((level, i) => {
    if (Math.abs(level - 0.5) < Math.abs(levels[best]! - 0.5)) best = i;
  });
  return best;
}

function fan(prefix: string, levels: number[]): Fan {
  const bands: Band[] = [];
  const last = levels.length - 1;
  for (let i = 0; i < Math.floor(levels.length / 2); i++) {
    bands.push({
      lower: `${prefix}${i}`,
      upper: `${prefix}${last - i}`,
      width: levels[last - i]! - levels[i]!,
    });
  }
  return { bands, median: `${prefix}${middle(levels)}` };
}

/** Everything in the plume on the sorted union of its times. */
export function align(view: Plume): Aligned {
  const base = view.baseline ?? view.quantiles;
  const changed = view.baseline ? view.quantiles : null;
  const driver = view.drivers[0] ?? null;
  const parts: [string, string[], (number | null)[]][] = [["observed", view.observed.time, view.observed.values]];
  parts.push(["fitted", view.fitted?.time ?? [], view.fitted?.values ?? []]);
  if (driver) parts.push(["driver", driver.time, driver.values]);
  const spread = (prefix: string, q: Quantiles) =>
    q.levels.forEach((_, i) => parts.push([`${prefix}${i}`, q.time, q.values[i] ?? []]));
  spread("base", base);
  if (changed) spread("changed", changed);
  const times = [...new Set(parts.flatMap(([, time]) => time.map(seconds)))].sort((a, b) => a - b);
  const place = new Map(times.map((time, i) => [time, i]));
  const columns = new Map<string, Column>();
  for (const [name, time, values] of parts) {
    const column: Column = new Array(times.length).fill(undefined);
    time.forEach((t, i) => (column[place.get(seconds(t))!] = values[i] ?? null));
    columns.set(name, column);
  }
  return {
    times,
    columns,
    base: fan("base", base.levels),
    changed: changed ? fan("changed", changed.levels) : null,
    driver: driver ? "driver" : null,
  };
}

export interface Peak {
  time: string;
  median: number;
  lower: number | null;
  upper: number | null;
  /** Width of the interval `lower`..`upper`, 0.9 for 5 % to 95 %. */
  width: number;
}

/** Where the median stands highest, with the widest interval at that time; null without values. */
export function peak(q: Quantiles): Peak | null {
  const row = q.values[middle(q.levels)] ?? [];
  let at = -1;
  row.forEach((value, i) => {
    if (value !== null && (at < 0 || value > row[at]!)) at = i;
  });
  if (at < 0) return null;
  const last = q.levels.length - 1;
  return {
    time: q.time[at]!,
    median: row[at]!,
    lower: q.values[0]?.[at] ?? null,
    upper: q.values[last]?.[at] ?? null,
    width: q.levels[last]! - q.levels[0]!,
  };
}

/** First second of the near view: three horizons of past before the forecast. */
export function nearStart(view: Plume): number {
  const forecast = view.quantiles.time;
  const issued = seconds(view.issued);
  const end = forecast.length ? seconds(forecast[forecast.length - 1]!) : issued;
  const first = view.observed.time.length ? seconds(view.observed.time[0]!) : issued;
  return Math.max(first, issued - 3 * Math.max(end - issued, 86400));
}

/** Share of the height below the strip where drivers hang from the top. */
export const BELOW_STRIP = 0.74;

/** Upper edge of the value axis: the data and, when it is near, the next threshold stay below the drivers' strip. */
export function ceiling(highest: number, thresholds: number[], strip: boolean): number {
  const next = thresholds.filter((value) => value > highest).sort((a, b) => a - b)[0];
  const shown = next !== undefined && next <= highest * 1.9 ? next : highest;
  return (shown > 0 ? shown * 1.08 : 1) / (strip ? BELOW_STRIP : 0.94);
}
