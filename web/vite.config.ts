import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** Everything that ends up in the bundle with somebody else's licence. */
const SHIPPED = [
  "htmx.org", "lit", "lit-element", "lit-html", "@lit/reactive-element", "uplot",
  "@fontsource-variable/inter", "@fontsource-variable/newsreader",
];

function notice(name: string): string {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((f) => `${folder}/${f}`).find(existsSync);
  const text = file ? readFileSync(file, "utf8").trim() : `Licensed under ${license}.`;
  return `${name} ${version} (${license})\n${"-".repeat(72)}\n${text}\n`;
}

function notices(): Plugin {
  return {
    name: "third-party-notices",
    generateBundle() {
      const source = "Third-party software and fonts in this folder\n\n" + SHIPPED.map(notice).join("\n\n");
      this.emitFile({ type: "asset", fileName: "THIRD_PARTY_LICENSES.txt", source });
    },
  };
}

export default defineConfig({
  plugins: [notices()],
  base: "./",
  build: {
    outDir: "../src/gemel/ui/static/dist",
    emptyOutDir: true,
    // A data: address would be stopped by the pages' own policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: {
      input: { gemel: "src/main.ts" },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
