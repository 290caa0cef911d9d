// jose signs and verifies JWS: the questions of jws_counterpart.py, answered from JavaScript.

const jose = require("jose");
const { answer } = require("./answer.cjs");

const OPTIONS = { algorithms: ["Ed25519"] };
const text = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);
const bytes = (string) => new TextEncoder().encode(string);
const key = (given) => jose.importJWK(JSON.parse(given), "Ed25519");

async function sign({ header, jwk, payload }) {
  return new jose.CompactSign(bytes(payload)).setProtectedHeader(JSON.parse(header)).sign(await key(jwk));
}

async function verify({ jwk, jws }) {
  const opened = await jose.compactVerify(jws, await key(jwk), OPTIONS);
  return { header: opened.protectedHeader, payload: text(opened.payload) };
}

async function signGeneral({ payload, signers }) {
  const document = new jose.GeneralSign(bytes(payload));
  for (const { header, jwk } of signers) document.addSignature(await key(jwk)).setProtectedHeader(JSON.parse(header));
  return document.sign();
}

/** Return what each key signed: `generalVerify` itself is content with one good signature. */
async function verifyGeneral({ document, jwks }) {
  const opened = [];
  for (const each of jwks) {
    const { payload, protectedHeader } = await jose.generalVerify(JSON.parse(document), await key(each), OPTIONS);
    opened.push({ header: protectedHeader, payload: text(payload) });
  }
  return opened;
}

/** Return the answers to several questions: starting this program is slower than any of them. */
function several({ questions }) {
  return Promise.all(questions.map((each) => HANDLERS[each.do](each).catch(refused)));
}

function refused(error) {
  if (!(error instanceof jose.errors.JOSEError)) throw error;
  return { error: error.code };
}

const HANDLERS = {
  several,
  sign,
  verify,
  "sign-general": signGeneral,
  "verify-general": verifyGeneral,
  thumbprint: ({ jwk }) => jose.calculateJwkThumbprint(JSON.parse(jwk)),
};

answer(HANDLERS, refused);
