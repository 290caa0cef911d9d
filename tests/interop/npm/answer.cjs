// What the counterparts in JavaScript share: one question as JSON on standard input, its answer as JSON on standard
// output, and the pieces of Node that stand around the libraries.

const crypto = require("node:crypto");
const fs = require("node:fs");

/** Answer the question with `handlers[question.do]`; `refused` makes an answer of an error, or throws it again. */
async function answer(handlers, refused) {
  const question = JSON.parse(fs.readFileSync(0, "utf8"));
  const found = await handlers[question.do](question).catch(refused);
  process.stdout.write(JSON.stringify(found));
}

/** Return the Ed25519 key of a question as JWK, private if asked for. */
function jwk({ public: x, seed: d }, isPrivate) {
  const url = (text) => Buffer.from(text, "base64").toString("base64url");
  return { kty: "OKP", crv: "Ed25519", x: url(x), ...(isPrivate ? { d: url(d) } : {}) };
}

/** Return the value of Content-Digest (RFC 9530), which libraries for signatures leave to their user. */
function contentDigest(body) {
  return `sha-256=:${crypto.createHash("sha256").update(body).digest("base64")}:`;
}

/** Return a header's value by its name in any case. */
function header(headers, name) {
  return Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
}

module.exports = { answer, contentDigest, header, jwk };
