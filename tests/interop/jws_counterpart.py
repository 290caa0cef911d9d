"""joserfc signs and verifies JWS: `{"do": "sign"|"verify"|"thumbprint", …}` on standard input, the result as JSON."""

import json
import sys

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

ALGORITHMS = ["Ed25519"]


def answer(question: dict[str, str]) -> object:
    """Return what joserfc makes of one question."""
    key = OKPKey.import_key(json.loads(question["jwk"]))
    if question["do"] == "thumbprint":
        return key.thumbprint()
    if question["do"] == "sign":
        header = json.loads(question["header"])
        return jws.serialize_compact(header, question["payload"], key, algorithms=ALGORITHMS)
    try:
        opened = jws.deserialize_compact(question["jws"], key, algorithms=ALGORITHMS)
    except JoseError as error:
        return {"error": type(error).__name__}
    return {"header": opened.headers(), "payload": opened.payload.decode()}


json.dump(answer(json.load(sys.stdin)), sys.stdout)
