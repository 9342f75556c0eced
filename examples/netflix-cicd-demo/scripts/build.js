// Builds src/ into dist/: style sheets and scripts get names with the hash of
// their content, pages refer to them by those names, and everything is made a
// little smaller. No dependencies.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import * as minify from "./minify.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "src");
const target = join(root, "dist");
const commit = process.env.CODEBUILD_RESOLVED_SOURCE_VERSION ?? "development";
const version = /^[0-9a-f]{40,}$/.test(commit) ? commit.slice(0, 7) : commit;

/** Lists the files below a folder, in a stable order. */
async function files(dir) {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  return entries.filter((e) => e.isFile()).map((e) => join(e.parentPath ?? e.path, e.name)).sort();
}

/** The path of a file below src/, as a page writes it. */
const key = (file) => relative(source, file).split(sep).join("/");

const all = await files(source);
const pages = all.filter((f) => extname(f) === ".html");
const assets = all.filter((f) => extname(f) !== ".html");

await rm(target, { recursive: true, force: true });

const renamed = new Map();
for (const file of assets) {
  let content = await readFile(file);
  if (extname(file) === ".css") content = Buffer.from(minify.css(content.toString()));
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const name = `${basename(file, extname(file))}.${hash}${extname(file)}`;
  renamed.set(key(file), `assets/${name}`);
  await mkdir(join(target, "assets"), { recursive: true });
  await writeFile(join(target, "assets", name), content);
}

for (const file of pages) {
  let text = await readFile(file, "utf8");
  for (const [from, to] of renamed) text = text.replaceAll(`"/${from}"`, `"/${to}"`);
  text = text.replaceAll("%VERSION%", version);
  const out = join(target, key(file));
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, minify.html(text));
}

console.log(`built ${pages.length} pages and ${assets.length} assets into dist (${version})`);
