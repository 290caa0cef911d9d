// http-message-signatures signs and verifies: the questions of httpsig_counterpart.py, answered from JavaScript.

const crypto = require("node:crypto");
const { httpbis } = require("http-message-signatures");
const { answer, contentDigest, header, jwk } = require("./answer.cjs");

const PARAMETERS = ["created", "expires", "nonce", "keyid", "alg", "tag"];

class Refusal extends Error {}

function request({ method, url, headers }) {
  return { method, url, headers };
}

/** Return the message and, of a response, its request. */
function exchange(message) {
  if (message.status_code === undefined) return [request(message)];
  return [{ status: message.status_code, headers: message.headers }, request(message.request)];
}

async function sign(question) {
  const [message, asked] = exchange(question.message);
  const key = crypto.createPrivateKey({ key: jwk(question, true), format: "jwk" });
  const headers = { ...message.headers, "Content-Digest": contentDigest(question.body) };
  const config = {
    key: { id: question.keyid, alg: "ed25519", sign: async (data) => crypto.sign(null, data, key) },
    name: "sig1",
    fields: question.covered,
    params: PARAMETERS,
    paramValues: {
      created: new Date(question.created * 1000),
      expires: new Date((question.created + 300) * 1000),
      nonce: question.nonce,
      tag: question.tag,
    },
  };
  return (await httpbis.signMessage(config, { ...message, headers }, asked)).headers;
}

async function verify(question) {
  const [message, asked] = exchange(question.message);
  const key = crypto.createPublicKey({ key: jwk(question, false), format: "jwk" });
  let parameters;
  const config = {
    requiredParams: PARAMETERS,
    requiredFields: question.covered.map((each) => each.split(";")[0].replaceAll('"', "")),
    all: true,
    keyLookup: async (found) => {
      parameters = found;
      if (found.keyid !== question.keyid || found.tag !== question.tag) throw new Refusal("another key or tag");
      return { algs: ["ed25519"], verify: async (data, signature) => crypto.verify(null, data, key, signature) };
    },
  };
  if ((await httpbis.verifyMessage(config, message, asked)) !== true) throw new Refusal("signature does not verify");
  if ("body" in question && header(message.headers, "content-digest") !== contentDigest(question.body)) {
    throw new Refusal("another body");
  }
  return { parameters: { ...parameters, created: parameters.created.getTime() / 1000 } };
}

answer({ sign, verify }, (error) => {
  if (!(error instanceof Refusal)) throw error;
  return { error: error.message };
});
