/** `<gemel-age seconds of>`: how long ago something was; counts on until `of` names a newer thing. */

import { ago } from "./format";

export class GemelAge extends HTMLElement {
  static observedAttributes = ["seconds", "of"];
  private since = 0;
  private timer = 0;

  connectedCallback(): void {
    this.timer = window.setInterval(() => this.show(), 1000);
  }

  disconnectedCallback(): void {
    clearInterval(this.timer);
  }

  attributeChangedCallback(): void {
    this.since = Date.now() - Number(this.getAttribute("seconds")) * 1000;
    this.show();
  }

  private show(): void {
    if (!this.hasAttribute("seconds")) return;
    const words = ago((Date.now() - this.since) / 1000);
    if (this.textContent !== words) this.textContent = words;
  }
}

customElements.define("gemel-age", GemelAge);
