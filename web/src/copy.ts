/** `<gemel-copy>`: the same question in Python, curl and the terminal; follows the sliders. */

import type { WhatIf } from "./documents";

type Style = "kwargs" | "json" | "flags";

/** The changed parameters written the way each language wants them. */
export function spell(style: Style, parameters: Record<string, number>): string {
  const entries = Object.entries(parameters);
  if (style === "json") return JSON.stringify({ parameters });
  if (style === "kwargs") return entries.map(([name, value]) => `${name}=${value}`).join(", ");
  return entries.map(([name, value]) => ` --set ${name}=${value}`).join("");
}

export class GemelCopy extends HTMLElement {
  connectedCallback(): void {
    this.querySelectorAll<HTMLElement>("[data-origin]").forEach((part) => (part.textContent = location.origin));
    this.querySelectorAll<HTMLElement>("figure").forEach((figure) => this.addButton(figure));
    document.addEventListener("gemel:whatif", this.onWhatIf);
  }

  disconnectedCallback(): void {
    document.removeEventListener("gemel:whatif", this.onWhatIf);
  }

  private readonly onWhatIf = (event: CustomEvent<WhatIf>): void => {
    this.querySelectorAll<HTMLElement>("[data-arguments]").forEach((part) => {
      part.textContent = spell(part.dataset["arguments"] as Style, event.detail.parameters);
    });
  };

  private addButton(figure: HTMLElement): void {
    const language = figure.querySelector("figcaption")?.textContent?.trim() ?? "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet-button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy as ${language}`);
    button.addEventListener("click", () => void this.copy(figure, button));
    figure.querySelector("figcaption")?.append(button);
  }

  private async copy(figure: HTMLElement, button: HTMLButtonElement): Promise<void> {
    const code = figure.querySelector("code")!;
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      button.textContent = "Copied";
    } catch {
      // Without a secure context the clipboard is closed: select the text, so that one key copies it.
      getSelection()?.selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }
}

customElements.define("gemel-copy", GemelCopy);
