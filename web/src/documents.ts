/** The JSON documents of `/api/v1` that the page is drawn from. */

export type Values = (number | null)[];

export interface Series {
  time: string[];
  values: Values;
}

export interface Quantiles {
  time: string[];
  levels: number[];
  /** One row per level, one column per time. */
  values: Values[];
}

export interface Threshold {
  label: string;
  value: number;
  return_period: number | null;
}

export interface Driver extends Series {
  name: string;
  title: string;
  unit: string;
}

export interface Plume {
  id: string;
  kind: "plume";
  title: string;
  unit: string;
  variable: string;
  issued: string;
  observed: Series;
  fitted: Series | null;
  quantiles: Quantiles;
  baseline: Quantiles | null;
  thresholds: Threshold[];
  drivers: Driver[];
}

export interface Alert {
  event: string;
  place: string;
  level: string;
  probability: number;
  limit: number;
}

export interface Alerts {
  id: string;
  kind: "alerts";
  alerts: Alert[];
}

export type View = Plume | Alerts | { id: string; kind: "other" };

export interface Problem {
  title: string;
  status: number;
  detail: string;
  code?: string;
  hint?: string | null;
}

export interface Run {
  id: string;
  state: "queued" | "running" | "finished" | "failed" | "cancelled";
  started: string | null;
  ended: string | null;
  steps: { id: string; state: string; cached: boolean; seconds: number | null }[];
  error: { code: string; message: string; hint: string | null } | null;
  views?: View[];
}

/** What the what-if panel tells the rest of the page. */
export interface WhatIf {
  parameters: Record<string, number>;
  views: View[] | null;
}

export function isPlume(view: View): view is Plume {
  return view.kind === "plume";
}

export function isAlerts(view: View): view is Alerts {
  return view.kind === "alerts";
}

declare global {
  interface DocumentEventMap {
    "gemel:views": CustomEvent<View[]>;
    "gemel:whatif": CustomEvent<WhatIf>;
    "gemel:live": CustomEvent<void>;
  }
}
