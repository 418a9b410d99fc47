/** `<gemel-plume>`: observed past, forecast with its doubt, thresholds, rain, and a what-if beside them. */

import { LitElement, html, nothing, svg, type TemplateResult } from "lit";
import { PlumeChart } from "./chart";
import { isPlume, type Plume, type View } from "./documents";
import { moment, number, percent, quantity, unitLabel } from "./format";
import { peak, type Aligned } from "./series";

type Shape = "dot" | "dash" | "fan" | "threshold" | "bar";

function swatch(shape: Shape, name: string): TemplateResult {
  const drawn = {
    dot: svg`<path d="M1 6h22" /><circle cx="12" cy="6" r="2.6" />`,
    dash: svg`<path d="M1 6h22" stroke-dasharray="5 4" />`,
    threshold: svg`<path d="M1 6h22" stroke-dasharray="6 4" />`,
    fan: svg`<rect class="wide" x="1" width="22" height="12" /><rect class="narrow" x="1" y="3" width="22" height="6" /><path d="M1 6h22" />`,
    bar: svg`<path d="M5 0v9M12 0v5M19 0v11" />`,
  }[shape];
  return html`<svg class="swatch ${name} ${shape}" viewBox="0 0 24 12" width="24" height="12" aria-hidden="true">${drawn}</svg>`;
}

export class GemelPlume extends LitElement {
  static override properties = {
    near: { state: true },
    index: { state: true },
    live: { state: true },
    held: { state: true },
  };

  declare near: boolean;
  declare index: number | null;
  /** The plume of the running twin, and the what-if that hides it while one is shown. */
  declare live: Plume | null;
  declare held: Plume | null;

  private chart: PlumeChart | null = null;
  private readonly watch = new ResizeObserver(() => this.chart?.resize());
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");

  constructor() {
    super();
    this.near = true;
    this.index = null;
    this.live = null;
    this.held = null;
  }

  // Light DOM: the page's style sheet applies, and the server's table stays where it is.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const data = this.querySelector('script[type="application/json"]')?.textContent;
    if (data) this.live = JSON.parse(data) as Plume;
    document.addEventListener("gemel:views", this.onViews);
    document.addEventListener("gemel:whatif", this.onWhatIf);
    this.scheme.addEventListener("change", this.rebuild);
    void document.fonts.ready.then(this.rebuild);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("gemel:views", this.onViews);
    document.removeEventListener("gemel:whatif", this.onWhatIf);
    this.scheme.removeEventListener("change", this.rebuild);
    this.watch.disconnect();
    this.chart?.destroy();
    this.chart = null;
  }

  private mine(views: View[]): Plume | null {
    return views.filter(isPlume).find((view) => view.id === this.id.replace(/^plume-/, "")) ?? null;
  }

  private readonly onViews = (event: CustomEvent<View[]>): void => {
    this.live = this.mine(event.detail) ?? this.live;
  };

  private readonly onWhatIf = (event: CustomEvent<{ views: View[] | null }>): void => {
    this.held = event.detail.views ? this.mine(event.detail.views) : null;
  };

  private readonly rebuild = (): void => {
    this.chart?.destroy();
    this.chart = null;
    this.requestUpdate();
  };

  get view(): Plume | null {
    return this.held ?? this.live;
  }

  private summary(view: Plume): string {
    const top = peak(view.baseline ?? view.quantiles);
    const changed = view.baseline ? peak(view.quantiles) : null;
    const words = (p: NonNullable<typeof top>) =>
      `highest median ${quantity(p.median, view.unit)} on ${moment(p.time)}, ` +
      `${percent(p.width)} interval ${number(p.lower)} to ${quantity(p.upper, view.unit)}`;
    return [
      `Chart of ${view.title}, issued ${moment(view.issued)} UTC`,
      top ? words(top) : "no forecast yet",
      changed ? `what-if: ${words(changed)}` : "",
      "the same numbers are in the table below",
    ].filter(Boolean).join("; ");
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const chart = this.chart;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!chart || !step) return;
    event.preventDefault();
    const [first, last] = chart.visible();
    const from = this.index ?? (step > 0 ? first - 1 : last + 1);
    chart.point(Math.min(last, Math.max(first, from + step)));
  };

  private reading(view: Plume, aligned: Aligned): TemplateResult {
    const index = this.index;
    if (index === null) {
      return html`<span class="hint">Point at the chart, or focus it and use the arrow keys, to read its values.</span>`;
    }
    const value = (name: string | null) => (name ? (aligned.columns.get(name)?.[index] ?? null) : null);
    const entry = (label: string, shown: unknown) => html`<span><span class="label">${label}</span> ${shown}</span>`;
    const fan = (label: string, f: Aligned["base"]) => {
      const median = value(f.median);
      const band = f.bands[0];
      if (median === null) return nothing;
      const interval = band ? html` <small>(${percent(band.width)}: ${number(value(band.lower))}–${number(value(band.upper))})</small>` : "";
      return entry(label, html`<b>${quantity(median, view.unit)}</b>${interval}`);
    };
    const plain = (label: string, name: string | null, unit: string) =>
      value(name) === null ? nothing : entry(label, html`<b>${quantity(value(name), unit)}</b>`);
    const driver = view.drivers[0];
    return html`<span class="when">${moment(new Date(aligned.times[index]! * 1000).toISOString())} UTC</span>
      ${plain("observed", "observed", view.unit)} ${plain("model", "fitted", view.unit)}
      ${fan(aligned.changed ? "baseline" : "forecast", aligned.base)}
      ${aligned.changed ? fan("what-if", aligned.changed) : nothing}
      ${driver ? plain(driver.title.toLowerCase(), aligned.driver, driver.unit) : nothing}`;
  }

  private legend(view: Plume): TemplateResult {
    const q = view.quantiles;
    const widths = [q.levels.length > 3 ? q.levels[q.levels.length - 2]! - q.levels[1]! : null, q.levels[q.levels.length - 1]! - q.levels[0]!];
    const intervals = widths.filter((w): w is number => w !== null).map(percent).join(" and ");
    const item = (shape: Shape, name: string, label: unknown) => html`<li>${swatch(shape, name)}<span>${label}</span></li>`;
    return html`<ul class="legend">
      ${item("dot", "observed", "observed")} ${view.fitted ? item("dash", "fitted", "model, one step ahead") : nothing}
      ${item("fan", "forecast", view.baseline ? html`baseline: median, ${percent(widths[1]!)} interval` : html`forecast: median, ${intervals} interval`)}
      ${view.baseline ? item("fan", "whatif", html`what-if: median, ${intervals} interval`) : nothing}
      ${view.drivers[0] ? item("bar", "driver", view.drivers[0].title.toLowerCase()) : nothing}
      ${view.thresholds.length ? item("threshold", "threshold", "threshold") : nothing}
    </ul>`;
  }

  private range(): TemplateResult {
    const choice = (near: boolean, label: string) => html`<label
      ><input type="radio" name="${this.id}-range" .checked=${this.near === near} @change=${() => (this.near = near)} /><span>${label}</span></label
    >`;
    return html`<fieldset class="segments">
      <legend class="sr-only">Time shown</legend>
      ${choice(true, "Near")}${choice(false, "All")}
    </fieldset>`;
  }

  protected override render(): unknown {
    const view = this.view;
    if (!view) return nothing;
    const driver = view.drivers[0];
    return html`<div class="plume-head">${this.legend(view)}${this.range()}</div>
      <div class="plume-units" aria-hidden="true">
        <span>${unitLabel(view.unit)}</span><span>${driver ? `${driver.title.toLowerCase()}, ${unitLabel(driver.unit)}` : ""}</span>
      </div>
      <div class="plume-focus" tabindex="0" role="group" aria-label="${view.title}: read values with the left and right arrow keys" @keydown=${this.onKey}>
        <div class="plume-canvas" role="img" aria-label=${this.summary(view)}></div>
      </div>
      <p class="plume-reading" aria-live=${this.matches(":focus-within") ? "polite" : "off"}>
        ${this.chart ? this.reading(view, this.chart.aligned) : nothing}
      </p>`;
  }

  protected override updated(changed: Map<string, unknown>): void {
    const view = this.view;
    const host = this.querySelector<HTMLElement>(".plume-canvas");
    if (!view || !host) return;
    const first = this.chart === null;
    if (first) {
      this.chart = new PlumeChart(host, (index) => (this.index = index));
      this.watch.observe(host);
    }
    if (first || changed.has("live") || changed.has("held") || changed.has("near")) {
      this.chart!.show(view, this.near);
      this.dataset["issued"] = view.issued;
      this.requestUpdate();
    }
  }
}

customElements.define("gemel-plume", GemelPlume);
