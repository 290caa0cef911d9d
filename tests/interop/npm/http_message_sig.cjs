// http-message-sig, which Web Bot Auth readers use, signs and verifies: the questions of httpsig_counterpart.py.

const crypto = require("node:crypto");
const sig = require("http-message-sig");
const { answer, contentDigest, header, jwk } = require("./answer.cjs");

class Refusal extends Error {}

function fields(headers) {
  return Object.entries(headers).map(([name, value]) => ({ name, value }));
}

function request({ method, url, headers }) {
  return { kind: "request", method, targetUri: url, fields: fields(headers) };
}

function described(message, headers = message.headers) {
  if (message.status_code === undefined) return request({ ...message, headers });
  return { kind: "response", status: message.status_code, fields: fields(headers), request: request(message.request) };
}

/** Return the component of an identifier such as `@method` or `"signature";key="sig1";req`. */
function component(text) {
  const [name, ...parameters] = text.replaceAll('"', "").split(";");
  return sig.component(name, Object.fromEntries(parameters.map((each) => [...each.split("="), true].slice(0, 2))));
}

function imported(question, isPrivate) {
  return crypto.subtle.importKey("jwk", jwk(question, isPrivate), "Ed25519", false, [isPrivate ? "sign" : "verify"]);
}

async function sign(question) {
  const headers = { ...question.message.headers, "Content-Digest": contentDigest(question.body) };
  const { created, keyid, nonce, tag } = question;
  const made = await sig.createSignature(described(question.message, headers), {
    label: "sig1",
    components: question.covered.map(component),
    parameters: { created, expires: created + 300, nonce, keyid, alg: "ed25519", tag },
    signer: sig.webcrypto.signer(await imported(question, true)),
  });
  return { ...headers, Signature: made.signature, "Signature-Input": made.signatureInput };
}

async function verify(question) {
  const verified = await sig.verifySignature(described(question.message), {
    label: "sig1",
    policy: {
      algorithms: ["ed25519"],
      requiredComponents: question.covered.map(component),
      requiredParameters: ["created", "expires", "nonce", "keyid", "alg", "tag"],
      maxAge: 300,
      clockSkew: 60,
      validate: ({ parameters }) => parameters.tag === question.tag,
    },
    resolveVerifier: async ({ parameters }) => {
      if (parameters.keyid !== question.keyid) throw new Refusal("another key");
      return sig.webcrypto.verifier(await imported(question, false));
    },
  });
  if ("body" in question && header(question.message.headers, "content-digest") !== contentDigest(question.body)) {
    throw new Refusal("another body");
  }
  return { parameters: verified.parameters };
}

answer({ sign, verify }, (error) => {
  if (!(error instanceof Refusal || sig.isSignatureError(error))) throw error;
  return { error: error.message };
});
