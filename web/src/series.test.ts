import { expect, it } from "vitest";
import type { Plume } from "./documents";
import { align, BELOW_STRIP, ceiling, nearStart, peak } from "./series";

const day = (n: number) => `2020-01-0${n}T00:00:00Z`;
const fan = (values: (number | null)[][]) => ({ time: [day(4), day(5)], levels: [0.05, 0.5, 0.95], values });
const plume: Plume = {
  id: "p", kind: "plume", title: "Flow", unit: "m3 s-1", variable: "flow", issued: day(3),
  observed: { time: [day(1), day(2), day(3)], values: [1, null, 3] },
  fitted: null,
  quantiles: fan([[1, 2], [4, 3], [8, 9]]),
  baseline: null,
  thresholds: [],
  drivers: [],
};

it("lays everything on one axis and keeps missing apart from not asked", () => {
  const { times, columns, changed } = align(plume);
  expect(times).toHaveLength(5);
  expect(columns.get("observed")).toEqual([1, null, 3, undefined, undefined]);
  expect(columns.get("base1")).toEqual([undefined, undefined, undefined, 4, 3]);
  expect(changed).toBeNull();
});

it("draws the baseline as base and the answer as changed", () => {
  const { columns, base, changed } = align({ ...plume, baseline: fan([[0, 0], [2, 2], [5, 5]]) });
  expect(columns.get(base.median)!.at(-1)).toBe(2);
  expect(columns.get(changed!.median)!.at(-1)).toBe(3);
  expect(base.bands[0]!.width).toBeCloseTo(0.9);
});

it("finds the highest median with the interval of that time", () => {
  expect(peak(plume.quantiles)).toMatchObject({ time: day(4), median: 4, lower: 1, upper: 8 });
  expect(peak(fan([[null, null], [null, null], [null, null]]))).toBeNull();
});

it("shows three horizons of past when there is so much", () => {
  expect(nearStart(plume)).toBe(Date.parse(day(1)) / 1000);
});

it("makes room for the next threshold only when it is near", () => {
  expect(ceiling(100, [150], false) * 0.94).toBeGreaterThan(150);
  expect(ceiling(100, [500], false)).toBeLessThan(150);
  expect(ceiling(100, [], true) * BELOW_STRIP).toBeCloseTo(108);
});
