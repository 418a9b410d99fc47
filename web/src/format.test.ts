import { describe, expect, it } from "vitest";
import cases from "../../tests/ui/format_cases.json";
import { ago, moment, number, percent, unitLabel } from "./format";

const functions: Record<string, (value: never) => string> = { unit: unitLabel, number, percent, moment, ago };

describe.each(Object.entries(cases))("%s is written as the server writes it", (kind, pairs) => {
  it.each(pairs as [unknown, string][])("%s → %s", (value, shown) => {
    expect(functions[kind]!(value as never)).toBe(shown);
  });
});
