// ts-mls plays members of MLS groups (RFC 9420): one question as JSON a line, its answer on one line.

const readline = require("node:readline");
const mls = require("ts-mls");

const AGREEMENT = 0xf0a7;
const PROPOSALS = mls.defaultProposalTypes;
// Members are checked by the other side of these tests; here every credential is good.
const authService = { validateCredential: async () => true };
/** By name: the cipher suite, the key package with its private halves, the state, and the state after one's own commit. */
const members = {};

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const utf8 = (text) => new TextEncoder().encode(text);
const wire = (message) => hex(mls.encode(mls.mlsMessageEncoder, message));
const context = ({ cipherSuite }) => ({ cipherSuite, authService, externalPsks: {} });

function message(text) {
  const found = mls.decode(mls.mlsMessageDecoder, unhex(text));
  if (!found) throw new Error("not an MLSMessage");
  return found;
}

function suite(number) {
  return mls.getCiphersuiteImpl(Object.entries(mls.ciphersuites).find(([, id]) => id === number)[0]);
}

const HANDLERS = {
  /** Make a device with a key package. */
  async prepare({ name, suite: number, from, until }) {
    const cipherSuite = await suite(number);
    const own = await mls.generateKeyPackage({
      credential: { credentialType: mls.defaultCredentialTypes.basic, identity: utf8(name) },
      capabilities: { versions: [1], ciphersuites: [1, 0xf00d], extensions: [AGREEMENT], proposals: [], credentials: [1] },
      lifetime: { notBefore: BigInt(from), notAfter: BigInt(until) },
      extensions: [],
      cipherSuite,
    });
    members[name] = { cipherSuite, own };
    return { package: wire({ version: 1, wireformat: mls.wireformats.mls_key_package, keyPackage: own.publicPackage }) };
  },

  async create({ name, group, agreement }) {
    const one = members[name];
    one.state = await mls.createGroup({
      context: context(one),
      groupId: unhex(group),
      keyPackage: one.own.publicPackage,
      privateKeyPackage: one.own.privatePackage,
      extensions: [{ extensionType: AGREEMENT, extensionData: unhex(agreement) }],
    });
    return {};
  },

  async join({ name, welcome }) {
    const one = members[name];
    const { publicPackage: keyPackage, privatePackage: privateKeys } = one.own;
    one.state = await mls.joinGroup({ context: context(one), welcome: message(welcome).welcome, keyPackage, privateKeys });
    return {};
  },

  /** Make a commit, which counts for its maker after `merge`. */
  async commit({ name, add, remove }) {
    const one = members[name];
    const extraProposals = [
      ...remove.map((removed) => ({ proposalType: PROPOSALS.remove, remove: { removed } })),
      ...add.map((text) => ({ proposalType: PROPOSALS.add, add: { keyPackage: message(text).keyPackage } })),
    ];
    const { state } = one;
    const made = await mls.createCommit({ context: context(one), state, extraProposals, ratchetTreeExtension: true });
    one.next = made.newState;
    return { commit: wire(made.commit), welcome: made.welcome ? wire(made.welcome) : "" };
  },

  async merge({ name }) {
    members[name].state = members[name].next;
    return {};
  },

  async say({ name, text }) {
    const one = members[name];
    const made = await mls.createApplicationMessage({ context: context(one), state: one.state, message: utf8(text) });
    one.state = made.newState;
    return { message: wire(made.message) };
  },

  /** Read a message or a commit; a state that a refused one leaves behind is not kept. */
  async hear({ name, message: text }) {
    const one = members[name];
    const heard = await mls.processMessage({ context: context(one), state: one.state, message: message(text) });
    one.state = heard.newState;
    return heard.kind === "applicationMessage" ? { text: new TextDecoder().decode(heard.message) } : {};
  },

  /** Show what all members of an epoch have in common. */
  async view({ name, label, context: exported }) {
    const { state, cipherSuite } = members[name];
    const { extensions, epoch } = state.groupContext;
    const { exporterSecret, epochAuthenticator } = state.keySchedule;
    return {
      epoch: Number(epoch),
      authenticator: hex(epochAuthenticator),
      agreement: hex(extensions.find((each) => each.extensionType === AGREEMENT).extensionData),
      exported: hex(await mls.mlsExporter(exporterSecret, label, unhex(exported), 32, cipherSuite)),
    };
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const question = JSON.parse(line);
    const found = await HANDLERS[question.do](question).catch((error) => ({ error: String(error) }));
    process.stdout.write(`${JSON.stringify(found)}\n`);
  }
}

main();
