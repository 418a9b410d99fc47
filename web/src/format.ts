/** Numbers, units and times as people read them; the server's `_format.py` follows the same cases. */

const SUPERSCRIPT: Record<string, string> = {
  "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
};
const SPELLED: Record<string, string> = { "1": "", degC: "°C", degF: "°F", percent: "%", degree: "°" };

/** A CF unit such as `m3 s-1` as `m³/s`; what cannot be read is given back unchanged. */
export function unitLabel(unit: string | null | undefined): string {
  if (!unit) return "";
  const spelled = SPELLED[unit];
  if (spelled !== undefined) return spelled;
  const above: string[] = [];
  const below: string[] = [];
  for (const part of unit.split(/\s+/)) {
    const match = /^([A-Za-zµ°%]+)(-?)([1-9]?)$/.exec(part);
    if (!match || (match[2] && !match[3])) return unit;
    const name = SPELLED[match[1]!] ?? match[1]!;
    const power = match[3] && match[3] !== "1" ? SUPERSCRIPT[match[3]]! : "";
    (match[2] ? below : above).push(name + power);
  }
  const top = above.join(" ") || "1";
  if (below.length === 0) return top;
  return `${top}/${below.length > 1 ? `(${below.join(" ")})` : below[0]}`;
}

/** Three significant digits without trailing zeros, no exponent between 0.001 and a million, true minus, thin groups. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2).replace("e+", "e").replaceAll("-", "−");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Number(size.toPrecision(3)))));
  const [whole, padded] = size.toFixed(Math.min(digits, 5)).split(".");
  const fraction = padded?.replace(/0+$/, "");
  const grouped = whole!.length > 4 ? whole!.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole!;
  return (value < 0 ? "−" : "") + grouped + (fraction ? `.${fraction}` : "");
}

/** A number with its unit, joined by a space that does not break. */
export function quantity(value: number | null | undefined, unit: string): string {
  const label = unitLabel(unit);
  return label ? `${number(value)}\u00a0${label}` : number(value);
}

export function percent(share: number): string {
  const value = share * 100;
  if (value > 0 && value < 1) return "<1\u00a0%";
  if (value > 99 && value < 100) return ">99\u00a0%";
  return `${Math.round(value)}\u00a0%`.replace("-", "−");
}

const DAY = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC",
});

/** `Thu 14 Mar 2019`, followed by the hour when it is not midnight; always UTC. */
export function moment(iso: string): string {
  const date = new Date(iso);
  const day = DAY.format(date).replace(",", "");
  const clock = date.toISOString().slice(11, 16);
  return clock === "00:00" ? day : `${day} ${clock}`;
}

export function ago(seconds: number): string {
  if (seconds < 1.5) return "just now";
  if (seconds < 100) return `${Math.round(seconds)}\u00a0s ago`;
  if (seconds < 5940) return `${Math.round(seconds / 60)}\u00a0min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)}\u00a0h ago`;
  return `${Math.round(seconds / 86400)}\u00a0d ago`;
}
