// @hpke/core and @hpke/hybridkem-x-wing derive keys, seal and open with HPKE base mode (RFC 9180), in our two suites.

const { Aes128Gcm, Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256, HkdfSha512 } = require("@hpke/core");
const { XWing } = require("@hpke/hybridkem-x-wing");
const { answer } = require("./answer.cjs");

const SUITES = {
  1: () => new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() }),
  0xf00d: () => new CipherSuite({ kem: new XWing(), kdf: new HkdfSha512(), aead: new Aes256Gcm() }),
};

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));

async function derive({ suite: number, ikm }) {
  const { kem } = SUITES[number]();
  const { privateKey, publicKey } = await kem.deriveKeyPair(unhex(ikm));
  return { private: hex(await kem.serializePrivateKey(privateKey)), public: hex(await kem.serializePublicKey(publicKey)) };
}

async function seal({ suite: number, public: key, info, plain }) {
  const suite = SUITES[number]();
  const recipientPublicKey = await suite.kem.deserializePublicKey(unhex(key));
  const { enc, ct } = await suite.seal({ recipientPublicKey, info: unhex(info) }, unhex(plain));
  return hex(enc) + hex(ct);
}

async function open({ suite: number, private: key, info, sealed, encapsulated }) {
  const suite = SUITES[number]();
  const recipientKey = await suite.kem.deserializePrivateKey(unhex(key));
  const bytes = unhex(sealed);
  const enc = bytes.slice(0, encapsulated);
  return hex(await suite.open({ recipientKey, enc, info: unhex(info) }, bytes.slice(encapsulated)));
}

function refused(error) {
  if (error.name !== "OpenError") throw error;
  return { error: error.name };
}

answer({ derive, seal, open }, refused);
