import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const root = import.meta.dirname;

// files lists what decides the built page, in the order of their names. web_test.go lists the same.
function files(): string[] {
  const below = (dir: string): string[] =>
    readdirSync(join(root, dir), { withFileTypes: true }).flatMap((e) =>
      e.isDirectory() ? below(join(dir, e.name)) : [join(dir, e.name)],
    );
  return ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", ...below("src"), ...below("public")].sort();
}

// digest writes dist/source.sha256, by which a test without node finds out whether dist was built from this source.
function digest(): Plugin {
  return {
    name: "source-digest",
    generateBundle() {
      const all = createHash("sha256");
      for (const file of files()) {
        const sum = createHash("sha256").update(readFileSync(join(root, file))).digest("hex");
        all.update(`${sum}  ${file.replaceAll("\\", "/")}\n`);
      }
      this.emitFile({ type: "asset", fileName: "source.sha256", source: all.digest("hex") + "\n" });
    },
  };
}

// licences writes dist/licences.json: the licences of the libraries that the page contains. internal/notices reads it.
function licences(): Plugin {
  const read = (file: string) => readFileSync(join(root, file), "utf8");
  return {
    name: "licences",
    generateBundle() {
      const list = Object.keys(JSON.parse(read("package.json")).dependencies).map((name) => {
        const { version, license: licence } = JSON.parse(read(`node_modules/${name}/package.json`));
        return { name, version, licence, text: read(`node_modules/${name}/LICENSE`).trim() };
      });
      this.emitFile({ type: "asset", fileName: "licences.json", source: JSON.stringify(list, null, 1) + "\n" });
    },
  };
}

export default defineConfig({
  base: "./", // the page may be behind a proxy that adds a path
  plugins: [digest(), licences()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: URLs
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000, // web_test.go limits the size of all files
  },
  server: {
    // npm run dev shows the page beside `voxelstream run --http :8080`.
    proxy: {
      "/api": "http://127.0.0.1:8080",
      "/v1": "http://127.0.0.1:8080",
      "/v2": "http://127.0.0.1:8080",
      "/live": { target: "ws://127.0.0.1:8080", ws: true },
    },
  },
});
