/** `<gemel-live>`: keeps the page in step with its twin or run, and says so when the engine is out of reach. */

import { LitElement, html } from "lit";
import htmx from "htmx.org";
import type { View } from "./documents";

/** Events may come faster than anyone reads: at most one refresh a second, one spoken line in ten. */
const REFRESH = 1000;
const SPEAK = 10_000;
/** Without any event the page still looks now and then, so that "late" shows when a source falls silent. */
const LOOK = 20_000;

type Link = "connecting" | "live" | "lost";
const WORDS: Record<Link, string> = {
  connecting: "connecting",
  live: "live",
  lost: "connection lost, retrying",
};

export class GemelLive extends LitElement {
  static override properties = { link: { state: true } };
  declare link: Link;

  private source: EventSource | null = null;
  private retry = 0;
  private pending = 0;
  private look = 0;
  private last = 0;
  private spoken = 0;
  private busy = false;

  constructor() {
    super();
    this.link = "connecting";
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    this.replaceChildren();
    super.connectedCallback();
    this.open();
    this.look = window.setInterval(() => this.soon(), LOOK);
    document.addEventListener("visibilitychange", this.onVisible);
    window.addEventListener("pagehide", this.close);
    window.addEventListener("pageshow", this.onShow);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.close();
    clearInterval(this.look);
    document.removeEventListener("visibilitychange", this.onVisible);
    window.removeEventListener("pagehide", this.close);
    window.removeEventListener("pageshow", this.onShow);
  }

  private open(): void {
    this.close();
    const source = new EventSource(this.getAttribute("events")!);
    this.source = source;
    source.onopen = () => {
      this.link = "live";
      this.soon();
    };
    source.onmessage = () => this.soon();
    source.onerror = () => {
      this.link = "lost";
      // The browser retries by itself unless the server refused; then it is up to us.
      if (source.readyState === EventSource.CLOSED) this.retry = window.setTimeout(() => this.open(), 3000);
    };
  }

  private readonly close = (): void => {
    clearTimeout(this.retry);
    clearTimeout(this.pending);
    this.pending = 0;
    this.source?.close();
    this.source = null;
  };

  private readonly onShow = (event: PageTransitionEvent): void => {
    if (event.persisted) this.open();
  };

  private readonly onVisible = (): void => {
    if (!document.hidden) this.soon();
  };

  private soon(): void {
    if (this.pending || document.hidden) return;
    const wait = Math.max(0, this.last + REFRESH - Date.now());
    this.pending = window.setTimeout(() => void this.refresh(), wait);
  }

  private async refresh(): Promise<void> {
    this.pending = 0;
    if (this.busy) return this.soon();
    this.busy = true;
    this.last = Date.now();
    try {
      htmx.trigger(document.body, "gemel:refresh");
      document.querySelectorAll("details[open] [data-refresh]").forEach((part) => htmx.trigger(part, "gemel:part"));
      await this.fetchViews();
      this.speak();
    } catch {
      // The event stream notices a lost engine by itself and says so.
    } finally {
      this.busy = false;
    }
  }

  private async fetchViews(): Promise<void> {
    const address = this.getAttribute("views");
    if (!address) return;
    const response = await fetch(address, { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const { views } = (await response.json()) as { views: View[] };
    document.dispatchEvent(new CustomEvent("gemel:views", { detail: views }));
  }

  private speak(): void {
    const line = document.querySelector("[data-spoken]");
    const words = document.querySelector("[data-speak]")?.getAttribute("data-speak");
    if (!line || !words || Date.now() - this.spoken < SPEAK || line.textContent === words) return;
    this.spoken = Date.now();
    line.textContent = words;
  }

  protected override render(): unknown {
    return html`<span class="link ${this.link}" role="status"><span class="beacon" aria-hidden="true"></span>${WORDS[this.link]}</span>`;
  }

  protected override updated(): void {
    document.documentElement.dataset["link"] = this.link;
  }
}

customElements.define("gemel-live", GemelLive);
