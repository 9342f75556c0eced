import assert from "node:assert/strict";
import { test } from "node:test";
import * as minify from "./minify.js";

test("css loses comments and space, and keeps strings", () => {
  assert.equal(minify.css('/* a */\na::before {\n  content: "  ; } ";\n  color: red;\n}\n'), 'a::before{content: "  ; } ";color: red}');
});

test("a comment sign inside a string is left alone", () => {
  const text = 'a::before { content: "/* x */"; }';
  assert.equal(minify.css(text), text);
});

test("html keeps pre as it is", () => {
  assert.equal(minify.html("<main>\n  <!-- no -->\n  <pre>\n  a\n</pre>\n</main>"), "<main>\n<pre>\n  a\n</pre>\n</main>\n");
});
