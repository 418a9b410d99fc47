/** `<gemel-whatif>`: the twin's parameters as sliders; each change is asked of the engine and shown beside the baseline. */

import { LitElement, html, nothing, type TemplateResult } from "lit";
import { isAlerts, isPlume, type Alert, type Alerts, type Plume, type Problem, type Run, type View, type WhatIf } from "./documents";
import { moment, number, percent, quantity } from "./format";
import { peak, type Peak } from "./series";

const PAUSE = 300;
const PATIENCE = 10;

interface Answer {
  run: Run;
  views: View[];
  seconds: number;
}

/** One parameter: its slider and its number box, kept equal. */
class Control {
  readonly name: string;
  readonly usual: number;
  private readonly range: HTMLInputElement;
  private readonly box: HTMLInputElement;
  private readonly reset: HTMLButtonElement;

  constructor(
    private readonly row: HTMLElement,
    changed: () => void,
  ) {
    this.name = row.dataset["name"]!;
    this.usual = Number(row.dataset["default"]);
    this.range = row.querySelector<HTMLInputElement>('input[type="range"]')!;
    this.box = row.querySelector<HTMLInputElement>('input[type="number"]')!;
    this.reset = row.querySelector<HTMLButtonElement>("button")!;
    this.range.addEventListener("input", () => this.take(this.range.value, changed));
    this.box.addEventListener("input", () => {
      if (this.box.value !== "" && this.box.validity.valid) this.take(this.box.value, changed);
    });
    this.reset.addEventListener("click", () => {
      this.set(this.usual);
      this.range.focus();
      changed();
    });
    for (const input of [this.range, this.box]) input.disabled = false;
    this.set(this.value);
  }

  get value(): number {
    return Number(this.range.value);
  }

  get changed(): boolean {
    return this.value !== this.usual;
  }

  private take(value: string, changed: () => void): void {
    this.set(Number(value));
    changed();
  }

  set(value: number): void {
    this.range.value = String(value);
    if (Number(this.box.value) !== value) this.box.value = String(value);
    const { min, max } = this.range;
    const share = (value - Number(min)) / (Number(max) - Number(min) || 1);
    this.row.style.setProperty("--share", `${share * 100}%`);
    this.row.classList.toggle("changed", this.changed);
    this.reset.hidden = !this.changed;
    this.range.setAttribute("aria-valuetext", this.row.dataset["unit"] ? `${value} ${this.row.dataset["unit"]}` : `${value}`);
  }
}

export class GemelWhatif extends LitElement {
  static override properties = {
    state: { state: true },
    answer: { state: true },
    problem: { state: true },
  };

  declare state: "idle" | "asking" | "answered" | "failed";
  declare answer: Answer | null;
  declare problem: Problem | null;

  private controls: Control[] = [];
  private timer = 0;
  private asking: AbortController | null = null;
  private prior: Alert[] = [];

  constructor() {
    super();
    this.state = "idle";
    this.answer = null;
    this.problem = null;
  }

  // Only the answer is drawn here; the sliders come from the server and work as plain form fields.
  protected override createRenderRoot(): HTMLElement {
    return this.querySelector<HTMLElement>("[data-answer]") ?? this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const rows = [...this.querySelectorAll<HTMLElement>("[data-name]")];
    this.controls = rows.map((row) => new Control(row, () => this.changed()));
    this.querySelector("form")?.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("gemel:views", this.onViews);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("gemel:views", this.onViews);
    this.asking?.abort();
    clearTimeout(this.timer);
  }

  private readonly onViews = (event: CustomEvent<View[]>): void => {
    this.prior = event.detail.filter(isAlerts).flatMap((view: Alerts) => view.alerts);
  };

  private get parameters(): Record<string, number> {
    return Object.fromEntries(this.controls.filter((c) => c.changed).map((c) => [c.name, c.value]));
  }

  private tell(views: View[] | null): void {
    const detail: WhatIf = { parameters: this.parameters, views };
    document.dispatchEvent(new CustomEvent("gemel:whatif", { detail }));
  }

  private changed(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
    if (Object.keys(this.parameters).length === 0) {
      this.state = "idle";
      this.tell(null);
      return;
    }
    document.dispatchEvent(new CustomEvent("gemel:whatif", { detail: { parameters: this.parameters, views: this.answer?.views ?? null } }));
    this.state = "asking";
    this.timer = window.setTimeout(() => void this.ask(), PAUSE);
  }

  private readonly restore = (): void => {
    this.controls.forEach((control) => control.set(control.usual));
    this.answer = null;
    this.changed();
  };

  private async ask(): Promise<void> {
    const asking = new AbortController();
    this.asking = asking;
    const from = performance.now();
    try {
      const answer = await this.post(asking.signal);
      this.answer = { ...answer, seconds: (performance.now() - from) / 1000 };
      this.state = "answered";
      this.tell(answer.views);
    } catch (error) {
      if (asking.signal.aborted) return;
      this.problem = (error as { problem?: Problem }).problem ?? {
        title: "No answer",
        status: 0,
        detail: "The engine could not be reached.",
        hint: "Check that it is still running; the sliders work again once it is.",
      };
      this.state = "failed";
    }
  }

  /** Ask until the run is over; steps already done are reused, so asking again costs nothing. */
  private async post(signal: AbortSignal): Promise<{ run: Run; views: View[] }> {
    const address = `${this.getAttribute("post")}?wait=${PATIENCE}`;
    const body = JSON.stringify({ parameters: this.parameters });
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    for (;;) {
      const response = await fetch(address, { method: "POST", headers, body, signal });
      const document = (await response.json()) as Run & Problem;
      if (!response.ok) throw Object.assign(new Error("problem"), { problem: document });
      if (document.state === "finished" && document.views) return { run: document, views: document.views };
      if (document.state === "failed" || document.state === "cancelled") throw Object.assign(new Error("run"), { problem: failure(document) });
      await new Promise((resume) => setTimeout(resume, 500));
    }
  }

  protected override render(): unknown {
    if (this.state === "idle") return html`<p class="hint">Move a slider: the engine runs the twin again and draws the result beside the baseline.</p>`;
    if (this.state === "failed") return html`${this.failed()}${this.back()}`;
    return html`<div class=${this.state === "asking" ? "answer-body waiting" : "answer-body"} aria-busy=${this.state === "asking"}>
        ${this.answer ? this.compared(this.answer) : html`<p class="hint">Computing…</p>`}
      </div>
      ${this.back()}`;
  }

  private back(): TemplateResult {
    return html`<button type="button" class="quiet-button" data-back @click=${this.restore}>Back to live</button>`;
  }

  private failed(): TemplateResult {
    const problem = this.problem;
    return html`<div class="problem"><p><strong>${problem?.title}</strong></p>
      <p>${problem?.detail}</p>
      ${problem?.hint ? html`<p class="hint">${problem.hint}</p>` : nothing}</div>`;
  }

  private compared(answer: Answer): TemplateResult {
    const plume = answer.views.find(isPlume);
    return html`${plume ? peaks(plume) : nothing} ${this.chances(answer.views)}
      <p class="took">
        ${this.state === "asking" ? "Computing…" : html`Answered in <b>${seconds(answer.seconds)}</b>${reused(answer.run)}`} ·
        <a href="/runs/${answer.run.id}">run</a>${plume ? html` · chart held at ${moment(plume.issued)} UTC` : nothing}
      </p>`;
  }

  private chances(views: View[]): TemplateResult | typeof nothing {
    const after = views.filter(isAlerts).flatMap((view) => view.alerts);
    const rows = after.flatMap((alert) => {
      const was = this.prior.find((b) => b.event === alert.event && b.level === alert.level && b.place === alert.place);
      if (!was || percent(was.probability) === percent(alert.probability)) return [];
      return [html`<li>${alert.level} ${alert.event}: ${percent(was.probability)} → <b>${percent(alert.probability)}</b></li>`];
    });
    return rows.length ? html`<ul class="chances">${rows}</ul>` : nothing;
  }
}

function failure(run: Run): Problem {
  return {
    title: run.state === "cancelled" ? "The run was cancelled" : "The run failed",
    status: 0,
    detail: run.error?.message ?? `Run ${run.id} ended as ${run.state}.`,
    hint: run.error?.hint ?? null,
  };
}

function seconds(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)}\u00a0s`;
}

function reused(run: Run): string {
  const cached = run.steps.filter((step) => step.cached).length;
  return cached ? `, ${cached} of ${run.steps.length} steps reused` : "";
}

function peaks(plume: Plume): TemplateResult {
  const after = peak(plume.quantiles);
  const before = plume.baseline ? peak(plume.baseline) : null;
  if (!after) return html`<p class="hint">The run has no forecast to show.</p>`;
  const interval = (p: Peak) => `${number(p.lower)}–${number(p.upper)}`;
  const change = before ? after.median - before.median : 0;
  const sign = change > 0 ? "+" : "";
  const share = before && before.median > 0 ? ` (${sign}${Math.round((100 * change) / before.median)}\u00a0%)`.replace("-", "−") : "";
  return html`<p class="peak">
      <span class="label">Highest median</span>
      <span class="figure">${before ? html`<span class="was">${number(before.median)}</span> → ` : nothing}<b>${quantity(after.median, plume.unit)}</b></span>
      ${before ? html`<span class="change">${sign}${quantity(change, plume.unit)}${share}</span>` : nothing}
    </p>
    <p class="interval">
      ${percent(after.width)} interval <b>${interval(after)}</b>${before ? html`, baseline ${interval(before)}` : nothing}
    </p>`;
}

customElements.define("gemel-whatif", GemelWhatif);
