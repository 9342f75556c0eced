// Small and safe minifiers: they take out comments and white space where that
// cannot change what the text means, and leave everything else alone.

/** Takes comments, indentation and blank lines out of a style sheet. */
export function css(text) {
  return outsideStrings(text, /\/\*[\s\S]*?\*\//g, (plain) =>
    plain.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\s+/g, " ").replace(/ ?([{};,]) ?/g, "$1").replace(/;}/g, "}"),
  ).trim();
}

/** Takes comments and indentation out of a page. Text in pre and textarea stays. */
export function html(text) {
  return text
    .split(/(<(pre|textarea|script|style)\b[\s\S]*?<\/\2>)/i)
    .filter((_, i) => i % 3 !== 2)
    .map((part, i) => (i % 2 ? part : part.replace(/<!--[\s\S]*?-->/g, "").replace(/\n\s+/g, "\n").replace(/\n{2,}/g, "\n")))
    .join("")
    .trim() + "\n";
}

// outsideStrings applies change to what is not inside quotes.
function outsideStrings(text, comment, change) {
  const pieces = text.split(/("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')/);
  if (comment.test(pieces.filter((_, i) => i % 2).join(""))) return text; // a comment sign inside a string: hands off
  return pieces.map((piece, i) => (i % 2 ? piece : change(piece))).join("");
}
